public import Checkpoints
public import Evaluation
import Models
import Numerics
import Safetensors

/// Trains each router of a mixture by itself, in one pass and without back-propagation.
///
/// What little there is to lose is not worth a saved state: the result is a checkpoint that has not been written.
public struct LocalTrainingSession: Sendable {
    /// The mixture.
    public var mixture: Checkpoint
    /// What a router learns.
    public var target: LocalRouterTarget
    /// On what, and how; one pass over the data where neither steps nor epochs are set.
    public var settings: TrainingSettings
    /// How text is read.
    public var text = TextOptions()
    /// Memory of the process, and threads.
    public var compute = ComputeOptions()
    /// Experts a token is routed to, if not as the checkpoint says.
    public var topK: Int?
    /// The first domain is the first expert's, and so on, whatever they are called.
    public var domainsInOrder = false
    /// Told each step, from the thread that computes.
    public var event: (@Sendable (TrainingEvent) -> Void)?

    /// - Parameters:
    ///   - mixture: the checkpoint whose routers are trained.
    ///   - target: what they learn.
    ///   - settings: on what, and how.
    public init(_ mixture: Checkpoint, _ target: LocalRouterTarget, _ settings: TrainingSettings) {
        (self.mixture, self.target, self.settings) = (mixture, target, settings)
    }

    /// Trains the routers.
    ///
    /// - Returns: the mixture with them, to be written, and how many steps were planned.
    /// - Throws: as `TrainingSession.run()`.
    public func run() async throws -> (checkpoint: Checkpoint, steps: Int) {
        try await runningOnThread { try train() }
    }

    private func train() throws -> (checkpoint: Checkpoint, steps: Int) {
        try settings.check()
        var planner = try ComputeMemory.passes(
            of: mixture, length: settings.length,
            slots: mixture.isMixture ? mixture.description.size("experts") : 0, memory: compute.memory,
            threads: compute.threads)
        planner.tokens = min(settings.partTokens ?? 4096, max(settings.batchTokens, settings.length))
        planner.streamedTokens = planner.tokens
        planner.isExact = settings.partTokens != nil
        let plan = try planner.prepared(advice: "lower `partTokens`")
        let student = try Decoder(
            mixture, workers: compute.workers(), placement: plan.placements.first, topK: topK)
        var settings = settings
        settings.partTokens = plan.tokens
        settings.learningRate = settings.rate(.router)
        if settings.steps == nil, settings.epochs == nil, settings.batches == nil { settings.epochs = 1 }
        var (source, steps, _) = try settings.source({ try text.encoder(mixture) }, text)
        var own: [Int] = []
        if target == .domain {
            guard !settings.data.isEmpty else {
                throw CheckpointError(.usage, message: "`localTraining` domain needs `data` with domains")
            }
            own = try DomainExperts(mixture, for: "`localTraining` domain", isInOrder: domainsInOrder)
                .experts(of: DataSource.parse(settings.data).map(\.name), needsAll: false)
        }
        let learner = try LocalRouterTraining(
            student, target, domainExperts: own, settings.options(.router, steps: steps))
        for _ in 0..<steps {
            try Interruption.check()
            guard let parts = try source.next() else { break }
            event?(.step(try learner.step(parts), of: steps))
        }
        var record: JSONObject = [
            "command": "finetune", "train": .string(ParameterSelection.router.text), "local": .string(target.rawValue),
        ]
        if let topK { record["top-k"] = JSON(topK) }
        if domainsInOrder { record["domains-in-order"] = true }
        record["options"] = .object(settings.identity)
        return (learner.result.recording(record), steps)
    }
}
