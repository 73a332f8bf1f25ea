import Checkpoints
import Glibc
import Safetensors

/// A domain: a name, and the file or folder that its text or tokens are in.
package struct DataSource: Sendable, Hashable {
    /// What a report calls it.
    package let name: String
    /// A file, or a folder whose files are read recursively.
    package let path: String
    /// The dtype of the tokens of `.bin` files; nil where there are to be none.
    package let tokens: TokenDType?

    package init(name: String, path: String, tokens: TokenDType? = nil) {
        self.name = name
        self.path = path
        self.tokens = tokens
    }

    /// The domains that the values of `--data` name, in their order.
    ///
    /// Each is `NAME=PATH` (one domain of a file or a folder), `FILE` (one domain named for it) or `FOLDER` (a domain for
    /// each of its entries). `:uint16` or `:uint32` at the end says of which dtype the tokens in `.bin` files are.
    ///
    /// - Throws: `CheckpointError`: `.usage` for a value that is none of these, for a folder without entries and for two
    ///   domains of one name; `.io` for a path that cannot be read.
    package static func parse(_ arguments: [String]) throws -> [DataSource] {
        var sources: [DataSource] = []
        for argument in arguments {
            let (text, tokens) = splitDType(argument)
            if let equals = text.firstIndex(of: "="), !text[..<equals].contains("/") {
                let (name, path) = (String(text[..<equals]), String(text[text.index(after: equals)...]))
                guard !name.isEmpty, !path.isEmpty else {
                    throw CheckpointError(
                        .usage, message: "`data` \(escaped(argument)): expected NAME=PATH, a file or a folder")
                }
                sources.append(DataSource(name: name, path: path, tokens: tokens))
            } else if try isFolder(text) {
                sources += try entries(of: text, tokens: tokens)
            } else {
                let file = text.split(separator: "/").last.map(String.init) ?? text
                sources.append(DataSource(name: domainName(file), path: text, tokens: tokens))
            }
        }
        var paths: [String: String] = [:]
        for source in sources {
            if let other = paths.updateValue(source.path, forKey: source.name) {
                throw CheckpointError(
                    .usage,
                    message: "two domains are named \(escaped(source.name)): \(escaped(other)) and "
                        + "\(escaped(source.path)): name them by `data` NAME=PATH")
            }
        }
        return sources
    }

    /// The domains of a folder, sorted: each file or folder in it is one. Hidden ones, and files that explain (README,
    /// LICENSE, .md), are none.
    static func entries(of folder: String, tokens: TokenDType?) throws -> [DataSource] {
        try InputLog.recordFolder(folder)
        let sources = try PosixFile.listDirectory(folder).compactMap { entry -> DataSource? in
            guard !DataFile.isIgnored(entry) else { return nil }
            let path = folder.hasSuffix("/") ? folder + entry : folder + "/" + entry
            if try isFolder(path) { return DataSource(name: entry, path: path, tokens: tokens) }
            // A file that is of no kind is refused here, before the work on the others.
            let kind = try DataFile.kind(of: path)
            return DataSource(name: domainName(entry), path: path, tokens: kind == .tokens ? tokens : nil)
        }
        guard !sources.isEmpty else {
            throw CheckpointError(.usage, file: folder, message: "there is no file or folder in it, so no domain")
        }
        return sources
    }

    private static func splitDType(_ argument: String) -> (text: String, tokens: TokenDType?) {
        guard let colon = argument.lastIndex(of: ":"),
            let tokens = TokenDType(rawValue: String(argument[argument.index(after: colon)...]))
        else { return (argument, nil) }
        return (String(argument[..<colon]), tokens)
    }

    /// A file's name up to its first dot.
    private static func domainName(_ file: String) -> String {
        file.firstIndex(of: ".").map { String(file[..<$0]) } ?? file
    }
}

/// The dtype of the tokens in a file of nothing but tokens; they are little-endian.
package enum TokenDType: String, Sendable, Hashable, CaseIterable {
    case uint16
    case uint32

    /// Bytes of a token.
    var width: Int { self == .uint16 ? 2 : 4 }
}

/// How data is read.
package struct DataOptions: Sendable, Hashable {
    /// The key of a document's text in a line of JSON.
    package var textField = "text"
    /// Leave out, and count, documents and files that are broken.
    package var skipsBad = false
    /// Read at most so many tokens of each domain.
    package var tokenLimit: Int?
    /// A line or a file of text that is longer is broken: it has to be held in memory as a whole. Some seven times as much
    /// is needed for a moment to parse and encode it.
    package var documentLimit = 128 << 20

    package init() {}
}

/// Whether a path is a folder; symbolic links are followed.
func isFolder(_ path: String) throws(CheckpointError) -> Bool {
    try fileStatus(path).st_mode & S_IFMT == S_IFDIR
}

/// The corresponding C function is `stat`.
func fileStatus(_ path: String) throws(CheckpointError) -> stat {
    var status = stat()
    guard systemPath(path, { stat($0, &status) }) == 0 else {
        let error = PosixFile.failure(path, "cannot be read")
        throw CheckpointError(error.code == .io ? .io : .malformed, file: path, message: error.message)
    }
    return status
}
