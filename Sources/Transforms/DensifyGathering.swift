import Checkpoints
import Numerics

/// What Xue et al. 2022 ("One Student Knows All Experts Know", 2201.10890) call knowledge gathering, made to give back what
/// the experts have in common.
///
/// As published, Top-KG puts the units with the largest norms of each expert side by side and SVD-KG adds up the leading
/// singular directions of each; distillation then makes up for what that breaks. Without it, what experts share is broken
/// most: of E copies of one network the first keeps 1/E of the units, E times over, and the second 1/E of the directions,
/// E times as large. Here what is shared stands once: units that have one place in the network are chosen among, and
/// directions are those of the deviations from the experts' mean, added to it and averaged. Copies of one network become that
/// network by both.
extension Densification {
    /// A network with as many units as an expert, each place's from one of the experts.
    ///
    /// The experts take turns to give the unit with the largest norm among the places that are still empty, so that each
    /// gives the same share. The places of an upcycled model's experts are those of the dense network; others are aligned
    /// to one another first.
    func addTopNeurons(
        of members: [Int], _ layer: Int, _ orders: [Deferred<[Int]>?]?, factor: Double, to result: inout Layer
    ) throws {
        guard source.table[Role(.expertGateBias, layer: layer, expert: members[0])] == nil else {
            throw CheckpointError(
                .incompatible, message: "`method` top-neurons: the experts have biases, which is not supported")
        }
        var parts: [Role.Projection: [LazyTensor]] = [:]
        for projection in Role.Projection.allCases {
            parts[projection] = try aligned(members, layer, projection, orders)
        }
        guard let gates = parts[.gate], let ups = parts[.up], let downs = parts[.down] else { return }
        let width = gates[0].rows
        let units = members.indices.map { HiddenUnits(gate: gates[$0], up: ups[$0], down: downs[$0]) }
        let choice = Deferred<[Int]> { evaluator in
            let squares = try units.map { try $0.squaredNorms(evaluator) }
            return Self.takeTurns(squares).enumerated().map { $0.element * width + $0.offset }
        }
        for projection in Role.Projection.allCases {
            let inputs = parts[projection] ?? []
            let axis: Selection.Axis = projection == .down ? .columns : .rows
            let all = LazyTensor.concatenated(inputs, axis)
            var made = inputs[0]
            if inputs.count > 1 {
                made.expression = .picked(all.expression, axis, .deferred(choice), columns: all.columns)
            }
            try add(made, inputs, projection, factor: factor, to: &result)
        }
    }

    /// For each place, the expert that fills it.
    ///
    /// - Parameter squares: squared norms of each expert's units.
    private static func takeTurns(_ squares: [[Double]]) -> [Int] {
        let width = squares.first?.count ?? 0
        var taken = [Int?](repeating: nil, count: width)
        var queues = squares.map { own in
            // From the end: the largest, of equal ones the first.
            own.indices.sorted { own[$0] != own[$1] ? own[$0] < own[$1] : $0 > $1 }
        }
        for turn in 0..<width {
            let expert = turn % squares.count
            while let place = queues[expert].popLast() {
                if taken[place] != nil { continue }
                taken[place] = expert
                break
            }
        }
        return taken.map { $0 ?? 0 }
    }

    /// The mean of the experts, each of which is their mean and the leading singular directions of its deviation from it, as
    /// many as make up one matrix' rank together.
    func addLeading(of members: [Int], _ layer: Int, factor: Double, to result: inout Layer) throws {
        let usage = try weights(layer)
        let weights = members.map { usage[$0] }
        let total = weights.reduce(0, +)
        for projection in Role.Projection.allCases {
            let inputs = try aligned(members, layer, projection, nil)
            let (rows, columns) = (inputs[0].rows, inputs[0].columns)
            let rank = max(1, min(rows, columns) / inputs.count)
            let role = Role.expert(layer, members[0], projection)
            let workspace =
                28 * rows * columns + leadingDirectionsWorkspace(rows: rows, columns: columns, rank: rank)
            let values = Deferred<[Float]>(workspace: workspace) { evaluator in
                var mean = [Double](repeating: 0, count: rows * columns)
                for (input, weight) in zip(inputs, weights) {
                    let own = try evaluator.values(of: input)
                    for i in mean.indices { mean[i] += weight * Double(own[i]) }
                }
                for i in mean.indices { mean[i] /= total }
                var sum = mean
                for (input, weight) in zip(inputs, weights) where weight != 0 {
                    var deviation = try evaluator.values(of: input).map(Double.init)
                    for i in mean.indices { deviation[i] -= mean[i] }
                    if deviation.allSatisfy({ $0 == 0 }) { continue }
                    guard
                        addLeadingDirections(
                            of: deviation, rows: rows, columns: columns, rank: rank, factor: weight / total, to: &sum)
                    else {
                        throw CheckpointError(
                            .incompatible, tensor: "\(role)",
                            message:
                                "`method` svd: the experts' matrices have no singular vectors: a weight is not finite")
                    }
                }
                return sum.map { Float($0) }
            }
            let made = LazyTensor(
                rows: rows, columns: columns, dtype: inputs[0].dtype,
                expression: .whole(values, from: inputs.map(\.expression)))
            try add(made, inputs, projection, factor: factor, to: &result)
        }
    }
}
