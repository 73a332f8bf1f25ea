package import Checkpoints
package import Models

/// What passes over text take of memory.
package enum ComputeMemory {
    /// What a tokenizer takes, by the size of its file.
    package static func tokenizer(_ checkpoint: Checkpoint) -> Int {
        checkpoint.companions.first { $0.name == "tokenizer.json" }.map { 4 * $0.byteCount } ?? 0
    }

    /// Passes of one model over windows of text.
    ///
    /// - Parameter slots: experts that take part in each token; 0 for as the model says.
    package static func passes(
        of checkpoint: Checkpoint, length: Int, slots: Int = 0, memory: Int, threads: Int
    ) throws -> MemoryPlanner {
        var planner = MemoryPlanner(
            memory: memory, threads: threads, models: [try ModelMemory(checkpoint, .forward(slots: slots))],
            length: length)
        planner.other = tokenizer(checkpoint) + statistics(checkpoint)
        planner.shares = [.text]
        return planner
    }

    /// What is summed of a mixture's experts, in F64.
    private static func statistics(_ checkpoint: Checkpoint) -> Int {
        guard let configuration = try? DecoderConfiguration(checkpoint.description), let mixture = configuration.mixture
        else { return 0 }
        return 16 * configuration.layers * mixture.experts * (configuration.hidden + 2 * mixture.experts)
    }
}
