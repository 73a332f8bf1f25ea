import Checkpoints
import Glibc
import Safetensors
import Synchronization

/// Shows how far a long work has come, on standard error: a bar on a terminal, a line every few seconds elsewhere.
final class ProgressBar: Sendable {
    private struct State {
        var started: Double?
        var startDone = 0
        var lastLine = 0.0
        var drawn = false
        var phase = ""
    }
    private let state = Mutex(State())
    private let isTerminal: Bool

    init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    /// A checkpoint's writing.
    func update(_ progress: WriteProgress) {
        if progress.stage == .syncing {
            update("syncing", done: progress.total, total: progress.total, text: "syncing to disk") { byteText($0) }
        } else {
            update(progress.stage.rawValue, done: progress.done, total: progress.total) { byteText($0) }
        }
    }

    /// Work of any kind.
    ///
    /// - Parameters:
    ///   - phase: what is counted anew, and has a rate of its own.
    ///   - label: what it is called, if not as the phase.
    ///   - text: all there is to say, where there is no rate.
    ///   - unit: an amount of it as people read it.
    func update(
        _ phase: String, label: String? = nil, done: Int, total: Int, text: String? = nil, unit: (Int) -> String
    ) {
        state.withLock { state in
            let now = monotonicSeconds()
            if state.started == nil || state.phase != phase {
                state.started = now
                state.startDone = done
                state.phase = phase
                state.lastLine = now
            }
            // Nobody reads more than ten a second.
            if isTerminal, state.drawn, now - state.lastLine < 0.1, done < total { return }
            let elapsed = now - (state.started ?? now)
            let rate = elapsed > 0.2 ? Double(done - state.startDone) / elapsed : 0
            let left = rate > 0 ? Double(total - done) / rate : 0
            let share = total > 0 ? Double(done) / Double(total) : 1
            var line = "\(label ?? phase) \(Int(share * 100))%  \(unit(done)) of \(unit(total))"
            if rate > 0 { line += "  \(unit(Int(rate)))/s  \(durationText(left)) left" }
            if let text { line = text }
            if isTerminal {
                let width = 24
                let filled = min(width, Int(share * Double(width)))
                let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
                standardError("\r\u{1B}[2K\(bar) \(line)")
                state.drawn = true
                state.lastLine = now
            } else if now - state.lastLine >= 5 {
                standardError(line + "\n")
                state.lastLine = now
            }
        }
    }

    /// Removes the bar.
    func finish() {
        state.withLock { state in
            if state.drawn { standardError("\r\u{1B}[2K") }
            state.drawn = false
        }
    }
}

/// Seconds of a clock that only moves forward.
func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// "42 s", "3 min 20 s", "1 h 5 min".
func durationText(_ seconds: Double) -> String {
    let seconds = Int(seconds.rounded(.up))
    if seconds < 60 { return "\(seconds) s" }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
}
