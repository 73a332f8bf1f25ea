import Safetensors

/// The files that go with a checkpoint's weights and are carried over.
package struct Companion: Sendable, Hashable {
    package let name: String
    package let content: Content

    /// Where what is written comes from.
    package enum Content: Sendable, Hashable {
        case file(String)
        case bytes([UInt8])
    }

    package init(name: String, content: Content) {
        self.name = name
        self.content = content
    }

    private static let names: Set<String> = [
        "generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt",
        "merges.txt",
        "preprocessor_config.json", "processor_config.json", "spiece.model", "sentencepiece.bpe.model",
        "tekken.json",
    ]
    /// Where transformers keeps the templates of a chat beside the first.
    static let templateFolder = "additional_chat_templates"
    private static let prefixes = [
        "tokenizer", "chat_template", "LICENSE", "LICENCE", "NOTICE", "README", "USE_POLICY",
    ]
    /// Files of the tokenizer, among the companions.
    package static let tokenizerPrefixes = ["tokenizer", "vocab.", "merges.txt", "spiece", "sentencepiece", "tekken"]

    /// Whether a file of a checkpoint's folder is carried over by its name.
    static func isName(_ name: String) -> Bool {
        names.contains(name) || prefixes.contains { name.hasPrefix($0) }
    }

    /// The companions in a folder, by name; folders such as `tokenizer` are none.
    ///
    /// - Throws: `SafetensorsError` for one that cannot be opened, or is a link that leads out of the folder.
    package static func inFolder(_ folder: String) throws -> [Companion] {
        let found = try PosixFile.listDirectory(folder)
        var names = found.filter(isName)
        if found.contains(templateFolder) {
            let path = try PosixFile.path(of: templateFolder, inFolder: folder)
            if try PosixFile.isFolder(path) {
                names += try PosixFile.listDirectory(path).filter { $0.hasSuffix(".jinja") }
                    .map { templateFolder + "/" + $0 }
            }
        }
        return try names.compactMap { name in
            // A file that cannot be opened, the missing blob of a cache say, is not passed over: nothing is lost silently.
            let path = try PosixFile.path(of: name, inFolder: folder)
            if !name.contains("."), try PosixFile.isFolder(path) { return nil }
            let file = try PosixFile.open(path)
            let beginning = try file.bytes(at: 0, count: min(file.size(), ForeignContent.prefixLength))
            if let problem = ForeignContent.problem(of: beginning) {
                throw SafetensorsError(.malformed, file: path, message: problem)
            }
            return Companion(name: name, content: .file(path))
        }
    }

    /// Writes it into a folder.
    func write(in folder: String) throws(SafetensorsError) {
        let path = folder + "/" + name
        let inner = PosixFile.split(path).folder
        if inner != folder, try PosixFile.entry(inner) == nil { try PosixFile.makeDirectory(inner) }
        switch content {
        case .file(let source): try PosixFile.copy(source, to: path)
        case .bytes(let bytes): try PosixFile.write(path, bytes)
        }
        if inner != folder { try PosixFile.syncDirectory(inner) }
    }

    /// How many bytes it has; 0 where it cannot be read.
    package var byteCount: Int {
        switch content {
        case .bytes(let bytes): bytes.count
        case .file(let path): (try? PosixFile.sizeOf(path)) ?? 0
        }
    }

    /// Whether it belongs to the tokenizer.
    package var isTokenizer: Bool { Self.tokenizerPrefixes.contains { name.hasPrefix($0) } }
}
