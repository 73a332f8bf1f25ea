import Numerics
import Safetensors

/// How two tensors of the same sizes differ.
public struct Difference: Sendable, Equatable {
    /// Whether dtype and every byte are the same.
    public package(set) var isIdentical = true
    /// The largest |a - b|; NaN where exactly one of the two is NaN.
    public package(set) var maximumAbsolute: Double = 0
    /// The largest |a - b| / max(|a|, |b|).
    public package(set) var maximumRelative: Double = 0
    /// Elements that differ.
    public package(set) var count = 0
    /// Whether they are of a type that has no values here, so that only their bytes could be compared.
    public package(set) var isOfBytes = false

    package init() {}

    mutating func merge(_ other: Difference) {
        isIdentical = isIdentical && other.isIdentical
        maximumAbsolute = Self.larger(maximumAbsolute, other.maximumAbsolute)
        maximumRelative = Self.larger(maximumRelative, other.maximumRelative)
        count += other.count
        isOfBytes = isOfBytes || other.isOfBytes
    }

    /// NaN is the largest of all: it must not be lost among numbers.
    static func larger(_ a: Double, _ b: Double) -> Double {
        if a.isNaN || b.isNaN { return .nan }
        return max(a, b)
    }

    /// Compares two tensors of the same sizes, a block of rows at a time.
    ///
    /// Tensors of types that are not numbers here (F4, F6, integers, ...) are compared by their bytes alone.
    package static func between(
        _ a: LazyTensor, _ b: LazyTensor, isCancelled: () -> Bool = { false }
    ) throws -> Difference {
        var result = Difference()
        result.isIdentical = a.dtype == b.dtype
        let evaluator = Evaluator(loaded: LoadedSources())
        let step = max(1, Evaluator.elementsPerBlock / max(1, a.columns))
        for start in stride(from: 0, to: a.rows, by: step) {
            if isCancelled() { throw CheckpointError.cancelled }
            let rows = start..<min(start + step, a.rows)
            try evaluator.withBytes(of: a, rows: rows) { first, _ in
                try evaluator.withBytes(of: b, rows: rows) { second, _ in
                    if a.dtype == b.dtype, first.elementsEqual(second) { return }
                    result.merge(try values(first, a.dtype, second, b.dtype, count: rows.count * a.columns))
                }
            }
        }
        return result
    }

    private static func values(
        _ first: UnsafeRawBufferPointer, _ firstType: DType, _ second: UnsafeRawBufferPointer, _ secondType: DType,
        count: Int
    ) throws -> Difference {
        var result = Difference()
        result.isIdentical = false
        guard firstType.isConvertible, secondType.isConvertible else {
            result.isOfBytes = true
            let size = count > 0 ? max(min(first.count, second.count) / count, 1) : 1
            result.count = (0..<count).reduce(0) { sum, index in
                let range = index * size..<(index + 1) * size
                return sum + (first[range].elementsEqual(second[range]) ? 0 : 1)
            }
            result.maximumAbsolute = .nan
            result.maximumRelative = .nan
            return result
        }
        try withScratch(of: Float.self, count: count) { a in
            try withScratch(of: Float.self, count: count) { b in
                try widen(first, firstType, into: a)
                try widen(second, secondType, into: b)
                for i in 0..<count where a[i] != b[i] {
                    if a[i].isNaN, b[i].isNaN { continue }
                    result.count += 1
                    let distance = Double(abs(a[i] - b[i]))
                    result.maximumAbsolute = larger(result.maximumAbsolute, distance)
                    result.maximumRelative = larger(
                        result.maximumRelative, distance / Double(max(abs(a[i]), abs(b[i]))))
                }
            }
        }
        return result
    }
}
