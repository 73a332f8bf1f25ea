import Glibc
import Safetensors

/// The signal that asked the process to stop, 0 if none did.
var receivedSignal: Int32 { Interruption.signal }

/// How long work may take to end in order. Nothing is lost beyond it: an output appears whole or not at all, whenever the
/// process ends.
private let grace: useconds_t = 600_000

/// The pipe through which a signal's handler wakes the thread that waits for the end.
private nonisolated(unsafe) var wakeUp: Int32 = -1

/// Makes the first SIGINT, SIGTERM, SIGHUP or SIGQUIT end the work in order, or the process where that takes longer than a
/// moment; the second one ends the process at once.
///
/// A closed pipe is an error of the write that meets it, not a signal.
func installSignalHandlers() {
    signal(SIGPIPE, SIG_IGN)
    // What a handler reads must have been made before.
    _ = Interruption.isRequested
    var ends: [Int32] = [-1, -1]
    if pipe(&ends) == 0 {
        wakeUp = ends[1]
        var thread = pthread_t()
        let end = UnsafeMutableRawPointer(bitPattern: Int(ends[0]) + 1)
        if pthread_create(&thread, nil, { waitForEnd($0) }, end) == 0 { pthread_detach(thread) }
    }
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal(number) { number in
            if Interruption.request(number) != 0 { _exit(128 + number) }
            var byte: UInt8 = 0
            _ = write(wakeUp, &byte, 1)
        }
    }
}

/// Ends the process when work has not ended a moment after a signal; work that must be finished is waited for.
private func waitForEnd(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let descriptor = Int32(Int(bitPattern: argument) - 1)
    var byte: UInt8 = 0
    while read(descriptor, &byte, 1) < 0, errno == EINTR {}
    usleep(grace)
    while Interruption.isProtected {
        usleep(20_000)
        // Whoever brought something to its end has the time to say so.
        if !Interruption.isProtected { usleep(grace) }
    }
    standardError("\nmoe-tool: interrupted\n")
    _exit(128 + Interruption.signal)
}
