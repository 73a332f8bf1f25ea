import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Compare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how two checkpoints differ: in their tensors, or in what they compute on text.",
        discussion: """
            Two checkpoints of one family, or two .safetensors files, are compared by the names of their tensors. A \
            dense checkpoint and a mixture of experts are compared by role: every expert with the dense \
            feed-forward network (times its factor), everything else with its counterpart. Configurations are compared \
            by what they mean: the function is the same only where everything that it depends on agrees. Where one of \
            the two is quantised, it is compared by the values that its codes stand for, and the error of each role is \
            told.

            With --data it is the outputs that are compared: the logits' largest and mean difference, the mean KL \
            divergence of the second from the first, and for how many tokens the likeliest is the same. The checkpoints \
            may be of any families that have the same vocabulary.

              moe-tool compare before after
              moe-tool compare mistral-7b mistral-7b-8x --exact     # exit 6 unless the function is the same
              moe-tool compare mistral-7b mistral-7b-8x --data held-out/ --tolerance 1e-3
            """)

    @Argument(help: "The first checkpoint; the dense one of a pair.", completion: .file())
    var first: String

    @Argument(help: "The second checkpoint.", completion: .file())
    var second: String

    @Option(
        help: ArgumentHelp(
            "Compare the outputs on this text: NAME=PATH, a file, or a folder whose entries are domains.",
            valueName: "data"), completion: .file())
    var data: [String] = []

    @Option(help: "Tokens in a window of the text.")
    var length = 256

    @Option(help: "Tokens that are read of each domain at most.")
    var tokens = 8192

    @Flag(help: "Exit 6 if anything differs.")
    var exact = false

    @Option(help: "Exit 6 if any value (of a tensor, or with --data a logit) differs by more than this.")
    var tolerance: Double?

    @Flag(help: "List identical tensors too.")
    var all = false

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var reading: DataArguments
    @OptionGroup var compute: ComputeArguments
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if let tolerance, !(tolerance >= 0) {
            throw ValidationError("--tolerance \(tolerance): give a number from 0 up")
        }
        if length < 2 { throw ValidationError("--length \(length): give a number from 2 up") }
        if tokens < length { throw ValidationError("--tokens \(tokens): a window takes --length \(length)") }
    }

    func run() async throws {
        let page = try reporting.file()
        if !data.isEmpty {
            try await compareOutputs(page)
            return
        }
        let models = (try model(first), try model(second))
        if let dense = models.0, !dense.isMixture, let moe = models.1, moe.isMixture {
            try await compareByRole(dense, moe, page)
        } else if let a = models.0, let b = models.1, a.isMixture == b.isMixture, a.isQuantised || b.isQuantised {
            try await compareErrors(a, b, page)
        } else {
            try await compareByName(page)
        }
    }

    /// The model at a path; nil for what is none, and is compared tensor by tensor.
    private func model(_ path: String) throws -> Checkpoint? {
        do { return try Checkpoint(at: path) } catch  where isFailureOfSystem(error) { throw error } catch {
            if try PosixFile.entry(path + "/config.json") != nil {
                standardError(
                    "warning: \(escaped(path)) is no model, and is compared by its tensors' names: \(error)\n")
            }
            return nil
        }
    }

    private func compareByName(_ page: ReportFile?) async throws {
        let result = try await TensorComparison(first, second, threads: compute.options.threads)
        let isWithin = try tolerance.map { try result.isWithin($0) }
        try page?.write(Report(first, second, result), common)
        if common.json {
            try standardOutput(result.jsonText)
        } else if !common.quiet {
            let (results, different) = (result.tensors, result.different)
            var table = TextTable([.left, .left])
            for tensor in all ? results : different { table.add(escaped(tensor.name), tensor.text) }
            try standardOutput(table.text, terminator: "")
            try standardOutput(
                "\(results.count) tensors: \(results.count - different.count) identical, \(different.count) different")
            for disagreement in result.configuration { try standardOutput("configuration: \(disagreement)") }
            if !result.configuration.isEmpty {
                try standardOutput("The configurations make other functions of the same weights.")
            }
        }
        try conclude(result.isIdentical, within: isWithin ?? false)
    }

    private func compareByRole(_ dense: Checkpoint, _ moe: Checkpoint, _ page: ReportFile?) async throws {
        let result = try await RoleComparison.between(
            dense: dense, moe: moe, threads: compute.options.threads, isCancelled: { receivedSignal != 0 })
        try page?.write(Report(first, second, result), common)
        if common.json {
            try standardOutput(result.jsonText)
        } else if !common.quiet {
            var table = TextTable([.left, .left, .left])
            for row in result.rows { table.add(row.part, row.count, row.outcome) }
            try standardOutput(table.text, terminator: "")
            for difference in result.differences.prefix(all ? Int.max : 20) { try standardOutput("  \(difference)") }
            if !all, result.differences.count > 20 {
                try standardOutput("  and \(result.differences.count - 20) more: --all lists them")
            }
            try standardOutput(result.verdict)
        }
        try conclude(result.isExact, within: result.isWithin(tolerance ?? 0))
    }

    /// A model and its quantised form.
    private func compareErrors(_ a: Checkpoint, _ b: Checkpoint, _ page: ReportFile?) async throws {
        let errors = try await RoleErrors.between(
            a, b, threads: compute.options.threads, isCancelled: { receivedSignal != 0 })
        let configuration = try FunctionTraits(a.description).disagreements(with: FunctionTraits(b.description))
        var document = errors.json
        document["configuration"] = .array(configuration.map { .object($0.json) })
        try page?.write(Report(first, second, errors, result: .object(document)), common)
        if common.json {
            try standardOutput(JSON.object(document).serialized())
        } else if !common.quiet {
            var table = TextTable([.left, .right, .right, .right])
            table.add("role", "tensors", "relative error", "largest")
            let differing = errors.rows.filter { all || $0.same < $0.tensors }
            for row in differing + [errors.all] {
                table.add(row.role, "\(row.tensors)", numberText(row.relative), numberText(row.largest))
            }
            try standardOutput(table.text, terminator: "")
            let same = errors.rows.filter { $0.same == $0.tensors }
            if !all, !same.isEmpty { try standardOutput("The same: \(same.map(\.role).joined(separator: ", ")).") }
            for role in errors.missing.prefix(all ? Int.max : 20) { try standardOutput("only in one of them: \(role)") }
            if !all, errors.missing.count > 20 {
                try standardOutput("and \(errors.missing.count - 20) more: --all lists them")
            }
            for disagreement in configuration { try standardOutput("configuration: \(disagreement)") }
        }
        let isComplete = errors.missing.isEmpty && configuration.isEmpty
        try conclude(
            isComplete && errors.all.same == errors.all.tensors,
            within: isComplete && errors.all.largest <= (tolerance ?? 0))
    }

    private func compareOutputs(_ page: ReportFile?) async throws {
        let result = try await ModelComparison(
            (first, Checkpoint(at: first)), (second, Checkpoint(at: second)), on: data, length: length,
            text: reading.options(tokenLimit: tokens), compute: compute.options)
        try page?.write(Report(result), common)
        if common.json {
            try standardOutput(result.jsonText)
        } else if !common.quiet {
            var table = TextTable([.left, .right, .right, .right, .right, .right])
            table.add("domain", "tokens", "largest difference", "mean", "KL (nats)", "same likeliest")
            for row in result.rows {
                let found = row.comparison
                table.add(
                    escaped(row.name), "\(found.tokens)", numberText(found.maximumDifference),
                    numberText(found.meanDifference), numberText(found.meanDivergence), percentText(found.agreement))
            }
            try standardOutput(table.text, terminator: "")
        }
        let largest = result.all.maximumDifference
        try conclude(largest == 0, within: largest <= (tolerance ?? 0))
    }

    private func conclude(_ identical: Bool, within: Bool) throws {
        if exact, !identical { throw ExitStatus.differs }
        if tolerance != nil, !exact, !identical, !within { throw ExitStatus.differs }
    }
}
