public import Checkpoints
import Models
import Numerics
public import Safetensors

/// Two models compared by what they compute on text.
public struct ModelComparison: JSONResult {
    /// A domain of the text.
    public struct Domain: Sendable {
        /// The domain's name.
        public let name: String
        /// How far the outputs are apart on it.
        public let comparison: OutputComparison
    }

    /// The first model's name.
    public let first: String
    /// The second model's name.
    public let second: String
    /// In the order in which they were given.
    public let domains: [Domain]
    /// All domains together.
    public let all: OutputComparison

    /// Runs two models of one vocabulary over the same tokens.
    ///
    /// - Parameters:
    ///   - data: domains of text, as `EvaluationOptions.data` has them.
    ///   - length: tokens in a window, from 2 up.
    ///   - text: how it is read; `tokenLimit` is of each domain.
    ///   - compute: the memory is for both models together.
    /// - Throws: `CheckpointError` of `.incompatible` for models of different vocabularies or tokenizers, `.cancelled`;
    ///   `SafetensorsError` for data that cannot be read.
    public init(
        _ first: (name: String, checkpoint: Checkpoint), _ second: (name: String, checkpoint: Checkpoint),
        on data: [String], length: Int = 256, text: TextOptions = TextOptions(),
        compute: ComputeOptions = ComputeOptions()
    ) async throws {
        let found = try await runningOnThread {
            let workers = compute.workers()
            let sources = [first.checkpoint, second.checkpoint]
            var planner = MemoryPlanner(
                memory: compute.memory, threads: workers.count,
                models: try sources.map { try ModelMemory($0, .forward(slots: 0)) }, length: length)
            planner.other = sources.reduce(0) { $0 + ComputeMemory.tokenizer($1) }
            planner.tokens = 2048
            planner.streamedTokens = 16 << 10
            let plan = try planner.prepared(advice: "lower `length`")
            let a = try Decoder(sources[0], workers: workers, placement: plan.placements.first)
            let b = try Decoder(sources[1], workers: workers, placement: plan.placements.last)
            try OutputComparison.check(a, b)
            let paired = try PairedText(
                a, text.encoder(first.checkpoint), b, text.encoder(second.checkpoint), length: length,
                options: text.data, tokensAtOnce: plan.tokens)
            let domains = try DataSource.parse(data)
            try DomainText.check(
                domains, length: length, options: text.data, encoder: text.encoder(first.checkpoint))
            return try domains.map { source in
                var comparison = OutputComparison()
                try paired.forEachBatch(source) { batch in
                    try Interruption.check()
                    try comparison.add(a, b, batch)
                }
                return Domain(name: source.name, comparison: comparison)
            }
        }
        var all = OutputComparison()
        for domain in found { all.add(domain.comparison) }
        (self.first, self.second, domains, self.all) = (first.name, second.name, found, all)
    }

    /// The domains, and where there are several also all of them as one.
    package var rows: [Domain] { domains + (domains.count > 1 ? [Domain(name: "all", comparison: all)] : []) }

    /// The figures of all text, and of each domain.
    public var json: JSONObject {
        var document: JSONObject = ["first": .string(first), "second": .string(second)]
        for key in all.json.keys { document[key] = all.json[key] }
        var byDomain = JSONObject()
        for domain in domains { byDomain[domain.name] = .object(domain.comparison.json) }
        document["domains"] = .object(byDomain)
        return document
    }
}
