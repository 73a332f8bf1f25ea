public import ArgumentParser
import Checkpoints
public import MoEToolkit
import Safetensors
import Synchronization

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
    var local: LocalRouterTarget?

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
        let output = writing.output ?? defaultOutput(for: model, suffix: "-tuned")
        try writing.check(output: output, inputs: [model])
        let source = try Checkpoint(at: model)
        if let local { return try await trainLocally(local, source, output, page) }
        var session = TrainingSession(source, training.settings, output: output)
        try session.apply(data, writing)
        session.selection = train
        session.topK = topK
        session.initializesRouters = routerInit == .domain
        session.domainsInOrder = domains.domainsInOrder
        try await session.show(writing, common, model: model, page)
    }
}

extension Finetune {
    private func trainLocally(
        _ target: LocalRouterTarget, _ checkpoint: Checkpoint, _ output: String, _ page: ReportFile?
    ) async throws {
        try writing.checkFolder()
        if !writing.resume { try OutputPath(output).checkReplacing(.checkpoint, overwrite: writing.force) }
        var session = LocalTrainingSession(checkpoint, target, training.settings)
        session.text = data.options(tokenLimit: nil)
        session.compute = writing.trainingCompute
        session.topK = topK
        session.domainsInOrder = domains.domainsInOrder
        let display = TrainingDisplay(isQuiet: common.quiet)
        defer { display.finish() }
        let metrics = Mutex<[StepMetrics]>([])
        session.event = { event in
            if case .step(let step, _) = event { metrics.withLock { $0.append(step) } }
            display.show(event)
        }
        let (trained, steps) = try await session.run()
        display.finish()
        try await write(
            trained, to: output, writing: writing, common: common, remarks: [], details: ["steps": JSON(steps)])
        guard let page, !writing.dryRun else { return }
        var report = Report("Training of the routers of \(shortNames([model])[0])")
        report.facts = [("target", target.rawValue)]
        report.figures = TrainingFigures(metrics.withLock { $0 }).figures(before: [], after: [])
        try page.write(report, common)
    }
}

extension LocalRouterTarget: ExpressibleByArgument {}

extension ParameterSelection: ExpressibleByArgument {
    /// "router", "all", "experts" ..., or a list of role patterns.
    public init?(argument: String) { self.init(argument) }

    /// What `--help` says where nothing is given.
    public var defaultValueDescription: String { text }
}
