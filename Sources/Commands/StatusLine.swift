import Checkpoints
import Glibc
import Synchronization

/// A line on standard error that says how far some work has come: redrawn on a terminal, a new line every few seconds
/// elsewhere.
final class StatusLine: Sendable {
    private struct State {
        var lastShown = monotonicSeconds()
        var isDrawn = false
    }
    private let state = Mutex(State())
    private let isQuiet: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1
    /// Nobody reads more than ten a second, nor wants a log of more than one in five seconds.
    private var interval: Double { isTerminal ? 0.1 : 5 }

    init(isQuiet: Bool = false) { self.isQuiet = isQuiet }

    /// - Parameters:
    ///   - share: how much is done, drawn as a bar on a terminal; nil for no bar.
    ///   - isLast: nothing follows, so that it is shown whenever the last one was.
    func show(_ text: @autoclosure () -> ProgressText, share: Double? = nil, isLast: Bool = false) {
        guard !isQuiet else { return }
        state.withLock { state in
            let now = monotonicSeconds()
            let isDue = now - state.lastShown >= interval || (isTerminal && !state.isDrawn && share != nil)
            guard isDue || isLast else { return }
            state.lastShown = now
            guard isTerminal else {
                standardError(text().whole + "\n")
                return
            }
            let columns = Terminal.columns(of: STDERR_FILENO) ?? 80
            standardError("\r\u{1B}[2K" + text().line(columns: columns, share: share))
            state.isDrawn = true
        }
    }

    /// Removes the line.
    func finish() {
        state.withLock { state in
            if state.isDrawn { standardError("\r\u{1B}[2K") }
            state.isDrawn = false
        }
    }
}
