package import Checkpoints
import Safetensors
package import Tokenizers

/// Makes a model's token ids of text.
package struct TextEncoder: Sendable {
    /// What turns text into tokens.
    package enum Kind: Sendable {
        case tokenizer(Tokenizer)
        /// Each byte of the text is the id of its value.
        case bytes
        /// Nothing does: only files of tokens can be read, and how many bytes they stand for is not known.
        case none

        /// A checkpoint's own tokenizer, as transformers' AutoTokenizer has it; nil where the folder has none.
        ///
        /// - Throws: `SafetensorsError` and `TokenizerError` for one that cannot be used.
        package static func tokenizer(inFolder folder: String) throws -> Kind? {
            if try fileExists(folder + "/tokenizer.json") { return .tokenizer(try Tokenizer(inFolder: folder)) }
            // What is of another kind under these names is none: files of tokens are read without it.
            guard try Tokenizer.fileNames.contains(where: { try fileExists(folder + "/" + $0) }) else { return nil }
            do { return .tokenizer(try Tokenizer(inFolder: folder)) } catch  where isFailureOfSystem(error) {
                throw error
            } catch {
                return nil
            }
        }
    }

    package let kind: Kind
    /// How many ids the model knows.
    package let vocabularySize: Int
    /// What precedes every document: the model's token for a beginning, or else the one for an end.
    package let documentStart: Int32?

    /// - Parameters:
    ///   - beginning: `bos_token_id` of the configuration, the first where it is a list; a negative one is none.
    ///   - end: `eos_token_id` likewise, which precedes documents where there is no `beginning`.
    /// - Throws: `.incompatible` for bytes where the model knows less than 256 ids, and for a first token that the model
    ///   does not know. With bytes such a token is left out: it is of a vocabulary that is not used.
    package init(_ kind: Kind, vocabularySize: Int, beginning: Int32?, end: Int32?) throws(CheckpointError) {
        var candidates = [beginning, end].compactMap { $0 }.filter { $0 >= 0 }
        if case .bytes = kind {
            guard vocabularySize >= 256 else {
                throw CheckpointError(
                    .incompatible,
                    message: "the tokenizer \"bytes\" needs 256 ids, and the model's vocabulary has \(vocabularySize)")
            }
            candidates.removeAll { Int($0) >= vocabularySize }
        }
        if let first = candidates.first, Int(first) >= vocabularySize {
            throw CheckpointError(
                .incompatible,
                message:
                    "the token \(first), which begins a document (bos_token_id or eos_token_id of config.json), is "
                    + "not below the model's vocabulary of \(vocabularySize)")
        }
        self.kind = kind
        self.vocabularySize = vocabularySize
        documentStart = candidates.first
    }

    /// Whether it is known how many bytes of text tokens stand for.
    package var countsBytes: Bool {
        if case .none = kind { false } else { true }
    }

    /// How many ids the tokenizer knows, for messages.
    var tokenizerSize: Int? {
        switch kind {
        case .tokenizer(let tokenizer): tokenizer.vocabularySize
        case .bytes: 256
        case .none: nil
        }
    }
}

/// Tokens one after another, and the bytes of text that each stands for.
struct TokenRun {
    var ids: [Int32] = []
    var byteCounts: [Int32] = []

    mutating func removeAll() {
        ids.removeAll(keepingCapacity: true)
        byteCounts.removeAll(keepingCapacity: true)
    }
}

/// Encodes one document after another.
struct DocumentEncoder {
    private let encoder: TextEncoder
    private var tokenizing: CountingEncoder?

    init(_ encoder: TextEncoder) {
        self.encoder = encoder
        if case .tokenizer(let tokenizer) = encoder.kind { tokenizing = CountingEncoder(tokenizer) }
    }

    /// Appends the token that begins a document, which stands for no bytes, and the document's own.
    ///
    /// - Throws: `.incompatible` for a token that the model does not know, and where nothing turns text into tokens.
    mutating func encode(_ document: Document, into run: inout TokenRun) throws(CheckpointError) {
        let start = run.ids.count
        if let first = encoder.documentStart {
            run.ids.append(first)
            run.byteCounts.append(0)
        }
        switch encoder.kind {
        case .tokenizer:
            do {
                try tokenizing?.encode(document.text, ids: &run.ids, byteCounts: &run.byteCounts)
            } catch {
                throw CheckpointError(.incompatible, file: document.place, message: "\(error)")
            }
        case .bytes:
            run.ids += document.text.lazy.map { Int32($0) }
            run.byteCounts += repeatElement(1, count: document.text.count)
        case .none:
            throw CheckpointError(
                .incompatible, file: document.file,
                message:
                    "this is text, and there is no tokenizer.json beside the model to make tokens of it: give a file "
                    + "of tokens (.bin), or take bytes for tokens")
        }
        try encoder.check(run.ids[start...], place: document.place)
    }
}

extension TextEncoder {
    /// - Throws: `.incompatible` for an id that the model does not know.
    func check(_ ids: ArraySlice<Int32>, place: String) throws(CheckpointError) {
        guard let id = ids.first(where: { $0 < 0 || Int($0) >= vocabularySize }) else { return }
        let tokenizer = tokenizerSize.map { " (the tokenizer has \($0) ids)" } ?? ""
        throw CheckpointError(
            .incompatible, file: place,
            message:
                "the token \(id) is not below the model's vocabulary of \(vocabularySize)\(tokenizer): data, tokenizer "
                + "and model do not belong together")
    }
}
