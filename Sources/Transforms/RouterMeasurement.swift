import Checkpoints

/// Rows of new routers that are measured with a model: what is asked for, by a command line or a recipe. Who has the values
/// gives them to the recipe with `MergeRecipe.choose(router:)`.
public enum RouterMeasurement: Sendable, Hashable {
    /// From prompts for each expert.
    case prompts(PromptMode, [RouterPrompts])
    /// From the text of domains, one for each expert: values of `--data`.
    case domain([String])
    /// From any text: values of `--data`.
    case centroids([String])

    /// What is taken of prompts.
    public enum PromptMode: String, Sendable, CaseIterable {
        /// The mean embedding of the prompts' tokens, centred over the experts.
        case embed
        /// The mean of what the routers see, centred over the experts.
        case hidden
        /// mergekit's `cheap_embed`.
        case cheapEmbed = "cheap_embed"
        /// mergekit's `hidden_last`, which is its `hidden`.
        case hiddenLast = "hidden_last"
        /// mergekit's `hidden_avg`.
        case hiddenAverage = "hidden_avg"

        /// Whether it is one of mergekit's, which run the base model by itself.
        public var isMergekit: Bool { self != .embed && self != .hidden }
    }

    /// What a command line says, before the file of prompts is read: `embed:PROMPTS`, `hidden:PROMPTS`,
    /// `cheap_embed:PROMPTS`, `hidden_last:PROMPTS`, `hidden_avg:PROMPTS`, `domain:DATA[,DATA...]` or
    /// `centroids:DATA[,DATA...]`.
    ///
    /// - Returns: nil for anything else.
    /// - Throws: `CheckpointError` for a file of prompts that is none.
    public init?(text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, Self.names.contains(parts[0]) else { return nil }
        guard !parts[1].isEmpty else {
            throw CheckpointError(
                .usage,
                message:
                    "`router` \(text): name \(PromptMode(rawValue: parts[0]) == nil ? "the text" : "a file of prompts")"
            )
        }
        if let mode = PromptMode(rawValue: parts[0]) {
            self = .prompts(mode, try RouterPrompts.read(parts[1]))
            return
        }
        let data = parts[1].split(separator: ",").map(String.init)
        self = parts[0] == "domain" ? .domain(data) : .centroids(data)
    }

    /// What a text begins with that asks for a measurement.
    public static let names = PromptMode.allCases.map(\.rawValue) + ["domain", "centroids"]

    /// What it is called.
    public var name: String {
        switch self {
        case .prompts(let mode, _): mode.rawValue
        case .domain: "domain"
        case .centroids: "centroids"
        }
    }
}

/// Texts that an expert is for, and texts that it is not for.
public struct RouterPrompts: Sendable, Hashable {
    /// Texts whose states the expert's row is a mean of.
    public var positive: [String]
    /// Texts whose mean is taken away from it.
    public var negative: [String]

    /// The prompts of one expert.
    public init(positive: [String], negative: [String] = []) {
        self.positive = positive
        self.negative = negative
    }

    /// Reads a file of prompts: YAML with `experts`, a list in the order of the experts, each with `positive_prompts` and
    /// perhaps `negative_prompts`. A mergekit-moe configuration is one.
    ///
    /// - Throws: `CheckpointError` for a file that is not so.
    public static func read(_ path: String) throws -> [RouterPrompts] {
        let document = try RecipeMapping.document(path)
        try document.check(known: MergeRecipe.mergekitMoEKeys)
        guard let experts = try document.list("experts"), !experts.isEmpty else {
            throw document.failure("experts", "expected a list with positive_prompts for each expert")
        }
        return try experts.map { expert in
            try expert.check(known: MergeRecipe.mergekitExpertKeys)
            return try RouterPrompts(expert)
        }
    }

    init(_ entry: RecipeMapping) throws {
        positive = try entry.strings("positive_prompts") ?? []
        negative = try entry.strings("negative_prompts") ?? []
    }
}
