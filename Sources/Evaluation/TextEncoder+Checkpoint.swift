package import Checkpoints
import Safetensors
import Tokenizers

extension TextEncoder {
    /// What encodes text for a model, with the tokens that its configuration says begin and end one.
    package init(_ kind: Kind, for description: ModelDescription) throws {
        func id(_ key: String) throws -> Int32? {
            guard let value = try description.config.value(key, description.architecture) else { return nil }
            return (value.int ?? value.array?.first?.int).flatMap { Int32(exactly: $0) }
        }
        try self.init(
            kind, vocabularySize: description.size("vocab"), beginning: id("bos_token_id"), end: id("eos_token_id"))
    }

    /// What encodes text for a checkpoint, which need not have been written: the tokenizer among the files that go with it.
    ///
    /// - Parameter bytes: take bytes for tokens instead.
    package init(for checkpoint: Checkpoint, bytes: Bool = false) throws {
        var kind = bytes ? Kind.bytes : .none
        if !bytes, let file = checkpoint.companions.first(where: { $0.name == "tokenizer.json" }) {
            kind = .tokenizer(try file.tokenizer(checkpoint))
        } else if !bytes {
            // What is of another kind under these names is none: files of tokens are read without it.
            for file in checkpoint.companions where Tokenizer.fileNames.contains(file.name) {
                guard case .file(let path) = file.content else { continue }
                do { kind = .tokenizer(try Tokenizer(contentsOf: path)) } catch  where isFailureOfSystem(error) {
                    throw error
                } catch { continue }
                break
            }
        }
        try self.init(kind, for: checkpoint.description)
    }
}

extension Companion {
    /// The tokenizer that it is, with what the other files that go with the checkpoint say of it.
    fileprivate func tokenizer(_ checkpoint: Checkpoint) throws -> Tokenizer {
        var settings = try TokenizerSettings { name in
            try checkpoint.companions.first { $0.name == name }?.object()
        }
        settings.model = checkpoint.description.config.object
        switch content {
        case .file(let path):
            return try Tokenizer(parsing: PosixFile.contents(path, limit: 512 << 20), file: path, settings)
        case .bytes(let bytes): return try Tokenizer(parsing: bytes, file: name, settings)
        }
    }

    /// A JSON object among the files that go with a checkpoint.
    func object() throws -> JSONObject? {
        switch content {
        case .file(let path): try JSON(parsing: PosixFile.contents(path, limit: 16 << 20), file: path).object
        case .bytes(let bytes): try JSON(parsing: bytes, file: name).object
        }
    }
}
