import ArgumentParser
import Checkpoints
import Evaluation
import Glibc
import Models
import Numerics
import Packing
import Reports
import Safetensors
import Transforms

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
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var common: CommonOptions

    private var threads: Int { compute.workers().count }

    func validate() throws {
        if let tolerance, !(tolerance >= 0) {
            throw ValidationError("--tolerance \(tolerance): give a number from 0 up")
        }
        if length < 2 { throw ValidationError("--length \(length): give a number from 2 up") }
        if tokens < length { throw ValidationError("--tokens \(tokens): a window takes --length \(length)") }
    }

    func run() async throws {
        let isCancelled: @Sendable () -> Bool = { receivedSignal != 0 }
        let page = try reporting.file()
        if !data.isEmpty {
            try compareOutputs(page)
        } else if let dense = try Checkpoint(ifModelAt: first), !dense.isMixture,
            let moe = try Checkpoint(ifModelAt: second), moe.isMixture
        {
            try await compareByRole(dense, moe, page, isCancelled)
        } else if let a = try? Checkpoint(at: first), let b = try? Checkpoint(at: second), a.isMixture == b.isMixture,
            a.isQuantised || b.isQuantised
        {
            try await compareErrors(a, b, page, isCancelled)
        } else {
            try await compareByName(page, isCancelled)
        }
    }

    private func compareByName(_ page: ReportFile?, _ isCancelled: @escaping @Sendable () -> Bool) async throws {
        let (firstPath, secondPath) = (try resolveModelPath(first), try resolveModelPath(second))
        let a = try ShardedTensors.open(firstPath)
        let b = try ShardedTensors.open(secondPath)
        let configuration = try Comparison.configurations(firstPath, secondPath)
        let results = try await Comparison.byName(a, b, threads: threads, isCancelled: isCancelled)
        let different = results.filter { !$0.isIdentical }
        if tolerance != nil, let other = different.first(where: \.isOfBytes) {
            let info = [a, b].lazy.compactMap { $0.lookup(other.name) }.first { !$0.info.dtype.isConvertible }
            if let (file, info) = info {
                throw CheckpointError.uncomputable(info.dtype, file: file.path, tensor: info.name)
            }
        }
        let document: JSONObject = [
            "identical": .bool(different.isEmpty && configuration.isEmpty), "tensors": JSON(results.count),
            "different": .array(different.map { .object($0.json) }),
            "configuration": .array(configuration.map { .object($0.json) }),
        ]
        try page?.write(Report(first, second, results, result: .object(document)), common)
        if common.json {
            try standardOutput(JSON.object(document).serialized())
        } else if !common.quiet {
            var table = TextTable([.left, .left])
            for result in all ? results : different { table.add(escaped(result.name), result.text) }
            try standardOutput(table.text, terminator: "")
            try standardOutput(
                "\(results.count) tensors: \(results.count - different.count) identical, \(different.count) different")
            for disagreement in configuration { try standardOutput("configuration: \(disagreement)") }
            if !configuration.isEmpty {
                try standardOutput("The configurations make other functions of the same weights.")
            }
        }
        try conclude(
            different.isEmpty && configuration.isEmpty,
            within: configuration.isEmpty && different.allSatisfy { $0.isWithin(tolerance ?? 0) })
    }

    private func compareByRole(
        _ dense: Checkpoint, _ moe: Checkpoint, _ page: ReportFile?, _ isCancelled: @escaping @Sendable () -> Bool
    ) async throws {
        let report = try await RoleComparison.between(
            dense: dense, moe: moe, threads: threads, isCancelled: isCancelled)
        try page?.write(Report(first, second, report), common)
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
        try conclude(report.isExact, within: report.isWithin(tolerance ?? 0))
    }

    /// A model and its quantised form.
    private func compareErrors(
        _ a: Checkpoint, _ b: Checkpoint, _ page: ReportFile?, _ isCancelled: @escaping @Sendable () -> Bool
    ) async throws {
        let errors = try await RoleErrors.between(a, b, threads: threads, isCancelled: isCancelled)
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

    private func compareOutputs(_ page: ReportFile?) throws {
        let workers = compute.workers()
        let sources = [try Checkpoint(at: first), try Checkpoint(at: second)]
        var planner = MemoryPlanner(
            memory: compute.memory.bytes, threads: workers.count,
            models: try sources.map { try ModelMemory($0, .forward(slots: 0)) }, length: length)
        planner.other = sources.reduce(0) { $0 + ComputeMemory.tokenizer($1) }
        planner.tokens = 2048
        planner.streamedTokens = 16 << 10
        let plan = try planner.prepared(advice: "lower --length")
        let a = try Decoder(sources[0], workers: workers, placement: plan.placements.first)
        let b = try Decoder(sources[1], workers: workers, placement: plan.placements.last)
        try OutputComparison.check(a, b)
        var options = reading.options
        options.tokenLimit = tokens
        let text = try PairedText(
            a, reading.encoder(first, sources[0]), b, reading.encoder(second, sources[1]), length: length,
            options: options,
            tokensAtOnce: plan.tokens)
        var results: [(name: String, comparison: OutputComparison)] = []
        for source in try DataSource.parse(data) {
            var comparison = OutputComparison()
            try text.forEachBatch(source) { batch in
                try Interruption.check()
                try comparison.add(a, b, batch)
            }
            results.append((source.name, comparison))
        }
        var all = OutputComparison()
        for result in results { all.add(result.comparison) }
        var domains = JSONObject()
        for result in results { domains[result.name] = .object(result.comparison.json) }
        var document: JSONObject = ["first": .string(first), "second": .string(second)]
        for key in all.json.keys { document[key] = all.json[key] }
        document["domains"] = .object(domains)
        let rows = results + (results.count > 1 ? [("all", all)] : [])
        try page?.write(Report(first, second, rows, result: .object(document)), common)
        if common.json {
            try standardOutput(JSON.object(document).serialized())
        } else if !common.quiet {
            var table = TextTable([.left, .right, .right, .right, .right, .right])
            table.add("domain", "tokens", "largest difference", "mean", "KL (nats)", "same likeliest")
            for (name, result) in rows {
                table.add(
                    escaped(name), "\(result.tokens)", numberText(result.maximumDifference),
                    numberText(result.meanDifference), numberText(result.meanDivergence), percentText(result.agreement))
            }
            try standardOutput(table.text, terminator: "")
        }
        try conclude(all.maximumDifference == 0, within: all.maximumDifference <= (tolerance ?? 0))
    }

    private func conclude(_ identical: Bool, within: Bool) throws {
        if exact, !identical { throw ExitStatus.differs }
        if tolerance != nil, !exact, !identical, !within { throw ExitStatus.differs }
    }
}

extension ComparedTensor {
    /// Whether it differs in elements that no tolerance can be applied to.
    fileprivate var isOfBytes: Bool {
        switch outcome {
        case .dtypeDiffers(_, _, let difference), .compared(let difference): difference.isOfBytes
        case .onlyInFirst, .onlyInSecond, .shapeDiffers: false
        }
    }

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
        if isOfBytes {
            return count == 0 ? "not comparable by value" : "\(count) elements differ, of a type without values"
        }
        if count == 0 { return "equal values, different bytes" }
        return "\(count) values differ: at most \(numberText(maximumAbsolute)) absolute, "
            + "\(numberText(maximumRelative)) relative"
    }
}
