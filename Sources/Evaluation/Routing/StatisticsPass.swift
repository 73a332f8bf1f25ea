package import Checkpoints
import Models
package import Numerics
import Safetensors

/// A pass over text that finds out about a mixture's experts, for those who need no more than that.
package enum StatisticsPass {
    /// Tokens of a window where nobody says.
    package static let length = 512

    /// - Parameters:
    ///   - sources: domains; each is read up to the limit of `options`.
    ///   - progress: told the domain and how many of its tokens were read, and asked whether to go on.
    /// - Throws: `.incompatible` for a dense model; as `WindowReader`, and what `progress` throws.
    package static func run(
        _ checkpoint: Checkpoint, _ sources: [DataSource], _ encoder: () throws -> TextEncoder, options: DataOptions,
        length: Int = Self.length, workers: Workers, memory: Int,
        progress: (_ domain: String, _ tokens: Int) throws -> Void
    ) throws -> ExpertStatisticsFile {
        let length = max(2, min(length, try checkpoint.description.positions ?? length))
        let plan = try ComputeMemory.passes(
            of: checkpoint, length: length, memory: memory, threads: workers.count
        ).prepared()
        let encoder = try encoder()
        try DomainText.check(sources, length: length, options: options, encoder: encoder)
        let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first)
        guard
            let observer = RoutingObserver(
                decoder.configuration, domains: sources.map(\.name), measuresOutputs: true, workers)
        else {
            throw CheckpointError(
                .incompatible, file: checkpoint.description.config.file,
                message: "a dense model has no experts to measure")
        }
        for (domain, source) in sources.enumerated() {
            observer.domain = domain
            let reader = try WindowReader(source, length: length, options: options, encoder: encoder)
            while let windows = try reader.next(atMost: max(1, plan.tokens / length)) {
                try progress(source.name, reader.windowCount * length)
                _ = try decoder.forward(TokenBatch(ids: windows.ids, length: length), observer: observer)
            }
        }
        return try ExpertStatisticsFile(
            observer.statistics.file(layerCount: decoder.configuration.layers, length: length))
    }
}
