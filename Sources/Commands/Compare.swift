import ArgumentParser
import Checkpoints
import Glibc
import Safetensors
import Transforms

struct Compare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show which tensors of two checkpoints differ, and by how much.",
        discussion: """
            Two checkpoints of one family, or two .safetensors files, are compared by the names of their tensors. A \
            dense checkpoint and a mixture of experts are compared by role: every expert with the dense \
            feed-forward network (times its factor), everything else with its counterpart.

              moe-tool compare before after
              moe-tool compare mistral-7b mistral-7b-8x --exact     # exit 6 unless the function is the same
            """)

    @Argument(help: "The first checkpoint; the dense one of a pair.")
    var first: String

    @Argument(help: "The second checkpoint.")
    var second: String

    @Flag(help: "Exit 6 if anything differs.")
    var exact = false

    @Option(help: "Exit 6 if any value differs by more than this.")
    var tolerance: Double?

    @Flag(help: "List identical tensors too.")
    var all = false

    @Option(help: "Threads; by default one for each processor.")
    var threads: Int = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let tolerance, !(tolerance >= 0) {
            throw ValidationError("--tolerance \(tolerance): give a number from 0 up")
        }
        if !(1...1024).contains(threads) { throw ValidationError("--threads \(threads): give a number from 1 to 1024") }
    }

    func run() async throws {
        let isCancelled: @Sendable () -> Bool = { receivedSignal != 0 }
        if let dense = try? Checkpoint(at: first), let moe = try? Checkpoint(at: second),
            !dense.isMixture, moe.isMixture
        {
            try await compareByRole(dense, moe, isCancelled)
        } else {
            try await compareByName(isCancelled)
        }
    }

    private func compareByName(_ isCancelled: @escaping @Sendable () -> Bool) async throws {
        let a = try ShardedTensors(opening: resolveModelPath(first))
        let b = try ShardedTensors(opening: resolveModelPath(second))
        let results = try await Comparison.byName(a, b, threads: threads, isCancelled: isCancelled)
        let different = results.filter { !$0.isIdentical }
        if common.json {
            let document: JSONObject = [
                "identical": .bool(different.isEmpty), "tensors": JSON(results.count),
                "different": .array(different.map { .object($0.json) }),
            ]
            try standardOutput(JSON.object(document).serialized())
        } else if !common.quiet {
            var table = TextTable([.left, .left])
            for result in all ? results : different { table.add(escaped(result.name), result.text) }
            try standardOutput(table.text, terminator: "")
            try standardOutput(
                "\(results.count) tensors: \(results.count - different.count) identical, \(different.count) different")
        }
        try conclude(different.isEmpty, within: different.allSatisfy { $0.isWithin(tolerance ?? 0) })
    }

    private func compareByRole(
        _ dense: Checkpoint, _ moe: Checkpoint, _ isCancelled: @escaping @Sendable () -> Bool
    ) async throws {
        let report = try await RoleComparison.between(
            dense: dense, moe: moe, threads: threads, isCancelled: isCancelled)
        if common.json {
            try standardOutput(JSON.object(report.json).serialized())
        } else if !common.quiet {
            var table = TextTable([.left, .left, .left])
            for row in report.rows { table.add(row.part, row.count, row.outcome) }
            try standardOutput(table.text, terminator: "")
            for difference in report.differences.prefix(all ? Int.max : 20) { try standardOutput("  \(difference)") }
            if !all, report.differences.count > 20 {
                try standardOutput("  and \(report.differences.count - 20) more: --all lists them")
            }
            try standardOutput(report.verdict)
        }
        try conclude(report.isExact, within: report.maximumAbsolute <= (tolerance ?? 0))
    }

    private func conclude(_ identical: Bool, within: Bool) throws {
        if exact, !identical { throw ExitStatus.differs }
        if tolerance != nil, !exact, !identical, !within { throw ExitStatus.differs }
    }
}

extension ComparedTensor {
    fileprivate var text: String {
        switch outcome {
        case .onlyInFirst: "only in the first"
        case .onlyInSecond: "only in the second"
        case .shapeDiffers(let a, let b): "shape \(a) and \(b)"
        case .dtypeDiffers(let a, let b, let difference): "\(a) and \(b), \(difference.text)"
        case .compared(let difference): difference.text
        }
    }

    fileprivate func isWithin(_ tolerance: Double) -> Bool {
        switch outcome {
        case .onlyInFirst, .onlyInSecond, .shapeDiffers: false
        case .dtypeDiffers(_, _, let difference), .compared(let difference): difference.maximumAbsolute <= tolerance
        }
    }

    fileprivate var json: JSONObject {
        var object: JSONObject = ["name": .string(name), "outcome": .string(text)]
        switch outcome {
        case .dtypeDiffers(_, _, let difference), .compared(let difference):
            object["maximum_absolute"] = difference.maximumAbsolute.isFinite ? JSON(difference.maximumAbsolute) : .null
            object["maximum_relative"] = difference.maximumRelative.isFinite ? JSON(difference.maximumRelative) : .null
            object["differing_values"] = JSON(difference.count)
        default: break
        }
        return object
    }
}

extension Difference {
    fileprivate var text: String {
        if isIdentical { return "identical" }
        if count == 0 { return "equal values, different bytes" }
        return "\(count) values differ: at most \(numberText(maximumAbsolute)) absolute, "
            + "\(numberText(maximumRelative)) relative"
    }
}
