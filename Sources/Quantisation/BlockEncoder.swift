import CPlatform
import Numerics
package import Safetensors

/// Makes codes and scales of the values of a matrix, some rows at a time.
///
/// A block of `rowsPerBlock` rows and `columnsPerBlock` columns has one scale, by which its values are divided before they
/// are rounded to the nearest code, ties to even. The scale is what makes the largest magnitude of the block the largest
/// code, rounded to the type it is stored in, or with `search` the one of a few around it that leaves the least squared error.
package struct BlockEncoder: Sendable, Hashable {
    /// The types of codes.
    package enum Codes: Sendable, Hashable { case e4m3, int8, int4, e2m1 }

    /// What scales are stored as.
    package enum Scales: Sendable, Hashable {
        /// Numbers of a floating-point type.
        case float(DType)
        /// Powers of two, 2^(byte - 127).
        case e8m0
        /// E4M3, divided by a number that the matrix has one of.
        case e4m3
    }

    package let codes: Codes
    package let scales: Scales
    package let rowsPerBlock: Int
    /// Columns of a block; nil for all that a row has.
    package let columnsPerBlock: Int?
    /// Whether other scales than the largest magnitude's are tried: for codes of four bits.
    package let search: Bool

    package init(codes: Codes, scales: Scales, rowsPerBlock: Int = 1, columnsPerBlock: Int? = nil, search: Bool = false)
    {
        self.codes = codes
        self.scales = scales
        self.rowsPerBlock = rowsPerBlock
        self.columnsPerBlock = columnsPerBlock
        self.search = search && codes.bits == 4 && rowsPerBlock == 1
    }

    /// Scales of each row of blocks of a matrix of `columns` columns.
    package func scaleColumns(_ columns: Int) -> Int {
        guard let columnsPerBlock else { return 1 }
        return (columns + columnsPerBlock - 1) / columnsPerBlock
    }

    /// Rows of blocks of a matrix of `rows` rows, of which the last may be short.
    package func scaleRows(_ rows: Int) -> Int { (rows + rowsPerBlock - 1) / rowsPerBlock }

    /// Bytes of the codes of `count` values.
    package func byteCount(_ count: Int) -> Int { count * codes.bits / 8 }

    /// The scales of whole rows of blocks, as they are stored: `[scaleRows, scaleColumns]`.
    ///
    /// - Parameters:
    ///   - values: `[rows, columns]`; only the last block may have fewer rows than the others.
    ///   - global: what E4M3 scales are divided by.
    ///   - overflowed: grows by how many scales are too large for their type, and become its largest number.
    package func scales(
        _ values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, global: Float = 1, overflowed: inout Int
    ) -> [Float] {
        let width = scaleColumns(columns)
        guard rows > 0, columns > 0, values.count >= rows * columns, let x = values.baseAddress else { return [] }
        var largest = [Float](repeating: 0, count: scaleRows(rows) * width)
        largest.withUnsafeMutableBufferPointer { largest in
            guard let target = largest.baseAddress else { return }
            for row in 0..<rows {
                cquantising_largest(
                    x + row * columns, columns, columnsPerBlock ?? columns, target + row / rowsPerBlock * width)
            }
        }
        let base = stored(largest, factor: 1, global: global, overflowed: &overflowed)
        return search ? searched(x, rows, columns, largest, base, global) : base
    }

    /// Writes the codes of whole rows of blocks.
    ///
    /// - Parameter scales: as `scales` gave them.
    package func encode(
        _ values: UnsafeBufferPointer<Float>, rows: Int, columns: Int, scales: [Float], global: Float = 1,
        into out: UnsafeMutableRawBufferPointer
    ) {
        let width = scaleColumns(columns)
        let factors = divided(scales, by: global)
        guard rows > 0, columns > 0, values.count >= rows * columns, out.count >= byteCount(rows * columns),
            factors.count >= scaleRows(rows) * width, let x = values.baseAddress, let target = out.baseAddress
        else { return }
        factors.withUnsafeBufferPointer { factors in
            guard let factors = factors.baseAddress else { return }
            for row in 0..<rows {
                cquantising_encode(
                    codes.kernel, x + row * columns, factors + row / rowsPerBlock * width, columns,
                    columnsPerBlock ?? columns, target + byteCount(row * columns))
            }
        }
    }

    /// Writes scales in the type they are stored in.
    package func write(_ scales: [Float], into out: UnsafeMutableRawBufferPointer) throws {
        switch self.scales {
        case .float(let dtype): _ = try scales.withUnsafeBufferPointer { try narrow($0, to: dtype, into: out) }
        case .e4m3: _ = try scales.withUnsafeBufferPointer { try narrow($0, to: .f8E4M3, into: out) }
        case .e8m0:
            for (index, scale) in scales.prefix(out.count).enumerated() { out[index] = Self.exponentByte(scale) }
        }
    }

    /// What codes are stored as.
    package var codeType: DType {
        switch codes {
        case .e4m3: .f8E4M3
        case .int8: .i8
        case .int4: .i32
        case .e2m1: .u8
        }
    }

    /// What scales are stored as.
    package var scaleType: DType {
        switch scales {
        case .float(let dtype): dtype
        case .e8m0: .u8
        case .e4m3: .f8E4M3
        }
    }

    /// Elements of the codes of a row of `columns` values.
    package func codeColumns(_ columns: Int) -> Int { columns * codes.bits / codeType.bits }

    /// The largest of a number and the magnitudes of values.
    package func largest(_ values: UnsafeBufferPointer<Float>, above start: Float) -> Float {
        var result = start
        if let x = values.baseAddress { cquantising_largest(x, values.count, max(values.count, 1), &result) }
        return result
    }

    /// What E4M3 scales of a matrix with that largest magnitude are divided by, so that they use their type's whole range.
    package func global(largest: Float) -> Float {
        let global = 448 * codes.range / max(largest, .leastNormalMagnitude)
        return global.isFinite ? global : 1
    }

    /// What a search tries beside the scale of the largest magnitude, as multiples of it.
    private var factors: [Float] {
        switch scales {
        case .float: [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6]
        // Codes of E2M1 are far apart between 4 and 6: a block may be nearer to codes whose largest is 4.
        case .e4m3: [1.5, 1.25, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7]
        case .e8m0: [2, 0.5]
        }
    }

    private func searched(
        _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ largest: [Float], _ base: [Float], _ global: Float
    ) -> [Float] {
        var best = base
        var least = errors(x, rows, columns, base, global)
        for factor in factors {
            var overflowed = 0
            let tried =
                scales == .e8m0
                ? base.map { Self.power(exponent: Int($0.exponent) + (factor > 1 ? 1 : -1)) }
                : stored(largest, factor: factor, global: global, overflowed: &overflowed)
            for (index, error) in errors(x, rows, columns, tried, global).enumerated() where error < least[index] {
                least[index] = error
                best[index] = tried[index]
            }
        }
        return best
    }

    private func errors(
        _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ scales: [Float], _ global: Float
    ) -> [Float] {
        let width = scaleColumns(columns)
        let factors = divided(scales, by: global)
        return [Float](unsafeUninitializedCapacity: scales.count) { errors, count in
            factors.withUnsafeBufferPointer { factors in
                guard let factors = factors.baseAddress, let target = errors.baseAddress else { return }
                for row in 0..<rows {
                    cquantising_errors(
                        codes.kernel, x + row * columns, factors + row * width, columns, columnsPerBlock ?? columns,
                        target + row * width)
                }
            }
            count = scales.count
        }
    }

    private func divided(_ scales: [Float], by global: Float) -> [Float] {
        self.scales == .e4m3 ? scales.map { $0 / global } : scales
    }

    /// The scales that make the largest magnitudes the largest code, times a factor, rounded to their type. One that would
    /// become zero is the least that the type has, and that of a block of zeros is one.
    private func stored(_ largest: [Float], factor: Float, global: Float, overflowed: inout Int) -> [Float] {
        switch scales {
        case .e8m0: return largest.map { $0 == 0 ? Self.power(exponent: -127) : Self.power(exponent: exponent(of: $0)) }
        case .float(let dtype):
            return rounded(largest.map { $0 / codes.range * factor }, largest, to: dtype, &overflowed)
        case .e4m3:
            let exact = largest.map { min(global * ($0 / codes.range) * factor, 448) }
            return rounded(exact, largest, to: .f8E4M3, &overflowed)
        }
    }

    private func rounded(_ exact: [Float], _ largest: [Float], to dtype: DType, _ overflowed: inout Int) -> [Float] {
        var result = exact
        do {
            try withUnsafeTemporaryAllocation(byteCount: max(exact.count * dtype.bits / 8, 1), alignment: 16) { bytes in
                overflowed += try exact.withUnsafeBufferPointer { try narrow($0, to: dtype, into: bytes) }
                try result.withUnsafeMutableBufferPointer {
                    try widen(UnsafeRawBufferPointer(bytes), dtype, into: $0)
                }
            }
        } catch { preconditionFailure("scales are of a type that converts: \(error)") }
        for index in result.indices {
            if largest[index] == 0 {
                result[index] = 1
            } else if result[index] == 0 {
                result[index] = Self.least(of: dtype)
            } else if result[index].isInfinite {
                result[index] = dtype == .f16 ? 65504 : dtype == .bf16 ? 0x1.FEp127 : .greatestFiniteMagnitude
            }
        }
        return result
    }

    /// The exponent that brings the largest magnitude near the largest code of E2M1: what would round to more than 6 has the
    /// next one, as compressed-tensors has it, and what lies between 6 and that becomes 6.
    private func exponent(of largest: Float) -> Int {
        let bumped = Float(bitPattern: (largest.bitPattern &+ 1 << 21) & 0x7F80_0000)
        if bumped.isInfinite { return 126 }
        return bumped.isNormal ? Int(bumped.exponent) - 2 : -127
    }

    private static func power(exponent: Int) -> Float {
        Float(sign: .plus, exponent: min(max(exponent, -127), 127), significand: 1)
    }

    private static func exponentByte(_ scale: Float) -> UInt8 { UInt8(clamping: Int(scale.exponent) + 127) }

    private static func least(of dtype: DType) -> Float {
        switch dtype {
        case .f8E4M3: 0x1p-9
        case .f16: 0x1p-24
        case .bf16: 0x1p-133
        default: .leastNonzeroMagnitude
        }
    }
}

extension BlockEncoder.Codes {
    /// Bits of a code.
    package var bits: Int { self == .e4m3 || self == .int8 ? 8 : 4 }

    /// Half of what lies between the least and the largest code: what the largest magnitude of a block becomes.
    var range: Float {
        switch self {
        case .e4m3: 448
        case .int8: 127.5
        case .int4: 7.5
        case .e2m1: 6
        }
    }

    var kernel: Int32 {
        switch self {
        case .e4m3: Int32(cquantising_e4m3)
        case .int8: Int32(cquantising_int8)
        case .int4: Int32(cquantising_int4)
        case .e2m1: Int32(cquantising_e2m1)
        }
    }
}
