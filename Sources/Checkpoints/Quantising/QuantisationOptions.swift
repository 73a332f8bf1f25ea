import Quantisation
import Safetensors

/// How weights are quantised when a checkpoint is written.
public struct QuantisationOptions: Sendable, Hashable {
    /// What a weight becomes.
    public enum Format: Sendable, Hashable {
        /// E4M3, a scale for each 128 rows and 128 columns, as DeepSeek-V3 and Qwen3 are published.
        case fp8Block
        /// E4M3, a scale for each row; inputs are quantised as they come.
        case fp8Channel
        /// E2M1, a power of two for each 32 columns.
        case mxfp4
        /// Eight-bit integers, a scale for each row; inputs are quantised as they come.
        case int8
        /// Four-bit integers, a scale for each group of columns.
        case int4(group: Int)
        /// E2M1, an E4M3 scale for each 16 columns and a number for the whole.
        case nvfp4
    }

    /// Weights that are quantised together or not at all; the raw values are their names on the command line.
    public enum Group: String, Sendable, Hashable, CaseIterable {
        case experts
        case sharedExperts = "shared-experts"
        case feedForward = "feed-forward"
        case attention
        case mixers
        case router
        case embedding
        case head

        var kinds: Set<Role.Kind> {
            switch self {
            case .experts: [.expertGate, .expertUp, .expertDown]
            case .sharedExperts: [.sharedExpertGate, .sharedExpertUp, .sharedExpertDown]
            case .feedForward: [.feedForwardGate, .feedForwardUp, .feedForwardDown]
            case .attention:
                [
                    .query, .key, .value, .output, .attentionGate, .queryDown, .queryUp, .keyValueDown, .keyValueUp,
                ]
            case .mixers: [.mixerIn, .mixerGate, .mixerOut]
            case .router: [.router, .sharedExpertRouter]
            case .embedding: [.embedding]
            case .head: [.head]
            }
        }
    }

    /// What is quantised unless other groups are named: all but router, embedding and head.
    public static let defaultGroups: Set<Group> = [.experts, .sharedExperts, .feedForward, .attention, .mixers]

    /// What a weight becomes.
    public var format: Format
    /// What is quantised; nil for the default groups, as far as the family and the format have them.
    public var groups: Set<Group>?
    /// Whether the scales of four-bit codes are those with the least squared error of a few, instead of the largest
    /// magnitude's.
    public var search = false

    /// - Parameters:
    ///   - format: what a weight becomes.
    ///   - groups: what is quantised; nil for `defaultGroups`.
    public init(_ format: Format, groups: Set<Group>? = nil, search: Bool = false) {
        self.format = format
        self.groups = groups
        self.search = search
    }
}

extension QuantisationOptions.Format: CustomStringConvertible {
    /// The names of all formats, as the command line has them.
    package static let names = ["fp8-block", "fp8-channel", "mxfp4", "int8", "int4-group:128", "nvfp4"]

    /// The format of a name; nil where there is none.
    package init?(name: String) {
        switch name.lowercased() {
        case "fp8-block": self = .fp8Block
        case "fp8-channel": self = .fp8Channel
        case "mxfp4": self = .mxfp4
        case "int8": self = .int8
        case "nvfp4": self = .nvfp4
        case "int4-group": self = .int4(group: 128)
        case let name where name.hasPrefix("int4-group:"):
            guard let group = Int(name.dropFirst("int4-group:".count)), group > 0, group <= 1 << 20, group % 8 == 0
            else {
                return nil
            }
            self = .int4(group: group)
        default: return nil
        }
    }

    /// The format's name.
    public var description: String {
        switch self {
        case .fp8Block: "fp8-block"
        case .fp8Channel: "fp8-channel"
        case .mxfp4: "mxfp4"
        case .int8: "int8"
        case .int4(let group): "int4-group:\(group)"
        case .nvfp4: "nvfp4"
        }
    }

    /// Whether codes have four bits.
    package var isFourBits: Bool {
        switch self {
        case .mxfp4, .int4, .nvfp4: true
        case .fp8Block, .fp8Channel, .int8: false
        }
    }

    /// Columns that share a scale and must not be cut; one where a short group is allowed, or there are none.
    var columnsPerGroup: Int {
        switch self {
        case .fp8Block, .fp8Channel, .int8: 1
        case .mxfp4: 32
        case .int4(let group): group
        case .nvfp4: 16
        }
    }

    /// How a matrix of a dtype is encoded.
    func encoder(for dtype: DType, search: Bool) -> BlockEncoder {
        // Readers keep scales in the dtype of what is not quantised: others would be rounded when they are loaded.
        let own: DType =
            switch dtype {
            case .f16: .f16
            case .f32, .f64: .f32
            default: .bf16
            }
        return switch self {
        case .fp8Block: BlockEncoder(codes: .e4m3, scales: .float(.f32), rowsPerBlock: 128, columnsPerBlock: 128)
        case .fp8Channel: BlockEncoder(codes: .e4m3, scales: .float(own))
        case .int8: BlockEncoder(codes: .int8, scales: .float(own))
        case .int4(let group): BlockEncoder(codes: .int4, scales: .float(own), columnsPerBlock: group, search: search)
        case .mxfp4: BlockEncoder(codes: .e2m1, scales: .e8m0, columnsPerBlock: 32, search: search)
        case .nvfp4: BlockEncoder(codes: .e2m1, scales: .e4m3, columnsPerBlock: 16, search: search)
        }
    }
}
