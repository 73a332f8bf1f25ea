import Checkpoints
package import Safetensors

/// What a step of a training run measured.
public struct StepMetrics: Sendable, Equatable {
    /// Counted from 0.
    public package(set) var step: Int
    /// The mean cross-entropy, in nats, before the step's update.
    public package(set) var loss: Double
    /// The balancing loss without its weight; nil where there is none.
    public package(set) var aux: Double?
    /// The router z-loss without its weight; nil where there are no routers.
    public package(set) var z: Double?
    /// The distillation term without its weight; nil where there is no teacher.
    public package(set) var kl: Double?
    /// The L2 norm of all gradients together, before clipping.
    public package(set) var gradientNorm: Double
    /// Of this step.
    public package(set) var learningRate: Double
    /// Tokens of the step over the seconds that it took.
    public package(set) var tokensPerSecond: Double

    package init(
        step: Int, loss: Double, aux: Double? = nil, z: Double? = nil, kl: Double? = nil, gradientNorm: Double,
        learningRate: Double, tokensPerSecond: Double
    ) {
        self.step = step
        self.loss = loss
        self.aux = aux
        self.z = z
        self.kl = kl
        self.gradientNorm = gradientNorm
        self.learningRate = learningRate
        self.tokensPerSecond = tokensPerSecond
    }

    /// The members of a line of metrics; what is not finite is null there, since JSON cannot say it.
    package var json: JSONObject {
        var object: JSONObject = ["step": JSON(step), "loss": JSON(loss)]
        object["aux"] = aux.map { JSON($0) }
        object["z"] = z.map { JSON($0) }
        object["kl"] = kl.map { JSON($0) }
        object["grad_norm"] = JSON(gradientNorm)
        object["lr"] = JSON(learningRate)
        object["tokens_per_second"] = JSON((tokensPerSecond * 10).rounded() / 10)
        return object
    }
}

/// The metrics of a run as JSON lines, `OUT.metrics.jsonl`: one object a line, each written at once.
///
/// Lines of steps hold `step`, `loss`, `aux`, `z`, `kl`, `grad_norm`, `lr` and `tokens_per_second`; other lines, of
/// held-out evaluations say, hold what their writer likes, and `step`.
package final class MetricsWriter {
    private static let largestFile = 1 << 30

    private let file: PosixFile
    private var end: Int

    /// Starts a file, in the place of one that is there.
    ///
    /// - Throws: `CheckpointError` with code `io`.
    package convenience init(startingAt path: String) throws {
        try self.init(path: path, keeping: [])
    }

    /// Goes on with the file of a run that is resumed: lines of steps from `step` on are dropped, since they will be
    /// written again, and so is what is no whole line of JSON, which a kill may leave. Without a file, one is started.
    ///
    /// - Throws: `CheckpointError` with code `io`.
    package convenience init(resuming path: String, at step: Int) throws {
        guard try fileExists(path) else {
            try self.init(startingAt: path)
            return
        }
        let bytes = try translatingErrors { () throws(SafetensorsError) in
            try PosixFile.contents(path, limit: Self.largestFile)
        }
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // What follows the last line feed was cut short.
        lines.removeLast()
        var kept: [UInt8] = []
        for line in lines {
            guard let json = try? JSON(parsing: Array(line), file: path), let found = json.object?["step"]?.int,
                found < step
            else { continue }
            kept += line
            kept.append(UInt8(ascii: "\n"))
        }
        try self.init(path: path, keeping: kept)
    }

    private init(path: String, keeping bytes: [UInt8]) throws {
        file = try translatingErrors { () throws(SafetensorsError) in
            try PosixFile.replace(path, with: bytes)
            return try PosixFile.openForUpdate(path)
        }
        end = bytes.count
    }

    /// Writes the line of a step.
    package func append(_ metrics: StepMetrics) throws { try append(metrics.json) }

    /// Writes a line.
    ///
    /// - Throws: `CheckpointError` with code `io`, and then the next line takes the place of what was written of this.
    package func append(_ record: JSONObject) throws {
        let bytes = Array((JSON.object(record).line + "\n").utf8)
        try translatingErrors { () throws(SafetensorsError) in try file.writeExactly(bytes, at: end) }
        end += bytes.count
    }

    /// Waits until all lines are on disk.
    package func sync() throws {
        try translatingErrors { () throws(SafetensorsError) in try file.syncData() }
    }
}

/// The errors of files as this module's callers know them.
func translatingErrors<T>(_ body: () throws(SafetensorsError) -> T) throws(CheckpointError) -> T {
    do throws(SafetensorsError) {
        return try body()
    } catch {
        let code: CheckpointError.Code =
            switch error.code {
            case .io: .io
            case .invalidArgument: .internalFailure
            default: .malformed
            }
        throw CheckpointError(code, file: error.file, tensor: error.tensor, message: error.message)
    }
}
