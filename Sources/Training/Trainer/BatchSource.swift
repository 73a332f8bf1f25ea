import Checkpoints
package import Evaluation
import Models
import Safetensors

/// Where a trainer's batches come from, in an order that is always the same.
package protocol BatchSource {
    /// The parts of the next step's batch; nil where there is none left.
    mutating func next() throws -> [MicroBatch]?
    /// How far it has come, in numbers that `restore` understands.
    var position: [Int] { get }
    /// Goes on from a position.
    ///
    /// - Throws: `CheckpointError` for a position that is not one of its own.
    mutating func restore(_ position: [Int]) throws
    /// Steps that it has in all; nil where it does not end.
    var steps: Int? { get }
    /// A digest of all tokens in their order, by which a run that is resumed knows its data again.
    var digest: String { get }
}

/// Batches of token ids that somebody made: `batches`, I64 `[steps, B, T]`, of a safetensors file.
package struct ExplicitBatches: BatchSource {
    private let batches: [TokenBatch]
    private var index = 0

    /// The tokens of a sequence and of a step.
    ///
    /// - Throws: `SafetensorsError` where the file has no such tensor.
    package static func shape(path: String) throws -> (length: Int, tokens: Int) {
        let shape = try shape(SafetensorsFile(path: path))
        return (shape[2], shape[1] * shape[2])
    }

    private static func shape(_ file: SafetensorsFile) throws -> [Int] {
        let path = file.path
        guard let shape = file.info("batches")?.shape.dimensions else {
            throw SafetensorsError(.missing, file: path, tensor: "batches", message: "the file has no such tensor")
        }
        guard shape.count == 3, shape[0] > 0, shape[1] > 0, shape[2] > 1 else {
            throw SafetensorsError(
                .malformed, file: path, tensor: "batches", message: "expected ids [steps, B, T] with T of 2 or more")
        }
        return shape
    }

    /// - Throws: `SafetensorsError` where the file has no such tensor.
    package init(path: String) throws {
        let file = try SafetensorsFile(path: path)
        let shape = try Self.shape(file)
        let ids = try ForwardOutputs.ids(file, "batches")
        let size = shape[1] * shape[2]
        batches = (0..<shape[0]).map { TokenBatch(ids: Array(ids[$0 * size..<($0 + 1) * size]), length: shape[2]) }
    }

    package mutating func next() -> [MicroBatch]? {
        guard index < batches.count else { return nil }
        index += 1
        return [MicroBatch(batches[index - 1])]
    }

    package var position: [Int] { [index] }

    package mutating func restore(_ position: [Int]) throws {
        guard position.count == 1, (0...batches.count).contains(position[0]) else { throw unfit }
        index = position[0]
    }

    package var steps: Int? { batches.count }

    package var digest: String {
        var identity = RunIdentity()
        for batch in batches {
            identity.add("\(batch.length)")
            identity.add(values: batch.ids)
        }
        return identity.digest
    }
}

/// Windows of the domains' tokens, drawn in an order that the seed fixes.
package struct StreamBatches: BatchSource {
    private var stream: TrainingStream
    private let length: Int
    /// Sequences of each part of a step.
    private let parts: [Int]

    /// - Parameters:
    ///   - sequences: windows of a step.
    ///   - atOnce: windows that go through the model at once at most.
    package init(_ stream: TrainingStream, length: Int, sequences: Int, atOnce: Int) {
        self.stream = stream
        self.length = length
        // Parts of the same size, or nearly: the terms of routers are means over parts.
        let count = (sequences + atOnce - 1) / max(atOnce, 1)
        parts = (0..<count).map { (sequences * ($0 + 1)) / count - (sequences * $0) / count }
    }

    package mutating func next() throws -> [MicroBatch]? {
        parts.map { count in
            var ids: [Int32] = []
            ids.reserveCapacity(count * length)
            let domains = (0..<count).map { _ in stream.next(appendingTo: &ids) }
            return MicroBatch(TokenBatch(ids: ids, length: length), domains: domains)
        }
    }

    package var position: [Int] {
        let state = stream.state
        return [state.draws] + state.epochs + state.positions
    }

    package mutating func restore(_ position: [Int]) throws {
        let domains = stream.domains.count
        guard position.count == 1 + 2 * domains else { throw unfit }
        try stream.restore(
            TrainingStream.State(
                draws: position[0], epochs: Array(position[1..<1 + domains]),
                positions: Array(position[(1 + domains)...])
            ))
    }

    package var steps: Int? { nil }

    package var digest: String {
        var identity = RunIdentity()
        for domain in stream.domains { domain.add(to: &identity) }
        return identity.digest
    }
}

private var unfit: CheckpointError {
    CheckpointError(
        .usage, message: "the saved run had read other data: resume with the same data, or start over with `overwrite`")
}
