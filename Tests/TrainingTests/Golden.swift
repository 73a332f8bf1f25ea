import Numerics
import Safetensors
import TestSupport
import Testing

/// The numbers that Tests/Fixtures/training/make.py computed with PyTorch.
struct Golden {
    private let file: SafetensorsFile

    init() throws { file = try SafetensorsFile(path: Fixtures.file("training/losses.safetensors")) }

    /// A tensor's values in F64, whatever its type.
    func values(_ name: String) throws -> [Double] {
        let info = try #require(file.info(name), "\(name)")
        let bytes = try file.bytes(name)
        return try bytes.withUnsafeBytes { buffer in
            try (0..<info.shape.elementCount).map { index in
                switch info.dtype {
                case .f32: Double(buffer.loadUnaligned(fromByteOffset: 4 * index, as: Float.self))
                case .f64: buffer.loadUnaligned(fromByteOffset: 8 * index, as: Double.self)
                case .i64: Double(buffer.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self))
                default: try #require(nil as Double?, "\(info.dtype)")
                }
            }
        }
    }

    func scalar(_ name: String) throws -> Double { try #require(values(name).first) }

    func integers(_ name: String) throws -> [Int] { try values(name).map { Int($0) } }

    /// A tensor as a matrix of its last dimension's width.
    func matrix(_ name: String) throws -> Matrix { try #require(matrices(name).first) }

    /// A tensor of three dimensions as one matrix for each of the first; of fewer, as one.
    func matrices(_ name: String) throws -> [Matrix] {
        let sizes = try #require(file.info(name)).shape.dimensions
        let columns = sizes.last ?? 1
        let layers = sizes.count > 2 ? sizes[0] : 1
        let all = try values(name).map { Float($0) }
        let rows = all.count / layers / columns
        return (0..<layers).map { layer in
            Matrix(rows: rows, columns: columns, Array(all[layer * rows * columns..<(layer + 1) * rows * columns]))
        }
    }
}

/// The norm of the difference over the norm of the expected numbers.
func distance(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let difference = zip(found, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    return difference / expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
}

func distance(_ found: [Matrix], _ expected: [Double]) -> Double {
    distance(found.flatMap { $0.array.map(Double.init) }, expected)
}
