import Glibc
import Synchronization

private let signalNumber = Atomic<Int32>(0)

/// The signal that asked the process to stop, 0 if none did.
var receivedSignal: Int32 { signalNumber.load(ordering: .relaxed) }

/// Makes the first SIGINT, SIGTERM or SIGHUP end the work in order, and the second one the process at once.
///
/// A closed pipe is an error of the write that meets it, not a signal.
func installSignalHandlers() {
    signal(SIGPIPE, SIG_IGN)
    for number in [SIGINT, SIGTERM, SIGHUP] {
        signal(number) { number in
            if signalNumber.exchange(number, ordering: .relaxed) != 0 { _exit(128 + number) }
        }
    }
}
