import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors

extension TrainingSession {
    /// Says what is about to be done.
    func describe(
        _ trainer: Trainer, _ decoder: Decoder, _ options: TrainingOptions, _ steps: Int, _ settings: TrainingSettings
    ) {
        let count = trainer.parameters.reduce(0) { $0 + $1.count }
        let batch =
            settings.batches == nil
            ? "\(max(1, settings.batchTokens / settings.length) * settings.length) tokens" : "the batches given"
        event?(
            .note(
                "Training \(countText(count)) of \(countText(decoder.checkpoint.parameterCount)) parameters for "
                    + "\(steps) steps of \(batch)."))
        if decoder.isStreamed {
            event?(
                .note(
                    "What is frozen stays on disk and is read in each pass: it does not fit `memory` "
                        + "\(memoryText(compute.memory)) in F32."))
        }
        if options.checkpointsActivations {
            event?(.note("Layers are computed a second time for their gradients (activation checkpointing)."))
        }
    }

    private func memoryText(_ bytes: Int) -> String {
        if bytes % (1 << 30) == 0 { return "\(bytes >> 30) GiB" }
        return bytes % (1 << 20) == 0 ? "\(bytes >> 20) MiB" : byteText(bytes)
    }

    /// Routers' rows along what they see of each expert's domain.
    func routerRows(
        _ decoder: Decoder, _ settings: TrainingSettings, _ plan: TrainingPlan
    ) throws -> [Int: [Float]] {
        guard !settings.data.isEmpty else {
            throw CheckpointError(.usage, message: "`routerInit` domain needs `data`")
        }
        var options = text.data
        options.tokenLimit = options.tokenLimit ?? 32_768
        let own = DomainExperts(student, for: "`routerInit` domain", isInOrder: domainsInOrder)
        return try RouterInputs(decoder).domainRows(
            own.ordered(DataSource.parse(settings.data)), length: settings.length, options: options,
            encoder: text.encoder(student), tokensAtOnce: plan.partTokens, deviation: 1)
    }

    /// The schedule with the best of some rates.
    func sweep(
        _ options: TrainingOptions, _ decoder: Decoder, _ teacher: Decoder?, _ source: any BatchSource,
        _ settings: TrainingSettings
    ) throws -> LearningRateSchedule {
        let rates = LearningRateSweep.factors.map { options.schedule.peak * $0 }
        event?(
            .note(
                "Trying \(rates.count) learning rates, \(settings.sweepSteps) steps each, on the loss of the batches "
                    + "after:"))
        let trials = try LearningRateSweep.run(
            decoder, teacher: teacher, options, source, steps: settings.sweepSteps, rates: rates
        ) { trial in
            try Interruption.check()
            let loss = trial.loss.isFinite ? fixedText(trial.loss, digits: 4) : "diverges"
            event?(.note("  \(numberText(trial.rate)): \(loss)"))
        }
        guard let best = trials.min(by: { $0.loss < $1.loss }), best.loss.isFinite else {
            throw CheckpointError(
                .incompatible,
                message: "`sweepsRates`: training diverges at every rate that was tried: give a lower `learningRate`")
        }
        let isEdge = best.rate == rates.first || best.rate == rates.last
        let remark = isEdge ? ", the last that was tried: a sweep around it may find better" : ""
        event?(.note("Taking \(numberText(best.rate))\(remark)."))
        var schedule = options.schedule
        schedule.peak = best.rate
        schedule.minimum = settings.minimumRate.map { min($0, best.rate) } ?? best.rate / 10
        return schedule
    }

    /// The held-out windows; nil where nothing is held out.
    ///
    /// - Parameter held: what was left out of the text that is trained on.
    func heldOut(_ held: [DomainText], _ settings: TrainingSettings, _ plan: TrainingPlan) throws -> HeldOut? {
        if settings.heldOut.isEmpty {
            return held.isEmpty ? nil : HeldOut(held, tokensAtOnce: plan.partTokens)
        }
        var options = text.data
        options.tokenLimit = settings.heldOutTokens
        return try HeldOut(
            DataSource.parse(settings.heldOut), length: settings.length, options: options,
            encoder: text.encoder(student), tokensAtOnce: plan.partTokens)
    }

    /// The losses of teacher and base.
    func others(
        _ distillation: Distillation, _ heldOut: HeldOut, _ teacher: Decoder?, _ plan: TrainingPlan
    ) throws -> (teacher: [HeldOutLoss], base: [HeldOutLoss]) {
        guard let teacher else { return ([], []) }
        let guide = try heldOut.losses(teacher).losses
        guard let base = distillation.base else { return (guide, []) }
        let memory = try ComputeMemory.passes(
            of: base, length: settings.length, memory: compute.memory - plan.retained, threads: compute.threads
        ).plan()
        let decoder = try Decoder(base, workers: compute.workers(), placement: memory.placements.first)
        return (guide, try heldOut.losses(decoder).losses)
    }

    /// What made the result, where no command says it otherwise.
    var ownIdentity: JSONObject {
        var own = identity
        if own.keys.isEmpty {
            own = ["command": .string(distillation == nil ? "finetune" : "distill"), "train": .string(selection.text)]
            if let topK { own["top-k"] = JSON(topK) }
            if initializesRouters { own["router-init"] = "domain" }
            if domainsInOrder { own["domains-in-order"] = true }
        }
        if let distillation {
            own["alpha"] = JSON(distillation.alpha)
            own["temperature"] = JSON(distillation.temperature)
            own["hidden-weight"] = JSON(distillation.hiddenWeight)
        }
        return own
    }

    /// All that decides the result: options, and models and text by their content.
    func fullIdentity(
        _ steps: Int, _ settings: TrainingSettings, _ source: any BatchSource, _ decoder: Decoder, _ heldOut: HeldOut?
    ) throws -> JSONObject {
        var all = ownIdentity
        for key in settings.identity.keys { all[key] = settings.identity[key] }
        all["steps"] = JSON(steps)
        if let dtype { all["dtype"] = .string(dtype.rawValue) }
        all["tokenizer"] = .string(text.tokenizer.rawValue)
        all["text-field"] = .string(text.textField)
        func digest(_ checkpoint: Checkpoint) throws -> JSON {
            var identity = RunIdentity()
            try identity.add(checkpoint)
            return .string(identity.digest)
        }
        all["content of the model"] = try digest(decoder.checkpoint)
        if let distillation { all["content of the teacher"] = try digest(distillation.teacher) }
        all["content of the text"] = .string(source.digest)
        if let heldOut { all["content of the held-out text"] = .string(heldOut.digest) }
        return all
    }

    static func digest(_ identity: JSONObject) -> String {
        var digest = RunIdentity()
        digest.add(ToolVersion.current)
        digest.add(JSON.object(identity).line)
        return digest.digest
    }
}
