import CPlatform
import Checkpoints
import Glibc
package import Numerics

/// What a mixture layer did with its tokens, for those who watch: statistics, router rows, losses.
package struct MixtureRecord {
    package let layer: Int
    /// What the router saw, `[tokens, hidden]`.
    package let input: Matrix
    package let decision: RoutingDecision
    package let slots: ExpertSlots
    /// Each slot's output before its gate, `[slots, hidden]`.
    package let outputs: Matrix
    /// The gate of the shared expert, `[tokens, 1]`; nil where it has none.
    package fileprivate(set) var sharedGate: Matrix?
}

/// What the backward pass of a mixture layer needs.
final class MixtureTape {
    let input: Matrix
    /// What the router saw instead, where that is perturbed or has a norm of its own.
    let routerInput: Matrix?
    /// The stream that the router's norm saw, and its statistics; nil where it has none.
    var stream: (input: Matrix, statistics: Matrix)?
    let decision: RoutingDecision
    let slots: ExpertSlots
    /// The slots' inputs, `[slots, hidden]`; nil where no expert is trained.
    var gathered: Matrix?
    let gateUp: Matrix
    let activated: Matrix
    var shared: NetworkTape?
    /// What the shared expert gave before its gate, and the gate, `[tokens, 1]`.
    var sharedOutput: Matrix?
    var sharedGate: Matrix?

    init(
        input: Matrix, routerInput: Matrix?, decision: RoutingDecision, slots: ExpertSlots, gateUp: Matrix,
        activated: Matrix
    ) {
        self.input = input
        self.routerInput = routerInput
        self.decision = decision
        self.slots = slots
        self.gateUp = gateUp
        self.activated = activated
    }
}

/// A layer whose tokens go to some of its experts.
struct MixtureLayer {
    let parameters: MixtureParameters
    let activation: DecoderConfiguration.Activation
    let rule: RouterRule
    /// The factor on the shared expert's output, where it has no gate.
    let sharedScale: Float
    /// How a router that has a norm of its own normalises.
    let norm: DecoderConfiguration.Norm
    let layer: Int
    /// What training changes of the routing; nil for nothing.
    var perturbation: (any RouterPerturbation)?

    private static let rowsPerPiece = 32

    /// Whether the gates multiply what goes into the experts instead of what comes out.
    private var gatesInput: Bool { rule.configuration.gatesInput }

    /// - Parameters:
    ///   - stream: what a router with a norm of its own sees; nil where it sees what the experts do.
    ///   - gating: decides in the router's place; nil for what the router says.
    ///   - watches: whether the record is wanted.
    func forward(
        _ input: Matrix, stream: Matrix? = nil, gating: (any Gating)?, keeps: Bool, watches: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: MixtureTape?, record: MixtureRecord?) {
        let normalized = stream.flatMap { self.normalized($0, workers) }
        let seen = normalized?.output ?? input
        let routerInput = perturbation?.input(layer, seen, workers) ?? normalized?.output
        let logits = try parameters.router.forward(routerInput ?? input, workers)
        let correction = parameters.correction?.values
        let outcome: GatingOutcome
        if let perturbation {
            outcome = .routed(
                perturbation.decide(
                    layer, input: routerInput ?? input, logits: logits, correction: correction, rule, workers))
        } else {
            let context = GatingContext(layer: layer, input: seen, logits: logits, correction: correction, rule: rule)
            outcome =
                gating?.decide(context, workers) ?? .routed(rule.decide(logits, correction: correction, workers))
        }
        let output: Matrix
        var tape: MixtureTape?
        var record: MixtureRecord?
        switch outcome {
        case .routed(let decision):
            (output, tape, record) = try routed(
                decision, input, routerInput: routerInput, keeps: keeps, watches: watches, workers)
            if let stream, let statistics = normalized?.statistics { tape?.stream = (stream, statistics) }
        case .merged(let segments):
            output = try merged(segments, input, workers)
        }
        if let shared = parameters.shared {
            // Not in one line with the record: without one the shared expert would not be computed at all.
            let gate = try addShared(shared, input, to: output, tape, workers)
            record?.sharedGate = gate
        }
        return (output, tape, record)
    }

