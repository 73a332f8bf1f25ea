import Checkpoints
package import Numerics
import Safetensors

/// A matrix that belongs to a run's state and is no trained parameter: biases of a balance without a loss, say.
package struct NamedMatrix: Sendable {
    package let name: String
    package let matrix: Matrix

    package init(name: String, matrix: Matrix) {
        self.name = name
        self.matrix = matrix
    }
}

extension TrainingState {
    /// Where a state grows until it is whole; a save that is killed leaves it behind.
    static func growingPath(_ path: String) -> String { PosixFile.growingPath(path) }

    /// Writes the state with an optimiser's weights and moments.
    ///
    /// The file grows beside its place and takes it whole and synced: until then, and whatever fails, the state
    /// that was saved before stays.
    ///
    /// - Throws: `CheckpointError` with code `io` where the disk is full or refuses.
    package func save(to path: String, _ optimizer: AdamW, extras: [NamedMatrix] = []) throws {
        let matrices = Self.matrices(optimizer, extras)
        let document = document(optimizerSteps: optimizer.stepCount)
        try translatingErrors { () throws(SafetensorsError) in
            var tensors: [(name: String, dtype: DType, shape: Shape)] = []
            for entry in matrices {
                tensors.append((entry.name, .f32, try Shape([entry.matrix.rows, entry.matrix.columns])))
            }
            let (header, layout) = try Header.serialized(tensors: tensors, metadata: [Self.metadataKey: document])
            let byName = Dictionary(matrices.map { ($0.name, $0.matrix) }, uniquingKeysWith: { first, _ in first })
            try PosixFile.replace(path) { file throws(SafetensorsError) in
                // A disk that is too full says so before anything is written.
                try file.preallocate(header.count + (layout.last?.end ?? 0))
                try file.writeExactly(header, at: 0)
                for tensor in layout {
                    guard let matrix = byName[tensor.name] else { continue }
                    try file.writeExactly(
                        from: UnsafeRawBufferPointer(matrix.buffer), at: header.count + tensor.begin)
                }
            }
        }
    }

    fileprivate static func matrices(_ optimizer: AdamW, _ extras: [NamedMatrix]) -> [NamedMatrix] {
        var all: [NamedMatrix] = []
        for (index, parameter) in optimizer.parameters.enumerated() {
            all.append(NamedMatrix(name: "weight." + parameter.name, matrix: parameter.values))
            all.append(NamedMatrix(name: "first." + parameter.name, matrix: optimizer.firstMoments[index]))
            all.append(NamedMatrix(name: "second." + parameter.name, matrix: optimizer.secondMoments[index]))
        }
        return all + extras.map { NamedMatrix(name: "extra." + $0.name, matrix: $0.matrix) }
    }
}

/// A state that a run left.
package struct SavedTrainingState {
    package let path: String
    package let state: TrainingState
    private let optimizerSteps: Int
    private let file: SafetensorsFile

    /// Opens the file and reads all but weights and moments.
    ///
    /// - Throws: `CheckpointError`: `malformed` for a file that is cut short, damaged or of another kind, `io` where it
    ///   cannot be read.
    package init(at path: String) throws {
        self.path = path
        file = try translatingErrors { () throws(SafetensorsError) in try SafetensorsFile(path: path) }
        guard let entry = file.header.metadata.first(where: { $0.key == TrainingState.metadataKey }) else {
            throw CheckpointError(
                .malformed, file: path,
                message: "expected the state of a training run, and this file holds none: start over with `overwrite`")
        }
        (state, optimizerSteps) = try TrainingState.parsed(entry.value, file: path)
    }

    /// Reads weights and moments to where they belong. Nothing is changed unless every name and size fits.
    ///
    /// - Throws: `CheckpointError`: `incompatible` where the state is of other parameters, `io` where it cannot be read.
    package func restore(_ optimizer: AdamW, extras: [NamedMatrix] = []) throws {
        let matrices = TrainingState.matrices(optimizer, extras)
        var places: [(info: TensorInfo, matrix: Matrix)] = []
        for entry in matrices {
            guard let info = file.info(entry.name) else {
                throw unfit(entry.name, "the state has no such tensor")
            }
            let expected = [entry.matrix.rows, entry.matrix.columns]
            guard info.dtype == .f32, info.shape.dimensions == expected else {
                throw unfit(
                    entry.name,
                    "expected F32 \(expected), found \(info.dtype.rawValue) \(info.shape.dimensions)")
            }
            places.append((info, entry.matrix))
        }
        let known = Set(matrices.map { ExactText($0.name) })
        if let other = file.header.tensors.first(where: { !known.contains(ExactText($0.name)) }) {
            throw unfit(other.name, "the state has it, and this run does not train it")
        }
        for (info, matrix) in places {
            try translatingErrors { () throws(SafetensorsError) in
                try file.read(info, from: 0, into: UnsafeMutableRawBufferPointer(matrix.buffer))
            }
        }
        optimizer.stepCount = optimizerSteps
    }

    private func unfit(_ tensor: String, _ what: String) -> CheckpointError {
        CheckpointError(
            .incompatible, file: path, tensor: tensor,
            message: what + ": it was saved by a run with other parameters; start over with `overwrite`")
    }
}

extension OutputKind {
    /// The state of a training run.
    static let trainingState = OutputKind.file("the state of a training") { _ = try SavedTrainingState(at: $0) }
}
