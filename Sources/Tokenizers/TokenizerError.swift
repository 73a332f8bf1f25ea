import Safetensors

/// Why a tokenizer cannot be used.
public struct TokenizerError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Hashable {
        /// The file is not as a tokenizer's should be.
        case malformed
        /// It asks for something that is not implemented.
        case unsupported
        /// It has no tokens for a text.
        case unencodable
    }

    /// The kind of this one.
    public let code: Code
    /// The file that it is about.
    public let file: String
    /// What is wrong, and what to do.
    public let message: String

    /// A failure over a file.
    public init(_ code: Code, file: String, message: String) {
        self.code = code
        self.file = file
        self.message = message
    }

    /// The file and the message.
    public var description: String { "\(escaped(file)): \(message)" }
}
