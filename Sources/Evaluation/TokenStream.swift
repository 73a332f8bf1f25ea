package import Checkpoints
import Safetensors
import Tokenizers

/// A domain's tokens in the order of its files: each document preceded by the token that begins one, files of tokens as
/// they are.
final class TokenStream {
    private static let tokensPerRead = 64 << 10

    private let encoder: TextEncoder
    private var documents: DocumentEncoder
    private let options: DataOptions
    private let dtype: TokenDType
    private var files: ArraySlice<DataFile>
    /// Files of text that follow one another are read as one.
    private var reader: DocumentReader?
    private var tokenFile: (file: PosixFile, offset: Int, size: Int)?
    private var run = TokenRun()
    /// The bytes of text that each id of a file of tokens stands for.
    private lazy var byteCounts: [Int32] = {
        switch encoder.kind {
        case .tokenizer(let tokenizer): tokenizer.byteCounts()
        case .bytes: [Int32](repeating: 1, count: 256)
        case .none: []
        }
    }()
    private(set) var summary = DataSummary()

    /// - Throws: as `DataFile.files`.
    init(_ source: DataSource, options: DataOptions, encoder: TextEncoder) throws {
        files = try DataFile.files(of: source)[...]
        dtype = source.tokens ?? .uint16
        self.options = options
        self.encoder = encoder
        documents = DocumentEncoder(encoder)
    }

    /// Calls `body` with the next tokens: those of a document, or some of a file of tokens. False after the last.
    ///
    /// - Throws: as `DocumentReader.next`; `.incompatible` for a token that the model does not know.
    func next(_ body: (TokenRun) -> Void) throws -> Bool {
        let remaining = options.tokenLimit.map { max($0 - summary.tokens, 0) } ?? .max
        guard remaining > 0 else { return false }
        run.removeAll()
        while run.ids.isEmpty {
            guard try fill(limit: remaining) else { return false }
        }
        if run.ids.count > remaining {
            run.ids.removeLast(run.ids.count - remaining)
            run.byteCounts.removeLast(run.byteCounts.count - remaining)
        }
        summary.tokens += run.ids.count
        body(run)
        return true
    }

    private func fill(limit: Int) throws -> Bool {
        if tokenFile != nil { return try fillFromTokenFile(limit: limit) }
        if let reader {
            defer { count(reader) }
            if let document = try reader.next() {
                try documents.encode(document, into: &run)
                return true
            }
        }
        reader = nil
        finished.documents = summary.documents
        finished.skipped = summary.skipped
        guard let first = files.first else { return false }
        if first.kind == .tokens {
            files.removeFirst()
            try open(first.path)
        } else {
            let texts = files.prefix { $0.kind != .tokens }
            files = files.dropFirst(texts.count)
            reader = DocumentReader(Array(texts), options: options)
        }
        return true
    }

    /// What the readers before the current one counted.
    private var finished = DataSummary()

    private func count(_ reader: DocumentReader) {
        summary.documents = finished.documents + reader.documentCount
        summary.skipped = finished.skipped + reader.skippedCount
        summary.firstSkipped = summary.firstSkipped ?? reader.firstSkipped
    }

    private func open(_ path: String) throws {
        let file = try PosixFile.open(path)
        try DataFile(path).checkContent(file)
        let size = try file.size()
        guard size > 0, size % dtype.width == 0 else {
            let error = CheckpointError(
                .malformed, file: path,
                message: size == 0
                    ? "empty: there is no token in it"
                    : "its \(size) bytes are no whole number of \(dtype.rawValue) tokens: it is cut short, or of another dtype"
            )
            guard options.skipsBad else { throw error }
            summary.skipped += 1
            summary.firstSkipped = summary.firstSkipped ?? error
            return
        }
        tokenFile = (file, 0, size)
    }

    private func fillFromTokenFile(limit: Int) throws -> Bool {
        guard let (file, offset, size) = tokenFile else { return true }
        let count = min((size - offset) / dtype.width, Self.tokensPerRead, limit)
        guard count > 0 else {
            tokenFile = nil
            return true
        }
        let bytes = try file.bytes(at: offset, count: count * dtype.width)
        bytes.withUnsafeBytes { raw in
            for index in 0..<count {
                switch dtype {
                case .uint16:
                    let value = raw.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                    run.ids.append(Int32(UInt16(littleEndian: value)))
                case .uint32:
                    let value = raw.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
                    run.ids.append(Int32(clamping: UInt32(littleEndian: value)))
                }
            }
        }
        let first = offset / dtype.width
        try encoder.check(run.ids[...], place: "\(file.path), one of the tokens from \(first) to \(first + count - 1)")
        for id in run.ids { run.byteCounts.append(Int(id) < byteCounts.count ? byteCounts[Int(id)] : 0) }
        tokenFile?.offset = offset + count * dtype.width
        return true
    }
}

/// What was read of a domain.
package struct DataSummary: Sendable {
    /// Documents of text; files of tokens do not say how many are in them.
    package internal(set) var documents = 0
    /// Tokens, those that begin documents among them.
    package internal(set) var tokens = 0
    /// Documents, files and rests of files that were left out.
    package internal(set) var skipped = 0
    /// Why the first of them was.
    package internal(set) var firstSkipped: CheckpointError?
}
