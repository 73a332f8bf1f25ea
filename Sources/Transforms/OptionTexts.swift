import Checkpoints

extension LayerSelection {
    /// `all`, `every:2`, `first-dense:1`, or a list such as `3,5-9`; nil for anything else.
    public init?(text: String) {
        if text == "all" {
            self = .all
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2, let number = Int(parts[1]), number >= 1 {
            switch parts[0] {
            case "every": self = .every(number)
            case "first-dense": self = .firstDense(number)
            default: return nil
            }
            return
        }
        var chosen: Set<Int> = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = item.split(separator: "-", omittingEmptySubsequences: false)
            guard let first = ends.first.flatMap({ Int($0) }), first >= 0, ends.count <= 2,
                let last = ends.count == 2 ? Int(ends[1]) : first, last >= first, last < 100_000
            else { return nil }
            chosen.formUnion(first...last)
        }
        self = .listed(chosen)
    }
}

extension MergeOptions.ExpertArrangement {
    /// `experts`, `split:C` or `blend:C`; nil for anything else.
    public init?(text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let count = parts.count == 2 ? Int(parts[1]) ?? 0 : 0
        switch (parts[0], parts.count) {
        case ("experts", 1): self = .experts
        case ("split", 2) where count > 0: self = .split(count)
        case ("blend", 2) where count > 0: self = .blend(count)
        default: return nil
        }
    }
}

extension MergeOptions.RouterRows {
    /// `random[:std]`, `uniform[:std]`, `zero` or `file:PATH`; nil for anything else.
    public init?(text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let std = parts.count == 2 ? Float(parts[1]) : nil
        let isPositive = std.map { $0 > 0 && $0.isFinite } ?? false
        switch (String(parts[0]), parts.count) {
        case ("zero", 1): self = .zero
        case ("random", 1): self = .random(std: 0.02)
        case ("random", 2) where isPositive: self = .random(std: std ?? 0.02)
        case ("uniform", 1): self = .uniform(std: nil)
        case ("uniform", 2) where isPositive: self = .uniform(std: std)
        case ("file", 2) where !parts[1].isEmpty: self = .file(String(parts[1]))
        default: return nil
        }
    }
}
