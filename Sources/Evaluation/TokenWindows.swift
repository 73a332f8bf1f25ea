import Checkpoints
import Safetensors

/// Windows of a domain's tokens, one after another.
package struct TokenWindows: Sendable {
    /// Tokens in a window; all but the first are predicted.
    package let length: Int
    /// `[windows, length]`.
    package fileprivate(set) var ids: [Int32] = []
    /// For each window, the bytes of text that its predicted tokens stand for; 0 where that is not known.
    package fileprivate(set) var byteCounts: [Int] = []

    /// How many windows there are.
    package var count: Int { byteCounts.count }

    /// The tokens of a window, `[length]`.
    package subscript(window: Int) -> ArraySlice<Int32> { ids[window * length..<(window + 1) * length] }
}

/// Cuts a domain's tokens into windows, in order, as they are needed.
///
/// The tokens of all documents, each preceded by the token that begins one, are laid end to end and cut every `length`
/// tokens; what is left at the end is dropped. A window predicts its tokens but the first, whose predecessor is in the
/// window before. The bits per byte of a domain are the sum of those predictions' losses over ln 2 and over the sum of
/// `byteCounts`: tokens that begin documents are predicted like others, and stand for no bytes.
///
/// ```swift
/// let reader = try WindowReader(source, length: 512, options: DataOptions(), encoder: encoder)
/// while let windows = try reader.next(atMost: 8) { ... }
/// ```
///
/// Memory is bounded by the longest document and the windows asked for.
package final class WindowReader {
    private let source: DataSource
    private let length: Int
    private let stream: TokenStream
    /// Tokens that are in no window yet, from `position` on.
    private var pending = TokenRun()
    private var position = 0
    /// Windows given so far.
    package private(set) var windowCount = 0

    /// - Throws: `.usage` for a length below 2; as `DataFile.files` for the source.
    package init(_ source: DataSource, length: Int, options: DataOptions, encoder: TextEncoder) throws {
        try checkWindowLength(length)
        self.source = source
        self.length = length
        stream = try TokenStream(source, options: options, encoder: encoder)
    }

    /// What was read so far; after the last window, all that there is.
    package var summary: DataSummary { stream.summary }

    /// The next windows, fewer than asked for at the end; nil after the last.
    ///
    /// - Throws: `CheckpointError`: `.malformed` for broken data, with file and line, `.incompatible` for tokens that the
    ///   model does not know and for a domain without a single window; `SafetensorsError` where the system fails.
    package func next(atMost maximum: Int) throws -> TokenWindows? {
        var windows = TokenWindows(length: length)
        while windows.count < maximum {
            if pending.ids.count - position < length {
                guard try refill() else { break }
                continue
            }
            let range = position..<position + length
            windows.ids += pending.ids[range]
            windows.byteCounts.append(pending.byteCounts[range].dropFirst().reduce(0) { $0 + Int($1) })
            position += length
        }
        windowCount += windows.count
        if windowCount == 0, maximum > 0 { throw tooShort(source, tokens: summary.tokens, length: length) }
        return windows.count == 0 ? nil : windows
    }

    private func refill() throws -> Bool {
        pending.ids.removeFirst(position)
        pending.byteCounts.removeFirst(position)
        position = 0
        return try stream.next { run in
            pending.ids += run.ids
            pending.byteCounts += run.byteCounts
        }
    }
}

func checkWindowLength(_ length: Int) throws(CheckpointError) {
    guard length >= 2 else {
        throw CheckpointError(
            .usage, message: "windows of \(length) tokens predict nothing: at least 2 are needed")
    }
}

func tooShort(_ source: DataSource, tokens: Int, length: Int) -> CheckpointError {
    CheckpointError(
        .incompatible, file: source.path,
        message:
            "the domain \(escaped(source.name)) has \(tokens) tokens, and a window takes \(length): give more data or a "
            + "shorter length")
}
