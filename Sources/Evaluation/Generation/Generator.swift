package import Checkpoints
package import Models
import Numerics
import Safetensors

/// Continues a text token by token; what the layers know of what was before is kept.
///
/// ```swift
/// let generator = Generator(decoder, sampling: Sampling())
/// try generator.continue(prompt, atMost: 100) { token in print(token.id); return true }
/// ```
public struct Generator {
    /// A token of the continuation.
    public struct Token: Sendable, Hashable {
        /// The token's id in the model's vocabulary.
        public let id: Int32
        /// The log of the model's probability for it, whatever it was drawn from, in nats.
        public let logProbability: Double
        /// Whether it ends the text, rather than being part of it.
        public let isEnd: Bool
    }

    /// Why a continuation is over.
    public enum Finish: String, Sendable {
        /// A token that ends the text.
        case end
        /// As many tokens as were asked for.
        case length
        /// The caller wanted no more.
        case stopped
    }

    private let decoder: Decoder
    package var sampling: Sampling
    /// Tokens that end the text.
    package var ends: Set<Int32>

    /// A prompt is read in pieces of this length: its activations then take no more memory than those of a piece.
    private let piece: Int

    package init(_ decoder: Decoder, sampling: Sampling, ends: Set<Int32> = [], tokensAtOnce: Int = 512) {
        piece = max(tokensAtOnce, 1)
        self.decoder = decoder
        self.sampling = sampling
        self.ends = ends
    }

    /// Calls `body` with each token that follows the prompt until it answers false.
    ///
    /// - Throws: `.usage` for an empty prompt, `.incompatible` for a token that the model does not know, and what `body`
    ///   throws.
    @discardableResult
    package func `continue`(
        _ prompt: [Int32], atMost maximum: Int, _ body: (Token) throws -> Bool
    ) throws -> Finish {
        guard !prompt.isEmpty else {
            throw CheckpointError(.usage, message: "the prompt has no token: there is nothing to continue")
        }
        func newState(of length: Int) -> SequenceState {
            SequenceState(
                decoder.configuration, capacity: min(length + min(maximum, 1 << 20), 1 << 12), length: length)
        }
        let rotaries = decoder.configuration.attention.rotaries
        var text = prompt
        var state = newState(of: text.count)
        var next = text[...]
        for step in 0..<max(maximum, 0) {
            // Keys that were rotated at other frequencies are made again.
            if rotaries.contains(where: { $0.changes(from: state.count, to: text.count) }), state.count > 0 {
                state = newState(of: text.count)
                next = text[...]
            }
            var logits = Matrix(rows: 0, columns: 0)
            while !next.isEmpty {
                let piece = Array(next.prefix(piece))
                next = next.dropFirst(piece.count)
                let states = try decoder.forward(TokenBatch(ids: piece, length: piece.count), state: state)
                if next.isEmpty { logits = try decoder.logits(states.span(rows: piece.count - 1..<piece.count)) }
            }
            let values = UnsafeBufferPointer(logits.buffer)
            let id = Int32(sampling.choose(values, step: step))
            let token = Token(
                id: id, logProbability: Double(values[Int(id)]) - logSum(values), isEnd: ends.contains(id))
            let wantsMore = try body(token)
            if token.isEnd { return .end }
            guard wantsMore else { return .stopped }
            text.append(id)
            next = [id]
        }
        return .length
    }
}

extension Checkpoint {
    /// The tokens that end a text: `eos_token_id` of generation_config.json, which may name more than the configuration
    /// does, or else of config.json.
    package func endTokens() throws -> Set<Int32> {
        var value = description.config.object["eos_token_id"]
        if let file = companions.first(where: { $0.name == "generation_config.json" }),
            let own = try file.object()?["eos_token_id"], !own.isNull
        {
            value = own
        }
        let ids = (value?.array ?? [value].compactMap { $0 }).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
        return Set(ids)
    }
}
