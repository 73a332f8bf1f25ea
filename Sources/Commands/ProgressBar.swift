import Checkpoints
import Glibc
import Safetensors
import Synchronization

/// Shows how far a checkpoint's writing has come, on standard error: a bar on a terminal, a line every few seconds
/// elsewhere.
final class ProgressBar: Sendable {
    private struct State {
        var started: Double?
        var startBytes = 0
        var lastLine = 0.0
        var drawn = false
        var stage: WriteProgress.Stage = .writing
    }
    private let state = Mutex(State())
    private let isTerminal: Bool

    init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    func update(_ progress: WriteProgress) {
        state.withLock { state in
            let now = monotonicSeconds()
            if state.started == nil || state.stage != progress.stage {
                state.started = now
                state.startBytes = progress.done
                state.stage = progress.stage
                state.lastLine = now
            }
            let elapsed = now - (state.started ?? now)
            let rate = elapsed > 0.2 ? Double(progress.done - state.startBytes) / elapsed : 0
            let left = rate > 0 ? Double(progress.total - progress.done) / rate : 0
            let share = progress.total > 0 ? Double(progress.done) / Double(progress.total) : 1
            var text = "\(progress.stage.rawValue) \(Int(share * 100))%"
            text += "  \(byteText(progress.done)) of \(byteText(progress.total))"
            if rate > 0 { text += "  \(byteText(Int(rate)))/s  \(durationText(left)) left" }
            if progress.stage == .syncing { text = "syncing to disk" }
            if isTerminal {
                let width = 24
                let filled = min(width, Int(share * Double(width)))
                let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
                standardError("\r\u{1B}[2K\(bar) \(text)")
                state.drawn = true
            } else if now - state.lastLine >= 5 {
                standardError(text + "\n")
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
