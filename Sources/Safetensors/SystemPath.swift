import Glibc

// File names are bytes, and Swift's strings are not: a byte that is not part of valid UTF-8 is kept as one of the last
// private characters, U+10FF00 plus the byte, and becomes that byte again when the system is called. A name that holds
// one of these characters itself is kept byte by byte, so that every name comes back as it was.

/// The first of the characters that stand for bytes.
private let byteBase: UInt32 = 0x10FF00

/// Calls `body` with a path as the system takes it.
package func systemPath<T>(_ path: String, _ body: (UnsafePointer<CChar>) -> T) -> T {
    // Nearly all paths are what they seem: in UTF-8 the characters that stand for bytes begin with F4 8F.
    guard path.utf8.contains(0xF4) else { return path.withCString(body) }
    var bytes = systemBytes(path).map { CChar(bitPattern: $0) }
    bytes.append(0)
    return bytes.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return path.withCString(body) }
        return body(base)
    }
}

/// The bytes that a path stands for.
package func systemBytes(_ path: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for scalar in path.unicodeScalars {
        if let byte = byte(of: scalar) { bytes.append(byte) } else { bytes += Array(UTF8.encode(scalar) ?? .init()) }
    }
    return bytes
}

/// A path of the system's bytes.
package func pathText(_ bytes: some Collection<UInt8>) -> String {
    let isPlain = { (text: String) in !text.unicodeScalars.contains { byte(of: $0) != nil } }
    if let text = String(validating: bytes, as: UTF8.self), isPlain(text) { return text }
    var text = String.UnicodeScalarView()
    var decoder = UTF8()
    var rest = bytes[...]
    while let first = rest.first {
        var iterator = rest.makeIterator()
        decoder = UTF8()
        if case .scalarValue(let scalar) = decoder.decode(&iterator), byte(of: scalar) == nil {
            text.append(scalar)
            rest = rest.dropFirst(UTF8.width(scalar))
        } else {
            if let scalar = Unicode.Scalar(byteBase + UInt32(first)) { text.append(scalar) }
            rest = rest.dropFirst()
        }
    }
    return String(text)
}

/// The byte that a character stands for, if it stands for one.
package func byte(of scalar: Unicode.Scalar) -> UInt8? {
    guard scalar.value >= byteBase + 0x80 else { return nil }
    return UInt8(truncatingIfNeeded: scalar.value - byteBase)
}
