import CPlatform
import Checkpoints
import Glibc
import Numerics

extension DecoderConfiguration.Attention {
    /// Sines and cosines of positions `start ..< start + count` for every layer.
    ///
    /// - Parameter length: of the whole sequence, where it is known to be longer.
    func rotaryTables(from start: Int, count: Int, length: Int = 0) -> RotaryTables {
        RotaryTables(
            tables: rotaries.map { $0.table(from: start, count: count, length: max(length, start + count)) },
            ofLayer: rotaryOfLayer)
    }
}

extension RotaryEmbedding {
    /// Cosines and sines of positions `start ..< start + count`, `[count, dimension / 2]` each.
    func table(from start: Int, count: Int, length: Int) -> RotaryTable {
        let angles = frequencies(length: length)
        let pairs = dimension / 2
        let table = RotaryTable(
            cosines: Matrix(rows: count, columns: pairs), sines: Matrix(rows: count, columns: pairs),
            isInterleaved: isInterleaved,
            queryFactors: temperature.map { temperature in (start..<start + count).map { temperature.factor($0) } })
        for position in 0..<count {
            for pair in 0..<pairs {
                let angle = Float(start + position) * angles[pair]
                table.cosines[position, pair] = cosf(angle) * magnitude
                table.sines[position, pair] = sinf(angle) * magnitude
            }
        }
        return table
    }
}

/// Sines and cosines of a range of positions.
struct RotaryTable {
    let cosines: Matrix
    let sines: Matrix
    let isInterleaved: Bool
    /// The factor on each position's queries; nil for none.
    let queryFactors: [Float]?

    /// Rotates the first values of each of `heads` parts of a row, which lie `stride` apart, by the row's position; back
    /// with `sign` -1 (times the magnitude, as the gradient asks for).
    func rotate(_ row: UnsafeMutablePointer<Float>, position: Int, heads: Int, stride: Int, sign: Float = 1) {
        guard cosines.columns > 0 else { return }
        for head in 0..<heads {
            ctransformer_rotate(
                row + head * stride, cosines.row(position), sines.row(position), cosines.columns, sign,
                isInterleaved ? 1 : 0)
        }
    }
}

/// The tables of a pass: one for each way that layers rotate.
struct RotaryTables {
    let tables: [RotaryTable]
    let ofLayer: [Int]

    subscript(layer: Int) -> RotaryTable { tables[ofLayer[layer]] }
}
