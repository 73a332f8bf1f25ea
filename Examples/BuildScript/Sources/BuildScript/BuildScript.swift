import MoEToolkit

/// Makes checkpoints as steps of a build: `swift run BuildScript OUT DENSE MODEL MODEL MODEL`.
///
/// DENSE is upcycled; the models, branches of one dense model, are merged to a mixture; a mixture is made dense again and
/// another loses two of its experts. Each result is a folder in OUT.
@main
struct BuildScript {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6 else {
            print("usage: BuildScript OUT DENSE MODEL MODEL MODEL")
            return
        }
        let out = arguments[1]
        let dense = try Checkpoint(at: arguments[2])

        // Dense to mixture: eight copies cut in two, which compute what the dense model does.
        var options = UpcycleOptions(experts: 8)
        options.granularity = 2
        let (upcycled, preservation) = try dense.upcycled(options)
        guard preservation.degree == .exact else {
            print("not the dense function: \(preservation.reason)")
            return
        }
        try await write(upcycled, to: "\(out)/upcycled")

        // Models to one mixture: an expert each, everything else by TIES relative to the model they branched from.
        var recipe = MergeOptions()
        recipe.average = .ties
        recipe.settings.density = .value(0.2)
        recipe.topK = 2
        let merged = try Checkpoint.merging(
            arguments[3...].map { try Checkpoint(at: $0) }, base: dense, options: recipe)
        try await write(merged, to: "\(out)/merged")

        // Mixture to dense: what was upcycled is the dense model again, byte for byte.
        let (again, report) = try Checkpoint(at: "\(out)/upcycled").densified(DensifyOptions())
        print("\(report.width) hidden units from parts of \(report.granularity)")
        try await write(again, to: "\(out)/dense")

        // Mixture to smaller mixture.
        let pruned = try Checkpoint(at: "\(out)/merged").pruned(
            PruneOptions(size: .experts(2), choice: .list([0, 2])))
        try await write(pruned, to: "\(out)/pruned")
    }

    private static func write(_ checkpoint: Checkpoint, to path: String) async throws {
        let written = try await checkpoint.write(to: path)
        // The safetensors library reads what was written.
        let weights = try SafetensorsFile(path: "\(written.output)/\(written.files[0])")
        print("\(path): \(written.bytes) bytes, \(weights.header.tensors.count) tensors in the first file")
    }
}
