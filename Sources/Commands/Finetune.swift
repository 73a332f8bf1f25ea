import ArgumentParser
import Checkpoints
import Evaluation
import Glibc
import Models
import Numerics
import Reports
import Safetensors
import Training

struct Finetune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a checkpoint's routers, or more of it.",
        discussion: """
            Only the routers move unless --train says more: after a merge they are new, and a few hundred steps teach \
            them which expert knows what. With PyTorch's numbers, in F32; what is frozen may stay on disk.

              moe-tool finetune code+law --data code=code.jsonl --data law=law.jsonl --heldout held-out/ -o tuned
              moe-tool finetune seed --train all --data code.jsonl --steps 500     # a branch of Branch-Train-MiX
              moe-tool finetune code+law --train router+attention --balance switch:0.01 --z-loss 0.001 --data texts/

            --train: router, router+norms, router+attention, experts, all, or a list of roles such as \
            attention.*,norm.*. The run's state lies beside the output; --resume continues an interrupted run to the \
            same bytes. OUT.metrics.jsonl has a line for each step.
            """)

    @Argument(
        help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var model: String

    @Option(
        help: "What is trained.", completion: .list(["router", "router+norms", "router+attention", "experts", "all"]))
    var train: ParameterSelection = .router

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @Option(
        help: "domain: begin with routers' rows along what they see of each expert's domain in --data.")
    var routerInit: RouterInit?

    @OptionGroup var domains: DomainArguments

    @Option(
        help: ArgumentHelp(
            "Train each router by itself, in one pass and without back-propagation: domain (a domain's tokens go to its own expert) or reconstruction (of what all experts give together).",
            valueName: "target"))
    var local: LocalRouterTraining.Target?

    @OptionGroup var training: TrainingArguments
    @OptionGroup var data: DataArguments
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    enum RouterInit: String, ExpressibleByArgument, CaseIterable { case domain }

    func validate() throws {
        if local != nil, train != .router { throw ValidationError("--local trains routers alone: leave out --train") }
        if routerInit != nil, training.data.isEmpty { throw ValidationError("--router-init domain needs --data") }
    }

    func run() async throws {
        let page = try reporting.file(replaces: writing.force || writing.resume)
        try writing.check(output: writing.output ?? defaultOutput(for: model, suffix: "-tuned"))
        let workers = writing.workers()
        let output = writing.output ?? defaultOutput(for: model, suffix: "-tuned")
        try TrainingSession.check(output, training, writing)
        let source = try Checkpoint(at: model)
        if let local { return try await trainLocally(local, source, page) }
        let plan = try training.plan(source, train, topK: topK, writing)
        let training = training.planned(plan, train)
        var student = try Decoder(source, workers: workers, placement: plan.student, topK: topK)
        if routerInit == .domain {
            var options = data.options
            options.tokenLimit = options.tokenLimit ?? 32_768
            let own = DomainExperts(
                student.checkpoint, for: "--router-init domain", isInOrder: domains.domainsInOrder)
            let rows = try RouterInputs(student).domainRows(
                own.ordered(DataSource.parse(training.data)), length: training.length, options: options,
                encoder: data.encoder(model, source), tokensAtOnce: plan.partTokens, deviation: 1)
            student = try Decoder(
                student.checkpoint.replacingRouters(rows), workers: workers, placement: plan.student, topK: topK)
        }
        var identity: JSONObject = ["command": "finetune", "train": .string(train.text)]
        if let topK { identity["top-k"] = JSON(topK) }
        if let routerInit { identity["router-init"] = .string(routerInit.rawValue) }
        if domains.domainsInOrder { identity["domains-in-order"] = true }
        var session = TrainingSession(
            model: model, student: student, selection: train, training: training, data: data, writing: writing,
            common: common, output: output, plan: plan, identity: identity)
        session.reportFile = page
        let (before, after) = try await session.run()
        try session.writeReport(before, after)
    }
}

extension Finetune {
    /// One pass over the data; what little there is to lose is not worth a saved state.
    private func trainLocally(
        _ target: LocalRouterTraining.Target, _ checkpoint: Checkpoint, _ page: ReportFile?
    ) async throws {
        var planner = try ComputeMemory.passes(
            of: checkpoint, length: training.length,
            slots: checkpoint.isMixture ? checkpoint.description.size("experts") : 0,
            memory: writing.trainingMemory.bytes, threads: writing.workerCount)
        planner.tokens = min(training.partTokens ?? 4096, max(training.batchTokens, training.length))
        planner.streamedTokens = planner.tokens
        planner.isExact = training.partTokens != nil
        let plan = try planner.prepared(advice: "lower --part-tokens")
        let student = try Decoder(
            checkpoint, workers: writing.workers(), placement: plan.placements.first, topK: topK)
        var identity: JSONObject = [
            "command": "finetune", "train": .string(train.text), "local": .string(target.rawValue),
        ]
        if let topK { identity["top-k"] = JSON(topK) }
        var training = training
        training.partTokens = plan.tokens
        training.learningRate = training.rate(.router)
        if training.steps == nil, training.epochs == nil, training.batches == nil { training.epochs = 1 }
        if domains.domainsInOrder { identity["domains-in-order"] = true }
        var (source, steps, _) = try training.source({ try data.encoder(model, checkpoint) }, data)
        var own: [Int] = []
        if target == .domain {
            guard !training.data.isEmpty else { throw ValidationError("--local domain needs --data with domains") }
            own = try DomainExperts(
                checkpoint, for: "--local domain", isInOrder: domains.domainsInOrder
            ).experts(of: DataSource.parse(training.data).map(\.name), needsAll: false)
        }
        let learner = try LocalRouterTraining(
            student, target, domainExperts: own, training.options(.router, steps: steps))
        let display = TrainingDisplay(isQuiet: common.quiet, first: 0)
        var metrics: [StepMetrics] = []
        for _ in 0..<steps {
            if Interruption.isRequested {
                display.finish()
                throw InterruptionError()
            }
            guard let parts = try source.next() else { break }
            let step = try learner.step(parts)
            if page != nil { metrics.append(step) }
            display.show(.step(step, of: steps))
        }
        display.finish()
        var record = identity
        record["options"] = .object(training.identity)
        try await write(
            learner.result.recording(record), to: writing.output ?? defaultOutput(for: model, suffix: "-tuned"),
            writing: writing, common: common, remarks: [], details: ["steps": JSON(steps)])
        guard let page, !writing.dryRun else { return }
        var report = Report("Training of the routers of \(shortNames([model])[0])")
        report.facts = [("target", target.rawValue)]
        report.figures = TrainingReport(metrics).figures(before: [], after: [])
        try page.write(report, common)
    }
}

extension LocalRouterTraining.Target: ExpressibleByArgument {}

extension ParameterSelection: ExpressibleByArgument {
    /// "router", "all", "experts" ..., or a list of role patterns.
    public init?(argument: String) { self.init(argument) }

    /// What `--help` says where nothing is given.
    public var defaultValueDescription: String { text }
}
