import Checkpoints
import Models
package import Numerics
import Safetensors
import Tokenizers
package import Transforms

/// Measures the rows of the routers that a merge is to have, on the merge as it will be but for them; nothing of it need
/// have been written.
///
/// ```swift
/// let rows = try RouterRowMeasurement(recipe, measurement, workers: workers, memory: 4 << 30).rows()
/// recipe.choose(router: .values(rows.experts))
/// ```
package struct RouterRowMeasurement {
    /// Rows by layer.
    package struct Rows: Sendable {
        /// `[experts, hidden]`
        package var experts: [Int: [Float]] = [:]
        /// The row of the shared expert's gate, `[hidden]`, where there are prompts for it.
        package var sharedGate: [Int: [Float]] = [:]
    }

    private let recipe: MergeRecipe
    private let measurement: RouterMeasurement
    private let workers: Workers
    private let memory: Int
    /// How text is read; `tokenLimit` of each domain is 32,768 unless it says otherwise.
    package var options = DataOptions()
    /// Takes bytes for tokens.
    package var takesBytes = false
    /// Told what is being read, and asked whether to go on.
    package var progress: (_ stage: String) throws -> Void = { _ in }

    private static let length = 256
    private static let tokensPerDomain = 32_768
    private static let samples = 2048

    package init(_ recipe: MergeRecipe, _ measurement: RouterMeasurement, workers: Workers, memory: Int) {
        self.recipe = recipe
        self.measurement = measurement
        self.workers = workers
        self.memory = memory
    }

    /// - Throws: `CheckpointError`: `.usage` where the prompts or domains are not as many as the experts, `.incompatible`
    ///   where there is no tokenizer or the merge is none; as `WindowReader` for the text.
    package func rows() throws -> Rows {
        guard !recipe.isDense, recipe.into == nil else {
            throw CheckpointError(
                .usage,
                message:
                    "`router` \(measurement.name): measured rows are for the routers of a new mixture; with `into` give "
                    + "random[:std], zero or file:ROUTER.safetensors")
        }
        var provisional = recipe
        provisional.choose(router: .zero)
        let merged = try provisional.merged()
        switch measurement {
        case .prompts(let mode, let prompts):
            return mode.isMergekit
                ? try mergekitRows(mode, prompts, merged)
                : Rows(experts: try promptRows(mode, prompts, merged))
        case .domain(let data): return Rows(experts: try domainRows(data, merged))
        case .centroids(let data): return Rows(experts: try centroidRows(data, merged))
        }
    }

    /// The merge ready to compute with all experts taking part, and how many tokens go through it at once.
    private func decoder(_ merged: Checkpoint) throws -> (decoder: Decoder, tokens: Int) {
        let experts = try merged.description.size("experts")
        var planner = try ComputeMemory.passes(
            of: merged, length: length(merged), slots: experts, memory: memory, threads: workers.count)
        if case .centroids = measurement { planner.shares.append(.samples) }
        let plan = try planner.prepared()
        return (try Decoder(merged, workers: workers, placement: plan.placements.first), plan.tokens)
    }

    private func layers(_ merged: Checkpoint) -> [Int] {
        merged.description.moeLayers.indices.filter { merged.description.moeLayers[$0] }
    }

    private func check(_ prompts: [RouterPrompts], count: Int, _ what: String) throws {
        guard prompts.count == count else {
            throw CheckpointError(
                .usage, message: "there are prompts for \(prompts.count) experts, and \(count) \(what)")
        }
        for (index, prompt) in prompts.enumerated() where prompt.positive.isEmpty {
            throw CheckpointError(
                .usage, message: "`router` \(measurement.name): expert \(index) has no positive_prompts")
        }
    }

    // MARK: mergekit

    private func mergekitRows(
        _ mode: RouterMeasurement.PromptMode, _ prompts: [RouterPrompts], _ merged: Checkpoint
    ) throws -> Rows {
        let experts = try merged.description.size("experts")
        // The shared expert comes last, where it has prompts.
        let hasShared = prompts.count == experts + 1 && recipe.sharedExpert != nil
        try check(prompts, count: experts + (hasShared ? 1 : 0), "are merged")
        guard let path = recipe.base ?? recipe.models.first else { return Rows() }
        let states = try PromptStates(recipe.open(path), workers: workers, memory: memory)
        var byLayer: [Int: [Float]] = [:]
        if mode == .cheapEmbed {
            let all = RouterValues.mergekitCheapEmbed(
                positive: try prompts.map { try states.embeddingSum($0.positive) },
                negative: try prompts.map { $0.negative.isEmpty ? nil : try states.embeddingSum($0.negative) })
            for layer in layers(merged) { byLayer[layer] = all }
        } else {
            func of(_ texts: [String]) throws -> [[[Double]]] {
                try progress("prompts")
                if texts.isEmpty { return [[[Double]]](repeating: [], count: states.layers) }
                return mode == .hiddenAverage ? try states.meanStates(texts) : try states.lastStates(texts)
            }
            let positive = try prompts.map { try of($0.positive) }
            let negative = try prompts.map { try of($0.negative) }
            for layer in layers(merged) {
                byLayer[layer] = RouterValues.mergekitHidden(
                    positive: positive.map { $0[layer] }, negative: negative.map { $0[layer] })
            }
        }
        var rows = Rows()
        for (layer, values) in byLayer {
            let hidden = values.count / prompts.count
            rows.experts[layer] = Array(values.prefix(experts * hidden))
            if hasShared { rows.sharedGate[layer] = Array(values.suffix(hidden)) }
        }
        return rows
    }

    // MARK: Prompts

    private func promptRows(
        _ mode: RouterMeasurement.PromptMode, _ prompts: [RouterPrompts], _ merged: Checkpoint
    ) throws -> [Int: [Float]] {
        let experts = try merged.description.size("experts")
        try check(prompts, count: experts, "are merged")
        let encoding = try PromptEncoding(TextEncoder(for: merged, bytes: takesBytes))
        let inputs = try RouterInputs(decoder(merged).decoder)
        /// The mean over all tokens of some prompts by layer; of embeddings, the same for all layers.
        func mean(_ texts: [String], expert: Int) throws -> [Int: [Double]] {
            let sums = InputSums()
            for text in texts {
                try progress("prompts")
                let ids = try encoding.encode(text, addsFirst: false)
                guard !ids.isEmpty else { continue }
                if mode == .embed {
                    let embedded = try inputs.decoder.embed(ids)
                    for layer in layers(merged) { sums.add(embedded, layer: layer) }
                } else {
                    try inputs.run(TokenBatch(ids: ids, length: ids.count), sums)
                }
            }
            guard !sums.means.isEmpty else {
                throw CheckpointError(.usage, message: "the prompts of expert \(expert) have no token")
            }
            return sums.means
        }
        var means: [Int: [[Double]]] = [:]
        for (expert, prompt) in prompts.enumerated() {
            let towards = try mean(prompt.positive, expert: expert)
            let away = prompt.negative.isEmpty ? [:] : try mean(prompt.negative, expert: expert)
            for layer in layers(merged) {
                var row = towards[layer] ?? []
                if let other = away[layer] { row = zip(row, other).map { $0 - $1 } }
                means[layer, default: []].append(row)
            }
        }
        return means.mapValues { RouterValues.domain(means: $0, logitStandardDeviation: recipe.logitDeviation) }
    }

    // MARK: Text

    private func domainRows(_ data: [String], _ merged: Checkpoint) throws -> [Int: [Float]] {
        let sources = try domainExperts(merged, "domain").ordered(DataSource.parse(data))
        let encoder = try TextEncoder(for: merged, bytes: takesBytes)
        try DomainText.check(sources, length: length(merged), options: limited, encoder: encoder)
        let (decoder, tokens) = try decoder(merged)
        return try RouterInputs(decoder).domainRows(
            sources, length: length(merged), options: limited, encoder: encoder, tokensAtOnce: tokens,
            deviation: recipe.logitDeviation, progress: progress)
    }

    private func domainExperts(_ merged: Checkpoint, _ name: String) -> DomainExperts {
        DomainExperts(merged, for: "`router` \(name)", isInOrder: recipe.takesDomainsInOrder)
    }

    private func centroidRows(_ data: [String], _ merged: Checkpoint) throws -> [Int: [Float]] {
        let experts = try merged.description.size("experts")
        // Any text will do; where it is the experts' domains, each gets its own one's cluster.
        let parsed = try DataSource.parse(data)
        let matched = try? domainExperts(merged, "centroids").ordered(parsed)
        let sources = matched ?? parsed
        let encoder = try TextEncoder(for: merged, bytes: takesBytes)
        try DomainText.check(sources, length: length(merged), options: limited, encoder: encoder)
        let (decoder, tokens) = try decoder(merged)
        let inputs = try RouterInputs(decoder)
        let perToken = 4 * decoder.configuration.hidden * max(layers(merged).count, 1)
        let kept = max(experts * 8, min(Self.samples, MemoryShare.samples.bytes(of: memory) / 2 / perToken))
        let samples = InputSamples(every: max(1, (limited.tokenLimit ?? 0) * sources.count / kept))
        /// How many samples there are after each domain.
        var ends: [Int] = []
        for source in sources {
            try inputs.run(
                source, length: length(merged), options: limited, encoder: encoder,
                tokensAtOnce: tokens, samples, progress: { try progress(source.name) })
            ends.append(samples.rows.values.first?.count ?? 0)
        }
        var result: [Int: [Float]] = [:]
        for (layer, rows) in samples.rows {
            try progress("clusters of layer \(layer)")
            guard rows.count >= experts else {
                throw CheckpointError(
                    .usage, message: "`router` centroids: \(experts) clusters need more text than \(rows.count) tokens")
            }
            let (centres, members) = RouterValues.balancedCentres(
                rows.map { $0.map(Double.init) }, count: experts)
            var order = Array(0..<experts)
            if matched != nil { order = assignment(members, ends, experts) }
            result[layer] = RouterValues.domain(
                means: order.map { centres[$0] }, logitStandardDeviation: recipe.logitDeviation)
        }
        return result
    }

    /// The cluster of each expert, so that as many samples as can be are of the expert's own domain: which cluster is
    /// whose is otherwise chance, and another in each layer.
    private func assignment(_ members: [Int], _ ends: [Int], _ experts: Int) -> [Int] {
        var costs = [Float](repeating: 0, count: experts * experts)
        var domain = 0
        for (sample, cluster) in members.enumerated() {
            while domain + 1 < experts, sample >= ends[domain] { domain += 1 }
            costs[domain * experts + cluster] -= 1
        }
        return linearAssignment(costs, count: experts)
    }

    private var limited: DataOptions {
        var options = options
        options.tokenLimit = options.tokenLimit ?? Self.tokensPerDomain
        return options
    }

    /// Windows as long as the model's positions allow.
    private func length(_ merged: Checkpoint) throws -> Int {
        max(2, min(Self.length, try merged.description.positions ?? Self.length))
    }
}
