import Crypto

/// A SHA-256, by which a content is known in a packed file.
package struct Digest256: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of a digest.
    static let size = 32
    /// Stands where there is no digest.
    static let none = Digest256(words: .init())

    private let words: SIMD4<UInt64>

    private init(words: SIMD4<UInt64>) { self.words = words }

    /// The digest that a hash computed.
    init(_ digest: SHA256.Digest) {
        self = digest.withUnsafeBytes { Digest256($0, at: 0) }
    }

    /// The 32 bytes from `offset` on.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        var words = SIMD4<UInt64>()
        withUnsafeMutableBytes(of: &words) {
            $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Self.size]))
        }
        self.words = words
    }

    /// The SHA-256 of bytes that are in memory.
    package static func hash(_ bytes: [UInt8]) -> Digest256 { Digest256(SHA256.hash(data: bytes)) }

    /// The digest's bytes.
    var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    /// Lower-case hexadecimal digits.
    package var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
