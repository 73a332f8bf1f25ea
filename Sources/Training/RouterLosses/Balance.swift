/// How the experts' load is balanced, as `--balance` names it: `switch:0.01`, `loss-free`, `none`.
package struct Balance: Sendable, Equatable {
    package enum Method: String, Sendable, CaseIterable {
        case none
        case `switch`
        case gshard
        case importanceLoad = "importance+load"
        case btx
        case hf
        case lossFree = "loss-free"
        case mutualInformation = "mutual-information"
    }

    package var method: Method
    /// What the loss is multiplied by; the rate of the bias for `loss-free`.
    package var weight: Double

    package init(_ method: Method, weight: Double? = nil) {
        self.method = method
        self.weight = weight ?? Self.usualWeight(method)
    }

    /// Reads a method's name, and a weight of 0 or more behind a colon; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.first, let method = Method(rawValue: name) else { return nil }
        guard parts.count == 2 else {
            self.init(method)
            return
        }
        guard method != .none, let weight = Double(parts[1]), weight.isFinite, weight >= 0 else { return nil }
        self.init(method, weight: weight)
    }

    /// The loss; nil for what is none.
    package var loss: (any RouterLoss)? {
        switch method {
        case .none, .lossFree: nil
        case .switch: SwitchLoss()
        case .gshard: GShardLoss()
        case .importanceLoad: ImportanceLoadLoss()
        case .btx: BranchTrainMixLoss()
        case .hf: PooledLoss()
        case .mutualInformation: MutualInformationLoss()
        }
    }

    /// Whether the routers must be noisy.
    package var needsNoise: Bool { method == .importanceLoad }
    /// Whether each token's domain must be known.
    package var needsDomains: Bool { method == .mutualInformation }

    private static func usualWeight(_ method: Method) -> Double {
        switch method {
        case .none: 0
        case .lossFree: 0.001
        default: 0.01
        }
    }
}
