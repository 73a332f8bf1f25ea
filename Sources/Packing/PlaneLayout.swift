package import Safetensors

/// How a content's bytes are cut into chunks and a chunk into byte planes.
package struct PlaneLayout: Hashable, Sendable {
    /// Bytes of a chunk but the last, for files that this program writes: with two bytes an element a plane of a chunk is
    /// one block of zstd.
    package static let chunkSize = 256 << 10
    /// The largest chunk that is read.
    static let maximumChunkSize = 1 << 20

    /// Bytes of the content.
    package let byteCount: Int
    /// Bytes of an element: 1, 2, 4 or 8, and as many planes.
    package let width: Int
    /// Whether an element's bits are rotated left by one before it is cut into planes.
    package let rotates: Bool
    /// Bytes of each chunk but the last.
    package let chunkSize: Int

    package init(byteCount: Int, width: Int, rotates: Bool, chunkSize: Int = PlaneLayout.chunkSize) {
        self.byteCount = byteCount
        self.width = width
        self.rotates = rotates
        self.chunkSize = chunkSize
    }

    /// The layout for a tensor of that dtype: floating-point numbers are rotated, which puts the sign below the mantissa
    /// and BF16's and F32's exponents into a byte of their own. What is smaller than a byte has one plane.
    package init(byteCount: Int, dtype: DType) {
        let size = dtype == .c64 ? 4 : max(1, dtype.bits / 8)
        let width = dtype.bits % 8 == 0 ? size : 1
        self.init(
            byteCount: byteCount, width: width, rotates: width > 1 && (dtype.isFloatingPoint || dtype == .c64))
    }

    /// Chunks of the content.
    package var chunkCount: Int { (byteCount / chunkSize) + (byteCount % chunkSize == 0 ? 0 : 1) }
    /// Frames of the content: one for each plane of each chunk.
    var frameCount: Int { chunkCount * width }

    /// The bytes of chunk `index`.
    func range(ofChunk index: Int) -> Range<Int> {
        let start = index * chunkSize
        return start..<min(start + chunkSize, byteCount)
    }
}

/// What compresses a plane; the raw value is the one in a packed file's directory.
package enum PlaneCodec: UInt8, CaseIterable, Sendable {
    /// Blocks of zstd that hold the bytes as they are.
    case raw = 0
    /// Huffman codes without matches.
    case huffman = 1
    /// zstd's level 1.
    case level1 = 2

    /// The codec's name for people and JSON.
    package var name: String {
        switch self {
        case .raw: "raw"
        case .huffman: "huffman"
        case .level1: "zstd-1"
        }
    }
}
