import CPlatform

/// What codes are multiplied with, and what is subtracted before and added behind, a number for each group of columns of a row.
package struct GroupScaling {
    package let scales: UnsafeBufferPointer<Float>
    package let zeros: UnsafeBufferPointer<Float>?
    package let biases: UnsafeBufferPointer<Float>?

    package init(
        scales: UnsafeBufferPointer<Float>, zeros: UnsafeBufferPointer<Float>? = nil,
        biases: UnsafeBufferPointer<Float>? = nil
    ) {
        self.scales = scales
        self.zeros = zeros
        self.biases = biases
    }

    /// Groups that there are numbers for.
    private var count: Int { min(scales.count, zeros?.count ?? .max, biases?.count ?? .max) }

    /// `(x - zero) * scale + bias` of groups of `size` columns each; `first` is the number of the first value among them.
    package func apply(to values: UnsafeMutableBufferPointer<Float>, from first: Int = 0, size: Int) {
        guard let x = values.baseAddress, values.count > 0, let scales = scales.baseAddress else { return }
        precondition(first >= 0 && size > 0 && (first + values.count - 1) / size < count, "a scale for each group")
        cquantised_apply_groups(x, first, values.count, size, scales, zeros?.baseAddress, biases?.baseAddress)
    }

    /// The same where `index` says to which group each value belongs.
    package func apply(to values: UnsafeMutableBufferPointer<Float>, index: UnsafeBufferPointer<Int32>) {
        guard let x = values.baseAddress, let scales = scales.baseAddress, let first = index.baseAddress,
            index.count == values.count
        else { return }
        precondition(index.allSatisfy { $0 >= 0 && Int($0) < count }, "a scale for each group")
        cquantised_apply_indexed(x, values.count, first, scales, zeros?.baseAddress, biases?.baseAddress)
    }
}

/// Turns a matrix of elements of four bytes, `[rows, columns]` with `stride` elements from row to row, into `[columns, rows]`
/// without gaps.
package func transpose(
    _ from: UnsafeRawPointer, stride: Int, rows: Int, columns: Int, to target: UnsafeMutableRawPointer
) {
    guard rows > 0, columns > 0 else { return }
    cquantised_transpose(from, stride, target, rows, rows, columns)
}
