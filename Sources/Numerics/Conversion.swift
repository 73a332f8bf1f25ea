import CPlatform
package import Safetensors

extension DType {
    /// Whether values of the type can be read into and written from F32.
    package var isConvertible: Bool {
        switch self {
        case .f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2: true
        case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .c64: false
        case .f4, .f6E2M3, .f6E3M2, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: false
        }
    }

    /// Whether every finite value of another type is a value of this one too.
    package func holds(_ other: DType) -> Bool {
        switch (self, other) {
        case (.f64, .f32), (.f64, .f16), (.f64, .bf16), (.f32, .f16), (.f32, .bf16): true
        case (.f64, .f8E4M3), (.f32, .f8E4M3), (.f16, .f8E4M3), (.bf16, .f8E4M3): true
        case (.f64, .f8E5M2), (.f32, .f8E5M2), (.f16, .f8E5M2), (.bf16, .f8E5M2): true
        default: self == other
        }
    }
}

/// Arithmetic on elements of a type that has no values here: they can only be copied.
package struct ConversionError: Error, CustomStringConvertible {
    package let dtype: DType

    package var description: String { "values of \(dtype.rawValue) cannot be computed with, only copied" }
}

/// Reads little-endian floating-point values into F32; exact but for F64, which is rounded to the nearest.
///
/// - Parameters:
///   - source: the values, at any alignment; bytes beyond the target's count are not read.
///   - dtype: a type that `isConvertible`.
/// - Throws: `ConversionError` for any other type; the target would hold whatever the memory held.
package func widen(
    _ source: UnsafeRawBufferPointer, _ dtype: DType, into target: UnsafeMutableBufferPointer<Float>
) throws(ConversionError) {
    guard dtype.isConvertible else { throw ConversionError(dtype: dtype) }
    let count = min(target.count, source.count / max(dtype.bits / 8, 1))
    guard count > 0, let from = source.baseAddress, let to = target.baseAddress else { return }
    switch dtype {
    case .f32: UnsafeMutableRawPointer(to).copyMemory(from: from, byteCount: count * 4)
    case .bf16:
        for i in 0..<count {
            to[i] = Float(bitPattern: UInt32(from.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)) << 16)
        }
    case .f16: cplatform_f16_to_f32(from, to, count)
    case .f64:
        for i in 0..<count { to[i] = Float(from.loadUnaligned(fromByteOffset: 8 * i, as: Double.self)) }
    case .f8E4M3: lookUp(from, to, count, Float8.e4m3.table)
    case .f8E5M2: lookUp(from, to, count, Float8.e5m2.table)
    case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .c64, .f4, .f6E2M3, .f6E3M2, .f8E8M0, .f8E4M3FNUZ,
        .f8E5M2FNUZ:
        throw ConversionError(dtype: dtype)
    }
}

private func lookUp(_ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>, _ count: Int, _ table: [Float]) {
    table.withUnsafeBufferPointer { table in
        for i in 0..<count { to[i] = table[Int(from.load(fromByteOffset: i, as: UInt8.self))] }
    }
}

/// Writes F32 values as little-endian values of another floating-point type, rounded to the nearest, ties to even.
///
/// NaN stays NaN. What is too large becomes infinite, and the largest value in F8_E4M3, which has no infinity: what
/// PyTorch does.
///
/// - Returns: how many finite values did so.
/// - Throws: `ConversionError` for a type that is not `isConvertible`.
package func narrow(
    _ source: UnsafeBufferPointer<Float>, to dtype: DType, into target: UnsafeMutableRawBufferPointer
) throws(ConversionError) -> Int {
    guard dtype.isConvertible else { throw ConversionError(dtype: dtype) }
    let count = min(source.count, target.count / max(dtype.bits / 8, 1))
    guard count > 0, let from = source.baseAddress, let to = target.baseAddress else { return 0 }
    var overflowed = 0
    switch dtype {
    case .f32: to.copyMemory(from: from, byteCount: count * 4)
    case .f64:
        for i in 0..<count { to.storeBytes(of: Double(from[i]), toByteOffset: 8 * i, as: Double.self) }
    case .bf16:
        overflowed = cplatform_f32_to_bf16(from, to, count)
    case .f16:
        cplatform_f32_to_f16(from, to, count)
        var over: UInt32 = 0
        for i in 0..<count {
            let magnitude = from[i].bitPattern & 0x7FFF_FFFF
            // 65520 is halfway between 65504, the largest, and 65536.
            over &+= magnitude >= 0x477F_F000 && magnitude < 0x7F80_0000 ? 1 : 0
        }
        overflowed = Int(over)
    case .f8E4M3: overflowed = Float8.e4m3.narrow(from, to, count)
    case .f8E5M2: overflowed = Float8.e5m2.narrow(from, to, count)
    case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .c64, .f4, .f6E2M3, .f6E3M2, .f8E8M0, .f8E4M3FNUZ,
        .f8E5M2FNUZ:
        throw ConversionError(dtype: dtype)
    }
    return overflowed
}

/// Values that are NaN or infinite.
///
/// - Throws: `ConversionError` for a type that is not `isConvertible`.
package func nonFiniteCount(_ source: UnsafeRawBufferPointer, _ dtype: DType) throws(ConversionError) -> Int {
    guard let from = source.baseAddress else { return 0 }
    var count = 0
    switch dtype {
    case .bf16, .f16:
        count = cplatform_count_masked_u16(from, source.count / 2, dtype == .bf16 ? 0x7F80 : 0x7C00)
    case .f32: count = cplatform_count_masked_u32(from, source.count / 4, 0x7F80_0000)
    case .f64:
        for i in 0..<source.count / 8 {
            count &+= from.loadUnaligned(fromByteOffset: 8 * i, as: Double.self).isFinite ? 0 : 1
        }
    case .f8E4M3: for byte in source { count &+= byte & 0x7F == 0x7F ? 1 : 0 }
    case .f8E5M2: for byte in source { count &+= byte & 0x7C == 0x7C ? 1 : 0 }
    case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .c64, .f4, .f6E2M3, .f6E3M2, .f8E8M0, .f8E4M3FNUZ,
        .f8E5M2FNUZ:
        throw ConversionError(dtype: dtype)
    }
    return count
}