    /// What the router makes of the stream: `x / rms(x) * w / sqrt(hidden)`.
    private func normalized(_ stream: Matrix, _ workers: Workers) -> (output: Matrix, statistics: Matrix)? {
        guard let norm = routerNormalization else { return nil }
        let statistics = norm.statistics(rows: stream.rows)
        let output = norm.forward(stream, statistics: statistics, workers)
        ctransformer_scale(output.values, output.values, streamScale(output), output.count)
        return (output, statistics)
    }

    private var routerNormalization: Normalization? {
        parameters.routerNorm.map { Normalization(weights: $0, norm: norm) }
    }

    private func streamScale(_ stream: Matrix) -> Float { 1 / Float(stream.columns).squareRoot() }

    /// The decision with each gate times its expert's factor.
    private func scaled(_ decision: RoutingDecision) -> RoutingDecision {
        guard let factors = parameters.expertScale?.values else { return decision }
        var result = decision
        for entry in result.gates.indices { result.gates[entry] *= factors.values[Int(result.selected[entry])] }
        return result
    }

    /// The gradient of the gates before their experts' factors; adds that of the factors.
    private func unscaled(_ slopes: [Float], _ decision: RoutingDecision) -> [Float] {
        guard let scale = parameters.expertScale else { return slopes }
        return slopes.enumerated().map { entry, slope in
            let expert = Int(decision.selected[entry])
            scale.gradient?.values[expert] += slope * decision.gates[entry]
            return slope * scale.values.values[expert]
        }
    }

    private func routed(
        _ decision: RoutingDecision, _ input: Matrix, routerInput: Matrix?, keeps: Bool, watches: Bool,
        _ workers: Workers
    ) throws -> (Matrix, MixtureTape?, MixtureRecord?) {
        let slots = ExpertSlots(scaled(decision))
        let gathered = slots.gathered(input, workers)
        if gatesInput { slots.scale(gathered, workers) }
        let inner = parameters.experts.first?.inner ?? 0
        let gateUp = Matrix(rows: slots.count, columns: parameters.experts.first?.gateUp.outputs ?? 0)
        try apply(\.gateUp, slots, from: gathered, into: gateUp, workers)
        let activated = Matrix(rows: slots.count, columns: inner)
        workers.forEachRange(of: slots.count, size: Self.rowsPerPiece) { rows in
            activation.forward(gateUp.span(rows: rows), into: activated.span(rows: rows))
        }
        let outputs = Matrix(rows: slots.count, columns: input.columns)
        try apply(\.down, slots, from: activated, into: outputs, workers)
        let output = Matrix(rows: input.rows, columns: input.columns)
        slots.combine(outputs, weighted: !gatesInput, into: output, replacing: true, workers)
        var tape: MixtureTape?
        if keeps {
            let kept = MixtureTape(
                input: input, routerInput: routerInput, decision: decision, slots: slots, gateUp: gateUp,
                activated: activated)
            let trains = parameters.experts.contains { $0.gateUp.gradient != nil || $0.gateUp.biasGradient != nil }
            if trains { kept.gathered = gathered }
            tape = kept
        }
        let record =
            watches
            ? MixtureRecord(
                layer: layer, input: routerInput ?? input, decision: decision, slots: slots, outputs: outputs,
                sharedGate: nil) : nil
        return (output, tape, record)
    }

    /// Every expert's projection of its own slots.
    private func apply(
        _ projection: KeyPath<GatedNetwork, Linear>, _ slots: ExpertSlots, from input: Matrix, into output: Matrix,
        _ workers: Workers
    ) throws {
        guard isResident(projection) else {
            for (expert, network) in parameters.experts.enumerated() {
                let rows = slots.slots(of: expert)
                guard !rows.isEmpty else { continue }
                try network[keyPath: projection].forward(
                    input.span(rows: rows), into: output.span(rows: rows), workers)
            }
            return
        }
        workers.multiply(
            products(projection, slots) { rows, weight in
                MatrixProduct(input.span(rows: rows), weight, .second, into: output.span(rows: rows))
            })
        guard parameters.experts.contains(where: { $0[keyPath: projection].bias != nil }) else { return }
        workers.forEach(parameters.experts.count) { expert in
            guard let bias = parameters.experts[expert][keyPath: projection].bias else { return }
            for row in slots.slots(of: expert) {
                ctransformer_add_scaled(output.row(row), bias.values, 1, output.columns)
            }
        }
    }

