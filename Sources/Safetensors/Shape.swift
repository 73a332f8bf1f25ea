/// The sizes of a tensor; `[]` is a scalar.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
    /// Dimensions that a shape may have at most.
    public static let maximumRank = 64

    /// The sizes, outermost first.
    public let dimensions: [Int]
    /// Their product.
    public let elementCount: Int

    /// Checks the sizes once, so that no later product of them can overflow, in whatever order it is formed.
    ///
    /// - Throws: `SafetensorsError` for a negative size, more than 64 dimensions, or a product of the sizes that are
    ///   not zero beyond 2^63 - 1.
    public init(_ dimensions: [Int]) throws(SafetensorsError) {
        guard dimensions.count <= Self.maximumRank else {
            throw SafetensorsError(
                .malformed,
                message: "a shape of \(dimensions.count) dimensions; at most \(Self.maximumRank) are allowed")
        }
        var product = 1
        for size in dimensions where size != 0 {
            guard size > 0 else {
                throw SafetensorsError(.malformed, message: "the shape has a negative size, \(size)")
            }
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            guard !overflow else {
                throw SafetensorsError(.malformed, message: "the product of the shape \(dimensions) overflows 64 bits")
            }
            product = next
        }
        self.dimensions = dimensions
        elementCount = dimensions.contains(0) ? 0 : product
    }

    /// The bytes that a tensor of this shape takes.
    ///
    /// - Throws: `SafetensorsError` where that overflows, or where elements of less than a byte do not fill the last one.
    public func byteCount(of dtype: DType) throws(SafetensorsError) -> Int {
        let (bits, overflow) = elementCount.multipliedReportingOverflow(by: dtype.bits)
        guard !overflow else {
            throw SafetensorsError(.malformed, message: "the size of \(dtype.rawValue) \(self) overflows 64 bits")
        }
        guard bits % 8 == 0 else {
            throw SafetensorsError(
                .malformed, message: "\(dtype.rawValue) \(self) is \(bits) bits, which is not a whole number of bytes")
        }
        return bits / 8
    }

    /// The sizes in brackets: `[4, 32]`.
    public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
