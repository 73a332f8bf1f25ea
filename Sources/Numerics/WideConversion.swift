import CPlatform
package import Safetensors

/// Reads little-endian floating-point values into F64, exactly.
///
/// - Parameters:
///   - source: the values, at any alignment; bytes beyond the target's count are not read.
///   - dtype: a type that `isConvertible`.
/// - Throws: `ConversionError` for any other type.
package func widen(
    _ source: UnsafeRawBufferPointer, _ dtype: DType, into target: UnsafeMutableBufferPointer<Double>
) throws(ConversionError) {
    guard dtype.isConvertible else { throw ConversionError(dtype: dtype) }
    let count = min(target.count, source.count / max(dtype.bits / 8, 1))
    guard count > 0, let from = source.baseAddress, let to = target.baseAddress else { return }
    switch dtype {
    case .f64: UnsafeMutableRawPointer(to).copyMemory(from: from, byteCount: count * 8)
    case .f32: cplatform_f32_to_f64(from, to, count)
    case .bf16: cplatform_bf16_to_f64(from, to, count)
    default:
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: min(count, 4096)) {
            scratch throws(ConversionError) in
            let size = max(dtype.bits / 8, 1)
            for start in stride(from: 0, to: count, by: 4096) {
                let part = UnsafeMutableBufferPointer(rebasing: scratch[0..<min(4096, count - start)])
                let bytes = UnsafeRawBufferPointer(start: from + start * size, count: part.count * size)
                try widen(bytes, dtype, into: part)
                for i in part.indices { to[start + i] = Double(part[i]) }
            }
        }
    }
}

/// Writes F64 values as little-endian values of another floating-point type: rounded once, to the nearest, ties to even.
///
/// - Returns: how many finite values became infinite, or the largest value of F8_E4M3.
/// - Throws: `ConversionError` for a type that is not `isConvertible`.
package func narrow(
    _ source: UnsafeBufferPointer<Double>, to dtype: DType, into target: UnsafeMutableRawBufferPointer
) throws(ConversionError) -> Int {
    guard dtype.isConvertible else { throw ConversionError(dtype: dtype) }
    let size = max(dtype.bits / 8, 1)
    let count = min(source.count, target.count / size)
    guard count > 0, let from = source.baseAddress, let to = target.baseAddress else { return 0 }
    if dtype == .f64 {
        to.copyMemory(from: from, byteCount: count * 8)
        return 0
    }
    var overflowed = 0
    try withUnsafeTemporaryAllocation(of: Float.self, capacity: 4096) { scratch throws(ConversionError) in
        for start in stride(from: 0, to: count, by: 4096) {
            let end = min(start + 4096, count)
            if dtype == .f32 {
                for i in start..<end {
                    scratch[i - start] = Float(from[i])
                    overflowed += from[i].isFinite && !scratch[i - start].isFinite ? 1 : 0
                }
            } else {
                // F32 has more than two bits beyond any narrower type, so that rounding to odd first and to the nearest
                // then is rounding once.
                // (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding
                // to odd").
                if let target = scratch.baseAddress { cplatform_round_to_odd(from + start, target, end - start) }
            }
            let part = UnsafeBufferPointer(rebasing: scratch[0..<end - start])
            let bytes = UnsafeMutableRawBufferPointer(start: to + start * size, count: part.count * size)
            overflowed += try narrow(part, to: dtype, into: bytes)
        }
    }
    return overflowed
}