    /// Adds the shared expert's output, times its gate where it has one.
    ///
    /// - Returns: the gate.
    private func addShared(
        _ shared: GatedNetwork, _ input: Matrix, to output: Matrix, _ tape: MixtureTape?, _ workers: Workers
    ) throws -> Matrix? {
        let (result, kept) = try FeedForward(network: shared, activation: activation).forward(
            input, keeps: tape != nil, workers)
        tape?.shared = kept
        var gate: Matrix?
        if let projection = parameters.sharedGate {
            let values = try projection.forward(input, workers)
            for i in 0..<values.count { values.values[i] = 1 / (1 + expf(-values.values[i])) }
            gate = values
            tape?.sharedGate = values
            tape?.sharedOutput = tape == nil ? nil : result
        }
        workers.forEachRange(of: output.rows, size: 64) { rows in
            for row in rows {
                ctransformer_add_scaled(
                    output.row(row), result.row(row), gate.map { $0.values[row] } ?? sharedScale, output.columns)
            }
        }
        return gate
    }

    /// Networks made of all experts' weights, one for each segment of tokens.
    private func merged(_ segments: [MergedSegment], _ input: Matrix, _ workers: Workers) throws -> Matrix {
        let output = Matrix(zeros: input.rows, input.columns)
        for segment in segments where !segment.tokens.isEmpty {
            var weights = segment.weights.map { $0 * segment.scale }
            if let factors = parameters.expertScale?.values {
                for expert in weights.indices { weights[expert] *= factors.values[expert] }
            }
            let network = GatedNetwork(
                gateUp: try mean(\.gateUp, segment.weights, workers),
                down: try mean(\.down, weights, workers))
            let gateUp = Matrix(rows: segment.tokens.count, columns: network.gateUp.outputs)
            try network.gateUp.forward(input.span(rows: segment.tokens), into: gateUp.span, workers)
            let activated = Matrix(rows: segment.tokens.count, columns: network.inner)
            activation.forward(gateUp.span, into: activated.span)
            try network.down.forward(activated.span, into: output.span(rows: segment.tokens), workers)
        }
        return output
    }

    /// The weighted sum of all experts' matrices.
    private func mean(_ projection: KeyPath<GatedNetwork, Linear>, _ weights: [Float], _ workers: Workers) throws
        -> Linear
    {
        let first = parameters.experts[0][keyPath: projection]
        let weight = Matrix(zeros: first.outputs, first.inputs)
        let bias = first.bias.map { Matrix(zeros: 1, $0.columns) }
        for (expert, factor) in weights.enumerated() where factor != 0 {
            try parameters.experts[expert][keyPath: projection].forEachBlock { block, source in
                workers.forEachRange(of: block.count, size: 32) { rows in
                    ctransformer_add_scaled(
                        weight.row(block.lowerBound + rows.lowerBound),
                        source.values + rows.lowerBound * source.stride, factor, rows.count * weight.columns)
                }
            }
        }
        for (expert, factor) in weights.enumerated() {
            if let bias, let own = parameters.experts[expert][keyPath: projection].bias {
                ctransformer_add_scaled(bias.values, own.values, factor, bias.columns)
            }
        }
        return Linear(weight: weight, bias: bias, parts: [])
    }

