import Safetensors

/// Why a checkpoint cannot be read, transformed or written.
public struct CheckpointError: Error, Sendable, CustomStringConvertible {
    /// The kind of an error.
    public struct Code: Hashable, Sendable {
        private enum Kind {
            case usage, malformed, incompatible, uncomputed, io, verification, outOfMemory, internalFailure, cancelled
        }
        private let kind: Kind

        /// What was asked for cannot be asked for.
        public static let usage = Code(kind: .usage)
        /// A file is not what it should be.
        public static let malformed = Code(kind: .malformed)
        /// The inputs do not fit together, or not with what is to be made of them.
        public static let incompatible = Code(kind: .incompatible)
        /// A model that other programs may run, and whose function this one does not compute.
        public static let uncomputed = Code(kind: .uncomputed)
        /// The operating system refused or failed.
        public static let io = Code(kind: .io)
        /// What was written is not what was to be written.
        public static let verification = Code(kind: .verification)
        /// The system grants no more memory.
        public static let outOfMemory = Code(kind: .outOfMemory)
        /// A mistake of this program.
        public static let internalFailure = Code(kind: .internalFailure)
        /// The caller asked to stop.
        public static let cancelled = Code(kind: .cancelled)
    }

    /// The kind of the error.
    public let code: Code
    /// The file or folder it is about.
    public let file: String?
    /// The tensor it is about.
    public let tensor: String?
    /// What was expected, what was found, and what to do.
    public let message: String

    package init(_ code: Code, file: String? = nil, tensor: String? = nil, message: String) {
        self.code = code
        self.file = file
        self.tensor = tensor
        self.message = message
    }

    /// File, tensor and message in one line, with control characters escaped.
    public var description: String {
        var text = ""
        if let file { text += "\(escaped(file)): " }
        if let tensor { text += "tensor \(escaped(tensor)): " }
        return text + message
    }

    /// Whether running again with the same inputs could end otherwise.
    var isResumable: Bool { code == .io || code == .cancelled || code == .usage || code == .outOfMemory }

    static let cancelled = CheckpointError(.cancelled, message: "interrupted")

    static func overflow(tensor: String, dtype: DType, count: Int) -> CheckpointError {
        CheckpointError(
            .incompatible, tensor: tensor,
            message:
                "\(count) values are too large for \(dtype.rawValue): choose a dtype with a wider range (BF16, F32), "
                + "or let them become infinite with `allowOverflow`")
    }

    package static func nonfinite(tensor: SourceTensor, count: Int, making output: String) -> CheckpointError {
        CheckpointError(
            .incompatible, file: tensor.file.path, tensor: tensor.info.name,
            message:
                "\(count) values are NaN or infinite, and \(escaped(output)) is computed from it: repair the source, "
                + "or compute with them with `allowNonfinite`")
    }

    static func nonfinite(tensor: QuantisedTensor, count: Int, making output: String) -> CheckpointError {
        let parts = tensor.parts.filter { $0.extent != nil }.map { "\($0.label) \(escaped($0.tensor.info.name))" }
        return CheckpointError(
            .incompatible, file: tensor.codec.codes.file.path, tensor: tensor.name,
            message:
                "\(count) values are NaN or infinite when it is decoded (\(parts.joined(separator: ", "))), and "
                + "\(escaped(output)) is computed from it: repair the source, or compute with them with "
                + "`allowNonfinite`")
    }

    static func insufficientMemory(tensor: String, needed: Int, budget: Int) -> CheckpointError {
        CheckpointError(
            .usage, tensor: tensor,
            message: "it must be made whole and needs \(byteText(needed)) on each thread, and \(byteText(budget)) are "
                + "allowed: raise `memory` or lower `threads`")
    }
}

/// Whether the operating system refused or failed: such an error says nothing of what a file is, and is never taken for it.
package func isFailureOfSystem(_ error: any Error) -> Bool {
    switch error {
    case let error as SafetensorsError: error.code == .io || error.code == .outOfMemory
    case let error as CheckpointError: error.code == .io || error.code == .outOfMemory
    default: false
    }
}
