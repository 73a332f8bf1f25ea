import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

/// Where prune takes from what a mixture's experts do on text.
struct StatisticsArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What `evaluate --stats` wrote about this model's experts.", valueName: "file.safetensors"),
        completion: .file())
    var stats: String?

    @Option(
        help: ArgumentHelp(
            "Or measure it on this text: NAME=PATH, a file, or a folder whose entries are domains.", valueName: "data"),
        completion: .file())
    var data: [String] = []

    @Option(help: "Tokens of each domain that are measured at most.")
    var tokens = 65_536

    @Option(
        help:
            "Tokens of the windows that are measured, at most the model's positions: what experts do, and REAP with it, depends on how much text a token sees."
    )
    var statsLength = 512

    @OptionGroup var reading: DataArguments

    func validate() throws {
        if stats != nil, !data.isEmpty {
            throw ValidationError("--stats and --data are two ways to one thing: give one")
        }
        if statsLength < 2 { throw ValidationError("--stats-length \(statsLength): give at least 2") }
        if tokens < 2 { throw ValidationError("--tokens \(tokens): give at least 2") }
    }

    /// Whether there is anything to take statistics from.
    var isGiven: Bool { stats != nil || !data.isEmpty }

    /// Reads or measures the statistics.
    ///
    /// - Throws: `CheckpointError` where they are another model's, or the text cannot be read.
    func statistics(
        _ checkpoint: Checkpoint, _ writing: WritingOptions, _ common: CommonOptions
    ) async throws -> ExpertStatisticsFile {
        if let stats {
            let result = try ExpertStatisticsFile(path: stats)
            try result.check(checkpoint)
            return result
        }
        return try await measureStatistics(
            checkpoint, data, tokens: tokens, length: statsLength, reading, writing, common)
    }
}

/// Runs a mixture over text and finds out about its experts.
func measureStatistics(
    _ checkpoint: Checkpoint, _ data: [String], tokens: Int, length: Int = 512, _ reading: DataArguments,
    _ writing: WritingOptions, _ common: CommonOptions
) async throws -> ExpertStatisticsFile {
    let display = StatusLine(isQuiet: common.quiet)
    defer { display.finish() }
    return try await checkpoint.expertStatistics(
        on: data, length: length, text: reading.options(tokenLimit: tokens), compute: writing.compute
    ) { domain, tokens in
        display.show(ProgressText(label: "measuring on \(domain):", parts: ["\(countText(tokens)) tokens"]))
    }
}

/// Measures the loss on text before a transform, and makes ready for that after it.
func measureLoss(
    _ source: Checkpoint, _ data: [String], tokens: Int, window: Int? = nil, _ reading: DataArguments,
    _ writing: WritingOptions, _ common: CommonOptions
) async throws -> LossChange {
    let display = StatusLine(isQuiet: common.quiet)
    defer { display.finish() }
    return try await LossChange(
        source, on: data, text: reading.options(tokenLimit: tokens), window: window, compute: writing.compute
    ) { what, progress in
        display.show(
            ProgressText(
                label: "measuring \(what):",
                parts: ["\(countText(progress.done)) of \(countText(progress.total)) tokens"]))
        if progress.done == progress.total { display.finish() }
    }
}

extension WritingOptions {
    /// What a model's pass may take.
    var compute: ComputeOptions { ComputeOptions(memory: memory.bytes, threads: threads) }
}