    /// The gradient of the input, `[tokens, hidden]`.
    ///
    /// - Parameters:
    ///   - streamSlope: the gradient of the stream that a router with a norm of its own sees is added to it.
    ///   - auxiliary: what else there is of the logits' gradient, `[tokens, experts]`.
    ///   - endsAtRouter: nothing but the router is trained here or below: what the input's gradient needs is left out.
    /// - Returns: the gradient of the input; of no use where it ends at the router.
    func backward(
        _ output: Matrix, _ tape: MixtureTape, streamSlope: Matrix? = nil, auxiliary: Matrix?, endsAtRouter: Bool,
        _ workers: Workers
    ) throws -> Matrix {
        let slots = tape.slots
        let outputs = slots.gathered(output, workers)
        // What the loss says about each slot's activations, were its gate one.
        let slope = Matrix(rows: slots.count, columns: tape.activated.columns)
        try inputGradients(\.down, slots, of: outputs, into: slope, workers)
        var gateSlopes = [Float](repeating: 0, count: slots.count)
        let downBiases = parameters.experts.map(\.down.bias)
        let trainsDown = parameters.experts.contains { $0.down.gradient != nil || $0.down.biasGradient != nil }
        gateSlopes.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let buffer = buffer
            workers.forEach(slots.experts) { expert in
                for slot in slots.slots(of: expert) {
                    var value = ctransformer_dot(slope.row(slot), tape.activated.row(slot), slope.columns)
                    if let bias = downBiases[expert] {
                        value += ctransformer_dot(outputs.row(slot), bias.values, outputs.columns)
                    }
                    buffer[slot] = value
                    if gatesInput { continue }
                    let gate = slots.gate[slot]
                    ctransformer_scale(slope.row(slot), slope.row(slot), gate, slope.columns)
                    if trainsDown { ctransformer_scale(outputs.row(slot), outputs.row(slot), gate, outputs.columns) }
                }
            }
        }
        var entrySlopes = slots.slotOfEntry.map { gateSlopes[Int($0)] }
        if endsAtRouter, !gatesInput {
            let result = Matrix(rows: output.rows, columns: output.columns)
            try routerBackward(tape, entrySlopes, auxiliary, into: result, stream: streamSlope, workers)
            return result
        }
        if trainsDown { addExpertGradients(\.down, slots, outputs, input: tape.activated, workers) }
        workers.forEachRange(of: slots.count, size: Self.rowsPerPiece) { rows in
            activation.backward(tape.gateUp.span(rows: rows), slope.span(rows: rows))
        }
        if let gathered = tape.gathered { addExpertGradients(\.gateUp, slots, tape.gateUp, input: gathered, workers) }
        let inputs = Matrix(rows: slots.count, columns: output.columns)
        try inputGradients(\.gateUp, slots, of: tape.gateUp, into: inputs, workers)
        if gatesInput {
            let slopes = slots.dots(inputs, with: tape.input, workers)
            entrySlopes = slots.slotOfEntry.map { slopes[Int($0)] }
            slots.scale(inputs, workers)
        }
        let result = Matrix(rows: output.rows, columns: output.columns)
        slots.combine(inputs, weighted: false, into: result, replacing: true, workers)
        try routerBackward(tape, entrySlopes, auxiliary, into: result, stream: streamSlope, workers)
        if let shared = parameters.shared, let kept = tape.shared {
            try sharedBackward(shared, kept, output, tape, into: result, workers)
        }
        return result
    }

    private func routerBackward(
        _ tape: MixtureTape, _ slopes: [Float], _ auxiliary: Matrix?, into result: Matrix, stream: Matrix?,
        _ workers: Workers
    ) throws {
        let slopes = unscaled(slopes, tape.decision)
        guard let stream, let norm = routerNormalization, let kept = tape.stream else {
            try routerBackward(tape, slopes, auxiliary, into: result, workers)
            return
        }
        let slope = Matrix(zeros: stream.rows, stream.columns)
        try routerBackward(tape, slopes, auxiliary, into: slope, workers)
        ctransformer_scale(slope.values, slope.values, streamScale(slope), slope.count)
        norm.backward(kept.input.span, statistics: kept.statistics, dy: slope.span, into: stream.span, workers)
    }

    private func routerBackward(
        _ tape: MixtureTape, _ slopes: [Float], _ auxiliary: Matrix?, into result: Matrix, _ workers: Workers
    ) throws {
        guard let perturbation else {
            let logits = rule.backward(tape.decision, slopes, workers)
            if let auxiliary { ctransformer_add_scaled(logits.values, auxiliary.values, 1, logits.count) }
            let input = tape.routerInput ?? tape.input
            try parameters.router.backward(logits.span, input: input.span, into: result.span, beta: 1, workers)
            return
        }
        let inputSlope = Matrix(zeros: result.rows, result.columns)
        let logits = perturbation.backward(
            layer, tape.decision, slopes, auxiliary: auxiliary, rule, inputSlope: inputSlope, workers)
        let input = tape.routerInput ?? tape.input
        try parameters.router.backward(logits.span, input: input.span, into: inputSlope.span, beta: 1, workers)
        if tape.routerInput != nil { perturbation.inputBackward(layer, inputSlope, workers) }
        ctransformer_add_scaled(result.values, inputSlope.values, 1, result.count)
    }

    /// Whether all experts' matrices are in memory, and are multiplied together.
    private func isResident(_ projection: KeyPath<GatedNetwork, Linear>) -> Bool {
        parameters.experts.allSatisfy { $0[keyPath: projection].resident != nil }
    }

    private func products(
        _ projection: KeyPath<GatedNetwork, Linear>, _ slots: ExpertSlots,
        _ make: (Range<Int>, MatrixSpan) -> MatrixProduct
    ) -> [MatrixProduct] {
        parameters.experts.indices.compactMap { expert in
            let rows = slots.slots(of: expert)
            guard !rows.isEmpty, let weight = parameters.experts[expert][keyPath: projection].resident else {
                return nil
            }
            return make(rows, weight.span)
        }
    }

    /// The gradients of the inputs of all experts' projections, each of its own slots.
    private func inputGradients(
        _ projection: KeyPath<GatedNetwork, Linear>, _ slots: ExpertSlots, of output: Matrix, into target: Matrix,
        _ workers: Workers
    ) throws {
        guard isResident(projection) else {
            for (expert, network) in parameters.experts.enumerated() {
                let rows = slots.slots(of: expert)
                guard !rows.isEmpty else { continue }
                try network[keyPath: projection].inputGradient(
                    output.span(rows: rows), into: target.span(rows: rows), workers)
            }
            return
        }
        workers.multiply(
            products(projection, slots) { rows, weight in
                MatrixProduct(output.span(rows: rows), weight, .none, into: target.span(rows: rows))
            })
    }

    private func addExpertGradients(
        _ projection: KeyPath<GatedNetwork, Linear>, _ slots: ExpertSlots, _ output: Matrix, input: Matrix,
        _ workers: Workers
    ) {
        var all: [MatrixProduct] = []
        for (expert, network) in parameters.experts.enumerated() {
            let rows = slots.slots(of: expert)
            guard !rows.isEmpty, let gradient = network[keyPath: projection].gradient else { continue }
            all.append(
                MatrixProduct(
                    output.span(rows: rows), input.span(rows: rows), .first, into: gradient.span, beta: 1))
        }
        workers.multiply(all)
        workers.forEach(parameters.experts.count) { expert in
            guard let gradient = parameters.experts[expert][keyPath: projection].biasGradient else { return }
            addColumnSums(of: output.span(rows: slots.slots(of: expert)), to: gradient.values)
        }
    }

    private func sharedBackward(
        _ shared: GatedNetwork, _ kept: NetworkTape, _ output: Matrix, _ tape: MixtureTape, into result: Matrix,
        _ workers: Workers
    ) throws {
        let network = FeedForward(network: shared, activation: activation)
        guard let projection = parameters.sharedGate, let gate = tape.sharedGate, let given = tape.sharedOutput else {
            var slope = output
            if sharedScale != 1 {
                slope = output.copy()
                ctransformer_scale(slope.values, slope.values, sharedScale, slope.count)
            }
            try network.backward(slope, input: tape.input, kept, into: result, beta: 1, workers)
            return
        }
        let scaled = Matrix(rows: output.rows, columns: output.columns)
        let slope = Matrix(rows: output.rows, columns: 1)
        workers.forEachRange(of: output.rows, size: 64) { rows in
            for row in rows {
                let value = gate.values[row]
                ctransformer_scale(scaled.row(row), output.row(row), value, output.columns)
                slope.values[row] =
                    ctransformer_dot(output.row(row), given.row(row), output.columns) * value * (1 - value)
            }
        }
        try network.backward(scaled, input: tape.input, kept, into: result, beta: 1, workers)
        try projection.backward(slope.span, input: tape.input.span, into: result.span, beta: 1, workers)
    }
}
