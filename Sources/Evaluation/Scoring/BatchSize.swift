package import Checkpoints
package import Models

/// How many tokens go through a model at once.
package enum BatchSize {
    /// Tokens where the weights are kept: enough for large matrix products, and not much memory.
    private static let resident = 4096
    /// Beyond this many, reading the weights costs next to nothing beside the arithmetic.
    private static let streamed = 64 << 10
    /// A block of the head, a block of logits, and what the process takes anyhow.
    private static let fixedBytes = 192 << 20

    /// Tokens for a pass.
    ///
    /// Each pass of a model whose weights are streamed reads all of them, so that it takes as many tokens as the memory
    /// has room for beside a layer.
    ///
    /// - Parameters:
    ///   - memory: bytes in all.
    ///   - slots: experts that a token goes to.
    package static func tokens(for decoder: Decoder, memory: Int, slots: Int) -> Int {
        guard decoder.isStreamed else { return resident }
        let room = memory - decoder.largestLayer - fixedBytes
        return max(1, min(streamed, room / bytesPerToken(decoder.configuration, slots: slots)))
    }

    /// Bytes of activations that a token needs while a layer is computed, a little more than less.
    package static func bytesPerToken(_ configuration: DecoderConfiguration, slots: Int) -> Int {
        let projected = configuration.mixerValues
        var network = 3 * (configuration.inner ?? 0)
        if let mixture = configuration.mixture {
            let routed =
                slots * (2 * configuration.hidden + 3 * mixture.expertInner) + 3 * (mixture.sharedInner ?? 0)
                + 2 * mixture.experts
            network = max(network, routed)
        }
        return 4 * (6 * configuration.hidden + max(projected, network))
    }
}
