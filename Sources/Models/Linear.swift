import CPlatform
package import Checkpoints
package import Numerics

/// A projection `y = x Wᵀ + b`, or several of the same input stacked into one, so that the input is multiplied once.
package final class Linear {
    /// One of the matrices that are stacked.
    package struct Part {
        package let role: Role
        package let biasRole: Role?
        package let rows: Range<Int>
    }

    /// Rows of a matrix that stays on disk, in F32.
    struct Source {
        let rows: Int
        let columns: Int
        /// How many of them are in memory at a time.
        let rowsPerBlock: Int
        let read: (_ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>) throws -> Void
    }

    /// `[out, in]`; nil where it stays on disk, and is read a block of rows at a time wherever it is multiplied.
    package private(set) var resident: Matrix?
    private let source: Source?
    package let outputs: Int
    package let inputs: Int
    /// `[1, out]`
    package let bias: Matrix?
    package let parts: [Part]
    /// What is trained of it gets its gradient here, `[out, in]` and `[1, out]`; nil where nothing is.
    package var gradient: Matrix?
    package var biasGradient: Matrix?

    package init(weight: Matrix, bias: Matrix?, parts: [Part]) {
        resident = weight
        source = nil
        (outputs, inputs) = (weight.rows, weight.columns)
        self.bias = bias
        self.parts = parts
    }

    init(_ source: Source, bias: Matrix?, parts: [Part]) {
        resident = nil
        self.source = source
        (outputs, inputs) = (source.rows, source.columns)
        self.bias = bias
        self.parts = parts
    }

    /// `[out, in]`, in memory from now on.
    ///
    /// - Throws: `CheckpointError` where it cannot be read.
    package func loaded() throws -> Matrix {
        if let resident { return resident }
        let weight = Matrix(rows: outputs, columns: inputs)
        try source?.read(0..<outputs, weight.values)
        resident = weight
        return weight
    }

    /// Calls `body` with the matrix, or with blocks of its rows one after the other where it stays on disk.
    func forEachBlock(_ body: (_ rows: Range<Int>, _ weight: MatrixSpan) -> Void) throws {
        if let resident { return body(0..<outputs, resident.span) }
        guard let source else { return }
        var first = 0
        while first < outputs {
            let rows = first..<min(outputs, first + source.rowsPerBlock)
            let block = Matrix(rows: rows.count, columns: inputs)
            try source.read(rows, block.values)
            withExtendedLifetime(block) { body(rows, block.span) }
            first = rows.upperBound
        }
    }

    /// `[tokens, in]` to `[tokens, out]`.
    func forward(_ input: Matrix, _ workers: Workers) throws -> Matrix {
        let output = Matrix(rows: input.rows, columns: outputs)
        try forward(input.span, into: output.span, workers)
        return output
    }

    func forward(_ input: MatrixSpan, into output: MatrixSpan, _ workers: Workers) throws {
        try forEachBlock { rows, weight in
            let columns = MatrixSpan(
                output.values + rows.lowerBound, rows: output.rows, columns: rows.count, stride: output.stride)
            workers.multiply(input, weight, .second, into: columns)
        }
        addBias(to: output, workers)
    }

    private func addBias(to output: MatrixSpan, _ workers: Workers) {
        guard let bias else { return }
        workers.forEachRange(of: output.rows, size: 64) { rows in
            for row in rows {
                ctransformer_add_scaled(output.values + row * output.stride, bias.values, 1, output.columns)
            }
        }
    }

    /// Adds the gradient of the weights, where they are trained, and gives that of the input.
    ///
    /// - Parameters:
    ///   - output: the gradient of the output, `[tokens, out]`.
    ///   - target: where the gradient of the input goes, `[tokens, in]`; added to it with `beta` 1.
    func backward(
        _ output: MatrixSpan, input: MatrixSpan, into target: MatrixSpan?, beta: Float = 0, _ workers: Workers
    ) throws {
        if let gradient { workers.multiply(output, input, .first, into: gradient.span, beta: 1) }
        if let biasGradient { addColumnSums(of: output, to: biasGradient.values) }
        if let target { try inputGradient(output, into: target, beta: beta, workers) }
    }

    /// `target = output W + beta * target`
    func inputGradient(_ output: MatrixSpan, into target: MatrixSpan, beta: Float = 0, _ workers: Workers) throws {
        try forEachBlock { rows, weight in
            let columns = MatrixSpan(
                output.values + rows.lowerBound, rows: output.rows, columns: rows.count, stride: output.stride)
            workers.multiply(columns, weight, .none, into: target, beta: rows.lowerBound == 0 ? beta : 1)
        }
    }
}

/// `to[c] += sum over rows of x[r, c]`.
func addColumnSums(of x: MatrixSpan, to target: UnsafeMutablePointer<Float>) {
    for row in 0..<x.rows { ctransformer_add_scaled(target, x.values + row * x.stride, 1, x.columns) }
}

/// The weights of a norm.
package final class NormWeights {
    package let role: Role
    package let biasRole: Role?
    /// `[1, n]`
    package let weight: Matrix
    package let bias: Matrix?
    package var gradient: Matrix?
    package var biasGradient: Matrix?
    /// Whether the weights are ones that no checkpoint has: the norm has none.
    package let isWeightless: Bool

    package init(role: Role, biasRole: Role?, weight: Matrix, bias: Matrix?) {
        self.role = role
        self.biasRole = biasRole
        self.weight = weight
        self.bias = bias
        isWeightless = false
    }

    /// A norm without weights over vectors of `count` values.
    init(weightless role: Role, count: Int) {
        self.role = role
        biasRole = nil
        weight = Matrix(rows: 1, columns: count)
        weight.values.update(repeating: 1, count: count)
        bias = nil
        isWeightless = true
    }
}

/// A vector that is neither a norm's nor a projection's bias: attention sinks, the router's correction; or the kernels of a
/// convolution, a row for each channel.
package final class VectorWeights {
    package let role: Role
    package let values: Matrix
    package var gradient: Matrix?

    package init(role: Role, values: Matrix) {
        self.role = role
        self.values = values
    }
}
