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

/// What is done to text before it is cut into words.
enum Normalization: Sendable {
    case canonicalComposition
    case prepend([UInt8])
    case replace([UInt8], with: [UInt8])

    /// What Prepend and Replace may put in: they are for letters that stand for spaces.
    static let longestInsertion = 1024

    /// - Parameter limit: about where a text that has become longer is cut.
    fileprivate func applied(to text: [UInt8], limit: Int) -> [UInt8] {
        switch self {
        case .canonicalComposition:
            if text.allSatisfy({ $0 < 0x80 }) { return text }
            return Array(composed(String(decoding: text, as: UTF8.self)).utf8)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let old, let new): return replacing(old, with: new, in: text, limit: limit)
        }
    }
}

extension [Normalization] {
    /// The text after all of them.
    ///
    /// - Parameter file: the tokenizer's, for messages.
    /// - Throws: for a text that becomes many times as long: one replacement after another doubles it without bound.
    func applied(to text: [UInt8], file: String) throws(TokenizerError) -> [UInt8] {
        let limit = (1 << 16) + 32 * text.count
        var result = text
        for normalization in self {
            result = normalization.applied(to: result, limit: limit)
            guard result.count <= limit else {
                throw TokenizerError(
                    .unencodable, file: file,
                    message:
                        "its normalizer makes more than \(limit) bytes of a text of \(text.count): Replace and Prepend are "
                        + "for the letters that stand for spaces")
            }
        }
        return result
    }
}

/// Every occurrence of some bytes replaced, from the left.
///
/// - Parameter limit: about where a text that has become longer is cut.
func replacing(_ old: [UInt8], with new: [UInt8], in text: [UInt8], limit: Int = .max) -> [UInt8] {
    guard let first = old.first else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 4)
    var index = 0
    while index < text.count, result.count <= limit {
        if text[index] == first, index + old.count <= text.count,
            text[index..<index + old.count].elementsEqual(old)
        {
            result += new
            index += old.count
        } else {
            result.append(text[index])
            index += 1
        }
    }
    return result
}

/// How text is cut and spelled before the model.
enum PreTokenization: Sendable {
    /// Words of a pattern, each by itself.
    case words(WordPattern)
    /// Bytes are the symbols; with a space in front where asked for.
    case byteLevel(addsSpace: Bool)
    /// Spaces become a letter, which is put in front as well: always, or at the beginning of the text alone.
    case metaspace([UInt8], prepends: Prepending)

    enum Prepending: String, Sendable { case first, always, never }
}
