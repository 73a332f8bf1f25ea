import Checkpoints
import Glibc
import Safetensors

/// Writes scalars to an event file that TensorBoard shows.
///
/// ```swift
/// let board = try TensorBoardWriter(folder: "runs/1")
/// board.add([("loss", 2.5), ("lr", 1e-3)], step: 0)
/// try board.flush()
/// ```
package final class TensorBoardWriter {
    /// The file, `events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER` as TensorBoard looks for.
    package let path: String

    private let file: PosixFile
    private var end = 0
    private var pending: [UInt8] = []

    /// Makes the folder where there is none, and an event file in it.
    ///
    /// - Parameters:
    ///   - folder: one folder for a run.
    ///   - resumedStep: the step that a resumed run goes on from: TensorBoard forgets what older files have from it on.
    ///   - wallTime: seconds since 1970.
    /// - Throws: `CheckpointError` with code `io`.
    package init(folder: String, resumedStep: Int? = nil, wallTime: Double = currentTime()) throws {
        (path, file) = try translatingErrors { () throws(SafetensorsError) in
            try makeFolders(folder)
            // A number of its own for each file that a process makes within a second.
            let stem = "\(folder)/events.out.tfevents.\(Int(wallTime)).\(Self.hostName).\(getpid())"
            var number = 0
            while try fileExists("\(stem).\(number)") { number += 1 }
            let path = "\(stem).\(number)"
            return (path, try PosixFile.create(path))
        }
        pending += TensorBoardEvent(wallTime: wallTime, .version).record
        if let resumedStep { pending += TensorBoardEvent(wallTime: wallTime, step: resumedStep, .restart).record }
        try flush()
    }

    /// Adds values of a step, which are written with the next flush.
    package func add(_ scalars: [(tag: String, value: Float)], step: Int, wallTime: Double = currentTime()) {
        guard !scalars.isEmpty else { return }
        pending += TensorBoardEvent(wallTime: wallTime, step: step, .scalars(scalars)).record
    }

    /// Writes what was added.
    ///
    /// - Throws: `CheckpointError` with code `io`; the records are kept for the next flush.
    package func flush() throws {
        guard !pending.isEmpty else { return }
        try translatingErrors { () throws(SafetensorsError) in try file.writeExactly(pending, at: end) }
        end += pending.count
        pending.removeAll(keepingCapacity: true)
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        // It becomes part of a file's name.
        let text = String(decoding: bytes, as: UTF8.self).filter { $0 != "/" }
        return text.isEmpty ? "localhost" : text
    }
}

/// Seconds since 1970.
package func currentTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
