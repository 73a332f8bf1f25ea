public import ArgumentParser
import Checkpoints
public import MoEToolkit
import Safetensors

struct Merge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Merge domain models into a mixture of experts, or into one dense model.",
        discussion: """
            Each model's feed-forward networks become experts; everything else is combined by --average \
            (Branch-Train-MiX). A model may be a mixture itself, or a LoRA adapter.

              moe-tool merge code law math                        # -> code+law+math, top-2
              moe-tool merge code law --base seed --include-base --average ties --density 0.2
              moe-tool merge chemistry --into code+law+math       # a further expert, all else untouched
              moe-tool merge --dense a b --average slerp --t 0.3  # one dense model
              moe-tool merge code law --router domain:held-out/   # rows along what routers see of each domain's text
              moe-tool merge recipe.yaml                          # or a mergekit-moe or mergekit-yaml configuration
            """)

    @Argument(
        help: "The models: folders, or org/name[@revision] in the local Hugging Face cache; or one recipe (YAML).",
        completion: .file())
    var inputs: [String] = []

    @Option(help: "Where the models branched from: what task vectors are relative to.", completion: .directory)
    var base: String?

    @Flag(help: "The base is an expert as well, and part of the average.")
    var includeBase = false

    @Option(
        help: "Add the models as experts to this mixture and leave everything else of it as it is.",
        completion: .directory)
    var into: String?

    @Flag(help: "Merge to one model of the same family instead of a mixture.")
    var dense = false

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to; by default 2.")
    var topK: Int?

    @Option(
        help: ArgumentHelp(
            "The family of the result; by default the first that the models' family goes to.", valueName: "model_type"),
        completion: .list(Architecture.names))
    var target: String?

    @Option(
        help: ArgumentHelp(
            "How everything but the experts is combined, linear by default: \(MergeMethod.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "method"))
    var average: MergeMethod?

    @Option(help: ArgumentHelp("The models' weights, in their order; by default equal.", valueName: "w,w,..."))
    var weights: NumberList?

    @Option(
        help: ArgumentHelp("The share of a task vector that is kept, for all or each; by default 0.5.", valueName: "d"))
    var density: NumberList?

    @Option(help: "The factor on the combined task vectors; by default 1.")
    var lambda: Double?

    @Option(help: "slerp's share of the way from the first model to the second; by default 0.5.")
    var t: Double?

    @Option(help: "Divide the sum by the weights: on or off; by default as the method has it.")
    var normalize: Switch?

    @Option(help: "Scale sparsified task vectors up: paper (1/probability of being kept), l1 (mergekit's way) or none.")
    var rescale: Rescaling?

    @Option(help: "breadcrumbs: the share of the largest entries that is dropped; by default 0.01.")
    var gamma: Double?

    @Option(help: "della: half the range of the probabilities of being kept; by default 0.15.")
    var epsilon: Double?

    @Option(help: "sce: the share of entries with the highest variance; by default 1.")
    var selectTopk: Double?

    @Option(
        help: ArgumentHelp(
            """
            What the routers' new rows start from: random[:std] (0.02), uniform[:std], zero, file:ROUTER.safetensors; or \
            measured: domain:DATA (text of each expert's domain: a folder, or NAME=PATH,NAME=PATH), centroids:DATA \
            (clusters of any text), hidden:PROMPTS, embed:PROMPTS (a YAML file with positive_prompts for each of its \
            experts), or mergekit's cheap_embed:PROMPTS, hidden_last:PROMPTS, hidden_avg:PROMPTS.
            """, valueName: "rows"),
        completion: .list(["random", "uniform", "zero", "file:", "domain:", "centroids:", "hidden:", "embed:"]))
    var router: RouterArgument?

    @Option(
        help: "The standard deviation of the logits that measured rows give the means they are made of; by default 1.")
    var routerStd: Double?

    @OptionGroup var domains: DomainArguments

    @Option(help: "Tokens of each domain that routers' rows are measured on at most; by default 32768.")
    var routerTokens: Int?

    @Option(help: "Reconcile different vocabularies by token: base, union or intersect.")
    var vocab: VocabularyChoice?

    @Option(
        help: "Which layers become mixtures: all (the default), every:2, first-dense:1, or a list such as 3,5-9.",
        completion: .list(["all", "every:2", "first-dense:1"]))
    var layers: LayerSelection?

    @Option(
        help:
            "Divide the gates of the selected experts by their sum, where the family has a choice: on (the default) or off."
    )
    var normTopk: Switch?

    @Option(
        help: "The factor on the down projections of split or blended experts; by default it keeps the output's size.")
    var scale: Float?

    @Flag(help: "Refuse models without a tokenizer.")
    var requireTokenizer = false

    @Option(help: "The seed of every random draw; by default 0.")
    var seed: UInt64?

    @OptionGroup var reading: DataArguments
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if inputs.isEmpty { throw ValidationError("name the models to merge, or a recipe") }
        let isRecipe = inputs[0].hasSuffix(".yaml") || inputs[0].hasSuffix(".yml")
        if inputs.count == 1, !isRecipe, into == nil, base == nil {
            throw ValidationError(
                "merge takes two models or more, and there is only \(inputs[0]): name another, a mixture to add it to with "
                    + "--into, or the model it branched from with --base; `upcycle` makes a mixture of one model")
        }
        if let routerStd, !(routerStd > 0 && routerStd.isFinite) {
            throw ValidationError("--router-std \(routerStd): give a number above 0")
        }
        if let routerTokens, routerTokens < 2 {
            throw ValidationError("--router-tokens \(routerTokens): give at least 2")
        }
        if let scale, !scale.isFinite { throw ValidationError("--scale \(scale): give a number") }
        if let topK, !(1...65_536).contains(topK) { throw ValidationError("--top-k \(topK): give 1 to 65536") }
        if dense, into != nil { throw ValidationError("--dense and --into exclude each other") }
    }

    func run() async throws {
        var writing = writing
        var recipe: MergeRecipe
        if inputs.count == 1, inputs[0].hasSuffix(".yaml") || inputs[0].hasSuffix(".yml") {
            recipe = try MergeRecipe(contentsOf: inputs[0])
            if let output = recipe.output, writing.output == nil { writing.output = output }
        } else {
            recipe = MergeRecipe(models: inputs)
        }
        try apply(to: &recipe, &writing)
        try writing.check(
            output: writing.output ?? recipe.defaultOutput,
            inputs: recipe.models + [recipe.base, recipe.into].compactMap { $0 })
        try await measureRows(&recipe, writing)
        let merged = try recipe.merged()
        let output = writing.output ?? recipe.defaultOutput
        var remarks = recipe.remarks(merged)
        if merged.isMixture {
            remarks.append("Next: moe-tool finetune \(escaped(output)) --data NAME=TEXT teaches its routers.")
        }
        try await write(merged, to: output, writing: writing, common: common, remarks: remarks, details: [:])
    }

    /// Measures the routers' rows where they are to be measured.
    private func measureRows(_ recipe: inout MergeRecipe, _ writing: WritingOptions) async throws {
        guard recipe.measurement != nil else { return }
        let display = StatusLine(isQuiet: common.quiet)
        defer { display.finish() }
        try await recipe.measureRouters(text: reading.options(tokenLimit: routerTokens), compute: writing.compute) {
            display.show(ProgressText(parts: ["measuring the routers' rows: \($0)"]))
        }
    }

    /// What the command line says, over what a recipe says.
    private func apply(to recipe: inout MergeRecipe, _ writing: inout WritingOptions) throws {
        if let base { recipe.base = base }
        if let into { recipe.into = into }
        if dense { recipe.isDense = true }
        var options = recipe.options
        if includeBase { options.includesBase = true }
        if let topK { options.topK = topK }
        if let target { options.target = target }
        if let average { options.average = average }
        if let weights {
            guard weights.values.count == recipe.models.count else {
                throw ValidationError(
                    "--weights has \(weights.values.count) numbers for \(recipe.models.count) models")
            }
            options.settings.weights = weights.values.map { .value($0) }
        }
        if let density {
            guard density.values.count == 1 || density.values.count == recipe.models.count else {
                throw ValidationError(
                    "--density has \(density.values.count) numbers for \(recipe.models.count) models: give one, or one each"
                )
            }
            options.settings.densities =
                density.values.count == 1 ? [] : density.values.map { .value($0) }
            if density.values.count == 1 { options.settings.density = .value(density.values[0]) }
        }
        if let lambda { options.settings.lambda = .value(lambda) }
        if let t { options.settings.t = .value(t) }
        if let normalize { options.settings.normalises = normalize == .on }
        if let rescale { options.settings.rescaling = rescale }
        if let gamma { options.settings.gamma = .value(gamma) }
        if let epsilon { options.settings.epsilon = .value(epsilon) }
        if let selectTopk { options.settings.selectTopK = .value(selectTopk) }
        if let vocab { options.vocabulary = vocab }
        if let layers { options.layers = layers }
        if let normTopk { options.normalisesTopK = normTopk == .on }
        if let scale { options.scale = scale }
        if requireTokenizer { options.requiresTokenizer = true }
        if let seed { options.seed = seed }
        if let dtype = try writing.parsedDType() { options.dtype = dtype }
        // One option for how the networks become experts, and for how the experts lie on disk.
        if let layout = writing.layout, let arrangement = MergeOptions.ExpertArrangement(text: layout) {
            options.arrangement = arrangement
            writing.layout = nil
        }
        recipe.options = options
        if let routerStd { recipe.logitDeviation = routerStd }
        if domains.domainsInOrder { recipe.takesDomainsInOrder = true }
        switch router?.choice {
        case .rows(let rows): recipe.choose(router: rows)
        case .measured(let text):
            if let measurement = try RouterMeasurement(text: text) { recipe.choose(measurement: measurement) }
        case nil: break
        }
    }
}

/// Numbers with commas between them.
struct NumberList: ExpressibleByArgument, Sendable {
    let values: [Double]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
        guard !parts.isEmpty, parts.allSatisfy({ $0?.isFinite == true }) else { return nil }
        values = parts.compactMap { $0 }
    }
}

/// What `--router` says.
struct RouterArgument: ExpressibleByArgument, Sendable {
    enum Choice: Sendable {
        case rows(MergeOptions.RouterRows)
        /// Rows that are measured with a forward pass, as the argument has them.
        case measured(String)
    }

    let choice: Choice

    init?(argument: String) {
        if let rows = MergeOptions.RouterRows(text: argument) {
            choice = .rows(rows)
        } else if argument.split(separator: ":").first.map({ RouterMeasurement.names.contains(String($0)) }) == true {
            choice = .measured(argument)
        } else {
            return nil
        }
    }
}

extension MergeMethod: ExpressibleByArgument {
    /// A method by the name that recipes have for it.
    public init?(argument: String) { self.init(name: argument) }
}

extension Rescaling: ExpressibleByArgument {}
extension VocabularyChoice: ExpressibleByArgument {}
