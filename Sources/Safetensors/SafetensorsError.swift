/// What is wrong with a file, or with reading or writing it.
public struct SafetensorsError: Error, Sendable, CustomStringConvertible {
    /// The kind of an error.
    public struct Code: Hashable, Sendable {
        private enum Kind { case malformed, damaged, unsafePath, missing, io, outOfMemory, invalidArgument }
        private let kind: Kind

        /// The bytes are not what the format allows.
        public static let malformed = Code(kind: .malformed)
        /// The bytes do not have the checksum or the hash that is stored for them.
        public static let damaged = Code(kind: .damaged)
        /// A name would lead to a file outside of the folder, or to something that is not a regular file.
        public static let unsafePath = Code(kind: .unsafePath)
        /// A file or a tensor that should be there is not.
        public static let missing = Code(kind: .missing)
        /// The operating system refused or failed.
        public static let io = Code(kind: .io)
        /// There is no memory left.
        public static let outOfMemory = Code(kind: .outOfMemory)
        /// The caller asked for what cannot be written or read.
        public static let invalidArgument = Code(kind: .invalidArgument)
    }

    /// The kind of the error.
    public let code: Code
    /// The file it is about.
    public let file: String?
    /// The tensor it is about.
    public let tensor: String?
    /// What was expected, what was found, and what to do.
    public let message: String
    /// The operating system's error number, if it gave one.
    public let errno: Int32?

    package init(
        _ code: Code, file: String? = nil, tensor: String? = nil, message: String, errno: Int32? = nil
    ) {
        self.code = code
        self.file = file
        self.tensor = tensor
        self.message = message
        self.errno = errno
    }

    /// Whether the system failed where it was to read, which says nothing of what is there.
    package var isFailureOfReading: Bool { code == .io && errno.map { !PosixFile.isAbsence($0) } ?? false }

    /// File, tensor and message in one line, with control characters escaped.
    public var description: String {
        var text = ""
        if let file { text += "\(escaped(file)): " }
        if let tensor { text += "tensor \(escaped(tensor)): " }
        return text + message
    }
}

/// The text with control characters as `\u{..}` and at most 200 characters of it, fit for a terminal.
package func escaped(_ text: String) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == 200 { return result + "…" }
        count += 1
        if let byte = byte(of: scalar) {
            result += "\\x\(String(byte, radix: 16))"
            continue
        }
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069:
            result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
