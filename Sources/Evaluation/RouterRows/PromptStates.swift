import Checkpoints
import Models
import Numerics
import Safetensors
import Tokenizers
import Transforms

/// What mergekit-moe's gate modes take from the base model (mergekit 0.1.5, `moe/router.py`): prompts are encoded with the
/// tokenizer's `bos_token` before each as text and no other special token; the residual stream before each layer is taken
/// of the last token, or of all, among them those that fill the shorter prompts of a list up on the left.
///
/// mergekit computes in BF16; this in F32 with weights rounded to BF16.
struct PromptStates {
    private let decoder: Decoder
    private let tokenizer: Tokenizer
    private let beginning: String
    private let encoder: TextEncoder
    /// Tokens of a prompt that memory is planned for.
    private static let longest = 256

    /// - Throws: `.incompatible` where there is no tokenizer.
    init(_ base: Checkpoint, workers: Workers, memory: Int) throws {
        encoder = try TextEncoder(for: base)
        guard case .tokenizer(let tokenizer) = encoder.kind else {
            throw CheckpointError(
                .incompatible, file: base.description.config.file,
                message: "there is no tokenizer.json beside the base model to encode prompts with")
        }
        self.tokenizer = tokenizer
        beginning = try Self.beginning(base)
        let rounded = try base.converted(to: .bf16)
        let plan = try ComputeMemory.passes(
            of: rounded, length: Self.longest, memory: memory, threads: workers.count
        ).prepared()
        decoder = try Decoder(rounded, workers: workers, placement: plan.placements.first)
    }

    var layers: Int { decoder.configuration.layers }

    /// The text of the tokenizer's `bos_token`; empty where it has none.
    private static func beginning(_ base: Checkpoint) throws -> String {
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            guard let object = try base.companions.first(where: { $0.name == name })?.object(),
                let token = object["bos_token"], !token.isNull
            else { continue }
            return token.string ?? token.object?["content"]?.string ?? ""
        }
        return ""
    }

    private func encode(_ prompts: [String]) throws -> [[Int32]] {
        try prompts.map { prompt in
            let ids = try tokenizer.encode(beginning + prompt)
            guard !ids.isEmpty else {
                throw CheckpointError(.incompatible, message: "the prompt \(quoted(prompt)) has no token")
            }
            try encoder.check(ids[...], place: "the prompt \(quoted(prompt))")
            return ids
        }
    }

    /// The sum of the embeddings of all tokens of the prompts, `[hidden]`: `cheap_embed`.
    func embeddingSum(_ prompts: [String]) throws -> [Double] {
        var sum = [Double](repeating: 0, count: decoder.configuration.hidden)
        for ids in try encode(prompts) {
            let embedded = try decoder.embed(ids)
            for row in 0..<embedded.rows {
                for i in sum.indices { sum[i] += Double(embedded[row, i]) }
            }
        }
        // mergekit takes the embedding as it is stored.
        return sum.map { $0 / Double(decoder.configuration.embeddingScale) }
    }

    /// The last token's residual stream before each layer, of each prompt, `[layers][prompts][hidden]`: `hidden_last`.
    func lastStates(_ prompts: [String]) throws -> [[[Double]]] {
        var result = [[[Double]]](repeating: [], count: layers)
        for ids in try encode(prompts) {
            let last = StreamRecorder { $0.rows - 1..<$0.rows }
            _ = try decoder.forward(TokenBatch(ids: ids, length: ids.count), observer: last)
            for layer in 0..<layers { result[layer].append(last.sums[layer]) }
        }
        return result
    }

    /// The mean over all positions of the residual stream before each layer, of each prompt, `[layers][prompts][hidden]`:
    /// `hidden_avg`. What fills shorter prompts up is among the positions.
    func meanStates(_ prompts: [String]) throws -> [[[Double]]] {
        let encoded = try encode(prompts)
        let length = encoded.map(\.count).max() ?? 0
        let filler = encoded.contains { $0.count < length } ? try fillerStates() : []
        var result = [[[Double]]](repeating: [], count: layers)
        for ids in encoded {
            let sums = StreamRecorder { 0..<$0.rows }
            _ = try decoder.forward(TokenBatch(ids: ids, length: ids.count), observer: sums)
            let missing = Double(length - ids.count)
            for layer in 0..<layers {
                var sum = sums.sums[layer]
                if missing > 0 { for i in sum.indices { sum[i] += missing * filler[layer][i] } }
                result[layer].append(sum.map { $0 / Double(length) })
            }
        }
        return result
    }

    /// The residual stream before each layer at a position that fills up: it is masked, and attends to nothing, so that
    /// its attention gives zero. The token is the one that begins a text, or else that ends one.
    private func fillerStates() throws -> [[Double]] {
        guard let token = encoder.documentStart else {
            throw CheckpointError(
                .incompatible, message: "hidden_avg fills prompts up with bos_token_id, and the model has none")
        }
        var table = decoder.checkpoint.table
        for role in table.keys where role.kind == .output { table[role]?.expression = .constant(0) }
        let base = decoder.checkpoint
        let deaf = Checkpoint(
            description: base.description, table: table, sources: base.sources, companions: [], history: [],
            warnings: [])
        let recorder = StreamRecorder { 0..<$0.rows }
        _ = try Decoder(deaf, workers: decoder.workers, memory: 0).forward(
            TokenBatch(ids: [token], length: 1), observer: recorder)
        return recorder.sums
    }
}

/// Sums some rows of the residual stream before each layer.
private final class StreamRecorder: ForwardObserver {
    /// `[layers][hidden]`
    private(set) var sums: [[Double]] = []
    private let rows: (Matrix) -> Range<Int>

    init(rows: @escaping (Matrix) -> Range<Int>) { self.rows = rows }

    func enters(_ layer: Int, _ stream: Matrix) {
        var sum = [Double](repeating: 0, count: stream.columns)
        for row in rows(stream) { for i in sum.indices { sum[i] += Double(stream[row, i]) } }
        sums.append(sum)
    }
}
