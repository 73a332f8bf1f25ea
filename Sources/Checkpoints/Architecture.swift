import Formats
package import Safetensors

/// A model family as its file in `Formats/architectures` describes it.
package struct Architecture: Sendable {
    /// The family's `model_type`.
    package let modelType: String
    /// The class names that `architectures` in a configuration may have; the first is written.
    package let classNames: [String]
    /// What the family's configuration class assumes for absent keys.
    package let defaults: JSONObject
    /// Other spellings of keys.
    package let aliases: [String: [String]]
    /// What the router computes; nil for a dense family.
    package let router: Router?
    /// How the family is made from dense ones.
    package let upcycling: UpcyclingRules?
    /// What dense families it can become, and how.
    package let densification: DensificationRules?
    /// What its layers compute beyond what the tensors that are there say: kinds of norms, and the keys of scales, caps
    /// and windows.
    package let computation: JSONObject
    /// How it is stored for llama.cpp; nil where that is not known.
    package let gguf: GGUFRules?

    let symbols: [String: DimensionExpression]
    /// What some symbols are instead where a condition holds.
    let adjustedSymbols: [String: (condition: String, value: DimensionExpression)]
    let tensors: [TensorTemplate]
    let expertLayouts: [(name: String, tensors: [TensorTemplate])]
    /// The keys that say which layers are mixtures.
    package let layerKeys: MoELayerKeys
    /// Where the configuration says what mixes the tokens of each layer; nil where attention does in all.
    let mixerKeys: MixerKeys?
    /// The keys that name the activation, and its names that are known.
    package let activation: (keys: [String], supported: [String])
    let ignored: [String]
    /// Whether checkpoints have layers beyond the model's own, which predict further tokens.
    let hasFurtherLayers: Bool
    /// How the endings of codes and scales begin where stacked experts are stored in MXFP4; nil where no reader has them so.
    let stackedCodes: StackedCodes?
    /// The models around a model of this family, by the `model_type` of the one that a source was in.
    let wrappers: [String: (modelType: String, className: String)]

    /// What is put behind the name of stacked experts for their codes and their scales.
    struct StackedCodes: Sendable {
        let codes: String
        let scales: String
    }

    /// The layouts that routed experts may have on disk; the first is written unless another is asked for.
    package var layoutNames: [String] { expertLayouts.map(\.name) }

    /// The configuration key that a size is read from where it is there; nil where it is computed from others.
    package func key(ofSize symbol: String) -> String? {
        guard let parts = symbols[symbol]?.text.split(separator: " "), let key = parts.first,
            parts.count == 1 || parts[1] == "??"
        else { return nil }
        return String(key)
    }

    /// The sizes that the file names.
    package var symbolNames: Set<String> { Set(symbols.keys) }

    /// Whether the shared expert's output is multiplied by a gate of its own.
    package var hasSharedExpertGate: Bool { tensors.contains { $0.parts.first?.role == .sharedExpertRouter } }

    /// What the router of a family computes.
    package struct Router: Sendable {
        package enum Score: String, Sendable { case softmax, sigmoid, sparsemixer }

        package let score: Score
        /// The configuration key that says whether it is softmax or sigmoid instead; nil where the family has one.
        package let scoreKey: String?
        /// Whether the gates are made from the selected logits alone, and so sum to one.
        package let selectsBeforeScoring: Bool
        /// "always", "never", or the configuration key that says whether the selected gates are divided by their sum.
        package let renormalization: String
        /// The configuration key of the factor on the gates.
        package let scaleKey: String?
        /// How experts are chosen by group; nil where they are not.
        package let groups: JSONObject?
        /// The configuration key of the sparse mixer's threshold.
        package let jitterKey: String?
        /// Whether the gates multiply what goes into the experts.
        package let gatesInput: Bool
        /// The configuration key of the least that selected gates are divided by.
        package let leastSumKey: String?
        /// What is added to the sum that they are divided by.
        package let sumOffset: Double

        /// Whether the selected gates sum to one whatever the configuration says.
        package var alwaysRenormalizes: Bool { selectsBeforeScoring || renormalization == "always" }
        /// The configuration key that says whether they do.
        package var renormalizationKey: String? {
            alwaysRenormalizes || renormalization == "never" ? nil : renormalization
        }
    }

    /// The keys that say which layers are mixtures.
    package struct MoELayerKeys: Sendable {
        /// How many of the first layers are dense.
        package let firstDense: String?
        /// Every how many layers there is a mixture.
        package let step: String?
        /// A list of dense layers.
        package let dense: String?
        /// Every how many layers there is a mixture, counted from layer 0.
        package let frequency: String?
        /// The last layer that may be a mixture, -1 for the model's last.
        package let last: String?
        /// A list with `dense` or `sparse` for each layer, which decides where it is there.
        package let types: String?
        /// A list of the layers that are mixtures, which decides where it is there.
        package let listed: String?
        /// A condition without which no layer is one.
        package let when: String?
    }

    /// The family of that `model_type`; nil where it is not known.
    package static func named(_ modelType: String) throws -> Architecture? {
        try Formats.architecture(modelType).map { try Architecture(parsing: $0, file: "\(modelType).json") }
    }

    /// All known families' `model_type`s.
    package static var names: [String] { Formats.families }
}

/// A tensor of a family before the sizes are known.
struct TensorTemplate: Sendable {
    enum Layers: String, Sendable { case all, dense, moe }
    struct Part: Sendable {
        let role: Role.Kind
        /// Rows of the part; nil where the tensor has only this part.
        let rows: DimensionExpression?
    }

    let name: String
    let shape: [DimensionExpression]
    let parts: [Part]
    /// A configuration key that must be set, or with `!` must not be.
    let condition: String?
    let layers: Layers
    /// Only layers whose tokens are mixed so have it; nil for all.
    let mixer: MixerKind?
    /// Only layers whose attention is of this type have it; nil for all.
    let attends: AttentionSpan?
    /// The first dimension is the expert.
    let isStacked: Bool
    /// Stored as `[in, out]`.
    let isTransposed: Bool
    /// The parts alternate row by row instead of following one another.
    let isInterleaved: Bool
    let isOptional: Bool
    /// Stays F32 whatever dtype the checkpoint is converted to.
    let keepsF32: Bool

    var isPerLayer: Bool { name.contains("{layer}") }
    var isPerExpert: Bool { name.contains("{expert}") }

    func name(layer: Int, expert: Int) -> String {
        name.replacing("{layer}", with: String(layer)).replacing("{expert}", with: String(expert))
    }
}
