import Checkpoints
import Safetensors
import Synchronization

/// Shows how far a long work has come, on standard error: a bar on a terminal, a line every few seconds elsewhere.
final class ProgressBar: Sendable {
    private struct State {
        var started: Double?
        var startDone = 0
        var phase = ""
    }
    private let state = Mutex(State())
    private let line = StatusLine()

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
        let now = monotonicSeconds()
        let (started, startDone) = state.withLock { state in
            if state.started == nil || state.phase != phase {
                state = State(started: now, startDone: done, phase: phase)
            }
            return (state.started ?? now, state.startDone)
        }
        let share = total > 0 ? Double(done) / Double(total) : 1
        func words() -> ProgressText {
            if let text { return ProgressText(parts: [text]) }
            let elapsed = now - started
            let rate = elapsed > 0.2 ? Double(done - startDone) / elapsed : 0
            var words = ProgressText(
                label: label ?? phase,
                parts: ["\(Int(saturating: share * 100))%", "\(unit(done)) of \(unit(total))"])
            if rate > 0 {
                words.parts.append("\(unit(Int(saturating: rate)))/s")
                words.parts.append("\(durationText(Double(total - done) / rate)) left")
            }
            return words
        }
        line.show(words(), share: share)
    }

    /// Removes the bar.
    func finish() { line.finish() }
}

/// "42 s", "3 min 20 s", "1 h 5 min".
func durationText(_ seconds: Double) -> String {
    let seconds = Int(saturating: seconds.rounded(.up))
    if seconds < 60 { return "\(seconds) s" }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds % 3600 / 60) min"
}
