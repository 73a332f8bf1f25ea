package import Checkpoints
package import Models

/// How a training is computed within an amount of memory, decided before a model is loaded.
package struct TrainingPlan: Sendable, Hashable {
    package var student: WeightPlacement
    /// Of the teacher's weights, where there is one.
    package var teacher: WeightPlacement?
    /// Tokens that go through the model at once.
    package var partTokens: Int
    /// Whether layers are computed a second time for their gradients.
    package var checkpointsActivations: Bool
    /// What the trained model, its gradients and moments take while the result is written.
    package var retained: Int

    /// What is to be trained.
    package struct Task {
        package var student: Checkpoint
        package var teacher: Checkpoint?
        package var selection: ParameterSelection
        package var topK: Int?
        /// Tokens of a window.
        package var length: Int
        /// Tokens of a step.
        package var stepTokens: Int
        /// Tokens that go through at once; nil for as many as fit, up to 4096.
        package var partTokens: Int?
        package var checkpointsActivations = false
        /// Whether the parameters of the lowest held-out loss are kept.
        package var keepsBest = false
        /// Whether the parameters are kept while learning rates are tried.
        package var triesRates = false
        /// Whether the streams of student and teacher are compared.
        package var comparesStreams = false
        /// Whether all weights must be in memory.
        package var isResident = false

        package init(
            _ student: Checkpoint, teacher: Checkpoint? = nil, _ selection: ParameterSelection, length: Int,
            stepTokens: Int
        ) {
            self.student = student
            self.teacher = teacher
            self.selection = selection
            self.length = length
            self.stepTokens = stepTokens
        }
    }

    /// What writing the result takes besides what is kept of the training.
    private static let writing = 96 << 20
    private static let usualPart = 4096

    /// - Throws: `CheckpointError` of `.usage` where it cannot be done, naming the least that it takes.
    package init(_ task: Task, memory: Int, threads: Int) throws {
        let trained = task.student.table.reduce(0) { sum, entry in
            task.selection.contains(entry.key) ? sum + entry.value.rows * entry.value.columns : sum
        }
        let copies = (task.keepsBest ? 1 : 0) + (task.triesRates ? 1 : 0)
        let weights = try ModelMemory(task.student, .forward(slots: 0)).weights
        /// What is kept of the model while its result is written.
        func kept(isStreamed: Bool) -> Int {
            (isStreamed ? 0 : weights) + 4 * trained * (4 + copies + (isStreamed ? 1 : 0))
        }
        func planner(checkpoints: Bool) throws -> MemoryPlanner {
            var models = [
                try ModelMemory(
                    task.student, topK: task.topK,
                    .training(parameters: trained, copies: copies, checkpoints: checkpoints))
            ]
            if let teacher = task.teacher { models.append(try ModelMemory(teacher, .forward(slots: 0))) }
            var planner = MemoryPlanner(memory: memory, threads: threads, models: models, length: task.length)
            planner.other = task.student.tokenizerMemory
            if task.comparesStreams, let teacher = task.teacher { planner.tokenExtra = try 8 * teacher.streamBytes }
            planner.isResident = task.isResident
            let wanted = task.partTokens ?? Self.usualPart
            planner.tokens = max(1, min(wanted, task.stepTokens) / task.length) * task.length
            planner.streamedTokens = planner.tokens
            planner.isExact = true
            planner.floor = kept(isStreamed: !task.isResident) + Self.writing
            return planner
        }
        // Keeping what layers computed is quicker than computing it again, unless weights have to go for it.
        var best: (plan: MemoryPlan, checkpoints: Bool)?
        for checkpoints in task.checkpointsActivations ? [true] : [false, true] {
            guard let plan = try? planner(checkpoints: checkpoints).plan() else { continue }
            if plan.rank < best?.plan.rank ?? .max { best = (plan, checkpoints) }
        }
        var last = try planner(checkpoints: true)
        last.isExact = task.partTokens != nil
        let advice = task.partTokens == nil ? "lower `length`" : "lower `partTokens`"
        let (plan, checkpoints) = try best ?? (last.plan(advice: advice), true)
        let isStreamed = plan.placements[0].weights != .resident
        retained = kept(isStreamed: isStreamed)
        guard retained + Self.writing <= memory else {
            let mebibytes = (retained + Self.writing + (1 << 20) - 1) >> 20
            throw CheckpointError(
                .usage,
                message:
                    "`memory` \(memory >> 20)MiB: the trained parameters, their gradients and moments, and writing "
                    + "the result take \(mebibytes) MiB at least: give `memory` \(mebibytes)MiB, or train less with `train`"
            )
        }
        student = plan.placements[0]
        teacher = task.teacher == nil ? nil : plan.placements.last
        partTokens = plan.tokens / task.length * task.length
        checkpointsActivations = checkpoints
        last.limitKeptMemory()
    }
}

extension Checkpoint {
    /// What its tokenizer takes.
    fileprivate var tokenizerMemory: Int {
        companions.first { $0.name == "tokenizer.json" }.map { 4 * $0.byteCount } ?? 0
    }

    /// The streams that enter all layers, of a token.
    fileprivate var streamBytes: Int {
        get throws {
            let configuration = try DecoderConfiguration(description)
            return configuration.layers * configuration.hidden
        }
    }
}
