import MoEToolkit

/// A mixture of experts from a dense model, as steps of a build: `swift run BuildScript OUT DENSE TEXT HELD-OUT`.
///
/// DENSE is upcycled, its routers learn on TEXT, the experts that REAP values least go, and a report says what HELD-OUT text
/// costs each of them. Each result is a folder in OUT.
@main
struct BuildScript {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5 else { return print("usage: BuildScript OUT DENSE TEXT HELD-OUT") }
        let (out, text, heldOut) = (arguments[1], "text=\(arguments[3])", "held-out=\(arguments[4])")
        let dense = try Checkpoint(at: arguments[2])

        // Dense to mixture: copies behind a router, which compute what the dense model does.
        let (mixture, preservation) = try dense.upcycled(UpcycleOptions(experts: 4))
        guard preservation.degree == .exact else { return print("not the dense function: \(preservation.reason)") }
        try await mixture.write(to: "\(out)/mixture")

        // The routers learn; everything else stays as it is.
        var settings = TrainingSettings(data: [text])
        settings.steps = 4
        settings.batchTokens = 512
        settings.length = 64
        var training = TrainingSession(try Checkpoint(at: "\(out)/mixture"), settings, output: "\(out)/tuned")
        training.event = { event in
            if case .step(let step, let total) = event { print("step \(step.step + 1) of \(total): loss \(step.loss)") }
        }
        let tuned = try Checkpoint(at: try await training.run().output)

        // Half of the experts go, those with the least mean of gate times norm of the output.
        let statistics = try await tuned.expertStatistics(on: [text], length: 64)
        let pruned = try tuned.pruned(PruneOptions(size: .experts(2), choice: statistics.choice(by: .reap)))
        try await pruned.write(to: "\(out)/pruned")

        // What held-out text costs each of them, on one page.
        var evaluation = EvaluationOptions(data: [heldOut])
        evaluation.length = 64
        let result = try await EvaluationSession(evaluation).run([
            ("dense", dense), ("tuned", tuned), ("pruned", pruned),
        ])
        for model in result.models { print("\(model.scores.model): \(model.scores.loss) nats a token") }
        try Report(result).write(to: "\(out)/report.html")

        // Mixture to dense: what was upcycled is the dense model again, byte for byte.
        try await Checkpoint(at: "\(out)/mixture").densified().write(to: "\(out)/dense")
    }
}
