import Checkpoints
package import Models
import Safetensors

/// A domain's windows, read once before anything is computed: broken data are found then, and how much there is to do is
/// known.
///
/// So many tokens are kept; of more, the files are read a second time.
package struct DomainText {
    /// Some windows of a domain.
    package struct Part {
        package let batch: TokenBatch
        /// Windows of the domain before these.
        package let first: Int
        /// Bytes of text that the predicted tokens stand for.
        package let bytes: Int
    }

    package let name: String
    package let length: Int
    /// How many windows there are, at least one.
    package private(set) var windowCount = 0
    /// What was read, and left out.
    package let summary: DataSummary
    /// Of all ids in their order: two texts with the same number of windows and the same digest are the same.
    package private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325

    private var kept: (ids: [Int32], bytes: [Int])? = ([], [])
    private let makeReader: (() throws -> WindowReader)?
    private static let windowsPerRead = 64

    /// - Throws: as `WindowReader`; the error of `isCancelled`.
    package init(
        _ source: DataSource, length: Int, options: DataOptions, encoder: TextEncoder, keptTokens: Int = 4 << 20,
        checkCancelled: () throws -> Void = {}
    ) throws {
        name = source.name
        self.length = length
        let open = { try WindowReader(source, length: length, options: options, encoder: encoder) }
        makeReader = open
        let reader = try open()
        while let windows = try reader.next(atMost: Self.windowsPerRead) {
            try checkCancelled()
            windowCount += windows.count
            Self.add(windows.ids, to: &digest)
            if windowCount * length > keptTokens { kept = nil }
            kept?.ids += windows.ids
            kept?.bytes += windows.byteCounts
        }
        summary = reader.summary
    }

    /// Refuses text that is broken or has not a single window, before anything is computed on it.
    ///
    /// - Throws: as `init`.
    static func check(
        _ sources: [DataSource], length: Int, options: DataOptions, encoder: TextEncoder
    ) throws {
        for source in sources {
            _ = try DomainText(
                source, length: length, options: options, encoder: encoder, keptTokens: 0,
                checkCancelled: { try Interruption.check() })
        }
    }

    /// Windows that are there already; what bytes they stand for is not known.
    init(_ name: String, length: Int, ids: [Int32], summary: DataSummary) {
        self.name = name
        self.length = length
        self.summary = summary
        windowCount = ids.count / length
        kept = (ids, [Int](repeating: 0, count: windowCount))
        makeReader = nil
        Self.add(ids, to: &digest)
    }

    private static func add(_ ids: [Int32], to digest: inout UInt64) {
        for id in ids { digest = (digest ^ UInt64(UInt32(bitPattern: id))) &* 0x100_0000_01B3 }
    }

    /// Tokens in all windows.
    package var tokens: Int { windowCount * length }

    /// Calls `body` with all windows in order, at most `count` at a time.
    package func forEachPart(of count: Int, _ body: (Part) throws -> Void) throws {
        let count = max(count, 1)
        if let kept {
            for first in stride(from: 0, to: windowCount, by: count) {
                let last = min(first + count, windowCount)
                let batch = TokenBatch(ids: Array(kept.ids[first * length..<last * length]), length: length)
                try body(Part(batch: batch, first: first, bytes: kept.bytes[first..<last].reduce(0, +)))
            }
            return
        }
        guard let reader = try makeReader?() else { return }
        var first = 0
        while let windows = try reader.next(atMost: count) {
            let batch = TokenBatch(ids: windows.ids, length: length)
            try body(Part(batch: batch, first: first, bytes: windows.byteCounts.reduce(0, +)))
            first += windows.count
        }
    }
}
