public import Checkpoints
public import Evaluation
package import Safetensors

extension Report {
    /// Two checkpoints compared tensor by tensor.
    public init(_ first: String, _ second: String, _ comparison: TensorComparison) {
        self.init(comparing: first, second)
        result = .object(comparison.json)
        let results = comparison.tensors
        var counts: [(name: String, count: Int)] = [
            ("identical", 0), ("values differ", 0), ("dtypes differ", 0), ("shapes differ", 0),
            ("only in the first", 0),
            ("only in the second", 0),
        ]
        var differing: [(name: String, difference: Difference)] = []
        for tensor in results {
            switch tensor.outcome {
            case .compared(let difference):
                counts[difference.isIdentical ? 0 : 1].count += 1
                if !difference.isIdentical { differing.append((tensor.name, difference)) }
            case .dtypeDiffers(_, _, let difference):
                counts[2].count += 1
                differing.append((tensor.name, difference))
            case .shapeDiffers: counts[3].count += 1
            case .onlyInFirst: counts[4].count += 1
            case .onlyInSecond: counts[5].count += 1
            }
        }
        summary = "\(results.count) tensors, \(counts[0].count) of them identical."
        figures.append(
            Figure(
                "Tensors of both",
                .stacks(
                    StackedBars(
                        Axis("tensors", format: .general), categoryTitle: "", ["all"],
                        counts.filter { $0.count > 0 }.map { .init($0.name, [Double($0.count)]) }))))
        // NaN, which is no order, counts as the largest.
        func size(_ difference: Difference) -> Double {
            difference.maximumAbsolute.isNaN ? .infinity : difference.maximumAbsolute
        }
        let largest = differing.sorted { size($0.difference) > size($1.difference) }.prefix(24)
        guard !largest.isEmpty else { return }
        figures.append(
            Figure(
                "Tensors that differ most", caption: "The largest absolute difference of two values.",
                .bars(
                    BarChart(
                        Axis("largest difference"), categoryTitle: "tensor", largest.map(\.name),
                        [.init("largest difference", largest.map(\.difference.maximumAbsolute))]))))
    }

    /// A dense checkpoint and a mixture compared by role.
    public init(_ first: String, _ second: String, _ comparison: RoleComparison) {
        self.init(comparing: first, second)
        result = .object(comparison.json)
        summary = comparison.verdict
        facts = comparison.rows.map { ($0.part, "\($0.count), \($0.outcome)") }
        let rows = comparison.rows
        figures.append(
            Figure(
                "Tensors by group",
                .stacks(
                    StackedBars(
                        Axis("tensors"), categoryTitle: "group", rows.map(\.part),
                        [
                            .init("as they should be", rows.map { Double($0.same) }),
                            .init("different", rows.map { Double($0.total - $0.same) }),
                        ]))))
        figures.append(
            Figure(
                "Largest difference by group",
                .bars(
                    BarChart(
                        Axis("largest difference"), categoryTitle: "group", rows.map(\.part),
                        [.init("largest difference", rows.map(\.largest))]))))
    }

    /// A checkpoint and its quantised form compared by role.
    package init(_ first: String, _ second: String, _ errors: RoleErrors, result: JSON) {
        self.init(comparing: first, second)
        self.result = result
        summary =
            "\(errors.all.tensors) tensors, \(errors.all.same) of them the same; the root mean square of the "
            + "differences is \(numberText(errors.all.relative)) of that of the weights."
        facts += errors.rows.map {
            (
                $0.role,
                "\($0.tensors) tensors, relative error \(numberText($0.relative)), largest \(numberText($0.largest))"
            )
        }
        let rows = errors.rows.filter { $0.same < $0.tensors }
        guard !rows.isEmpty else { return }
        figures.append(
            Figure(
                "Error by role", caption: "The root mean square of the differences over that of the first's values.",
                .bars(
                    BarChart(
                        Axis("relative error"), categoryTitle: "role", rows.map(\.role),
                        [.init("relative error", rows.map(\.relative))]))))
    }

    /// Two models compared by what they compute.
    public init(_ comparison: ModelComparison) {
        self.init(comparing: comparison.first, comparison.second)
        result = .object(comparison.json)
        let domains = comparison.rows
        let tokens = domains.reduce(0) { $0 + $1.comparison.tokens }
        summary = "What both compute on \(tokens) tokens."
        func figure(_ title: String, _ value: Axis, _ measure: (OutputComparison) -> Double) -> Figure {
            Figure(
                title, isHalf: true,
                .bars(
                    BarChart(
                        value, categoryTitle: "domain", domains.map(\.name),
                        [.init(title, domains.map { measure($0.comparison) })])))
        }
        figures = [
            figure("Divergence of the second from the first", Axis("KL", unit: "nats a token")) { $0.meanDivergence },
            figure("Same likeliest token", Axis("share of the tokens", format: .percent)) { $0.agreement },
            figure("Largest difference of two logits", Axis("difference")) { $0.maximumDifference },
            figure("Mean difference of two logits", Axis("difference")) { $0.meanDifference },
        ]
    }

    private init(comparing first: String, _ second: String) {
        let names = shortNames([first, second])
        self.init("Comparison of \(names[0]) and \(names[1])")
        facts = [("first", first), ("second", second)]
    }
}
