import Numerics
import Packing
public import Safetensors

/// Two checkpoints, or two files of tensors, compared by the names of their tensors.
public struct TensorComparison: JSONResult {
    /// Every tensor of either, in the order of the names.
    public let tensors: [ComparedTensor]
    /// Where the configurations make other functions of the same weights.
    public let configuration: [FunctionTraits.Disagreement]
    /// A tensor that differs in a dtype without values.
    private let uncomputable: CheckpointError?

    /// Compares what is at two paths: folders, files, or `org/name[@revision]` in the local Hugging Face cache.
    ///
    /// - Parameter threads: how many tensors are compared at a time.
    /// - Throws: `SafetensorsError` where a file cannot be read, `CheckpointError` of `.cancelled`.
    public init(_ first: String, _ second: String, threads: Int) async throws {
        let (first, second) = (try resolveModelPath(first), try resolveModelPath(second))
        let (a, b) = (try NamedTensors(at: first), try NamedTensors(at: second))
        configuration = try Comparison.configurations(first, second)
        tensors = try await cancelling { isCancelled in
            try await Comparison.byName(a, b, threads: threads) { isCancelled() || Interruption.isRequested }
        }
        let other = tensors.first { !$0.isIdentical && $0.isOfBytes }
        uncomputable = other.flatMap { other in
            for (path, tensors) in [(first, a), (second, b)] {
                if let dtype = tensors[other.name]?.tensor.dtype, !dtype.isConvertible {
                    return .uncomputable(dtype, file: path, tensor: other.name)
                }
            }
            return nil
        }
    }

    /// The tensors that are not the same to the byte.
    public var different: [ComparedTensor] { tensors.filter { !$0.isIdentical } }

    /// Whether all tensors are the same to the byte, and the configurations mean the same.
    public var isIdentical: Bool { configuration.isEmpty && tensors.allSatisfy(\.isIdentical) }

    /// Whether no value differs by more, and both have the same tensors and compute the same with them.
    ///
    /// - Throws: `CheckpointError` where tensors of a dtype without values differ: no tolerance applies to those.
    public func isWithin(_ tolerance: Double) throws -> Bool {
        if let uncomputable { throw uncomputable }
        return configuration.isEmpty && tensors.allSatisfy { $0.isIdentical || $0.isWithin(tolerance) }
    }

    /// What differs, and how many tensors there are.
    public var json: JSONObject {
        [
            "identical": .bool(isIdentical), "tensors": JSON(tensors.count),
            "different": .array(different.map { .object($0.json) }),
            "configuration": .array(configuration.map { .object($0.json) }),
        ]
    }
}

extension ComparedTensor {
    /// Whether it differs in elements that no tolerance can be applied to.
    fileprivate var isOfBytes: Bool {
        switch outcome {
        case .dtypeDiffers(_, _, let difference), .compared(let difference): difference.isOfBytes
        case .onlyInFirst, .onlyInSecond, .shapeDiffers: false
        }
    }

    fileprivate func isWithin(_ tolerance: Double) -> Bool {
        switch outcome {
        case .onlyInFirst, .onlyInSecond, .shapeDiffers: false
        case .dtypeDiffers(_, _, let difference), .compared(let difference): difference.maximumAbsolute <= tolerance
        }
    }

    /// What was found, in words.
    public var text: String {
        switch outcome {
        case .onlyInFirst: "only in the first"
        case .onlyInSecond: "only in the second"
        case .shapeDiffers(let a, let b): "shape \(a) and \(b)"
        case .dtypeDiffers(let a, let b, let difference): "\(a) and \(b), \(difference.text)"
        case .compared(let difference): difference.text
        }
    }

    fileprivate var json: JSONObject {
        var object: JSONObject = ["name": .string(name), "outcome": .string(text)]
        switch outcome {
        case .dtypeDiffers(_, _, let difference), .compared(let difference):
            object["maximum_absolute"] = difference.maximumAbsolute.isFinite ? JSON(difference.maximumAbsolute) : .null
            object["maximum_relative"] = difference.maximumRelative.isFinite ? JSON(difference.maximumRelative) : .null
            object["differing_values"] = JSON(difference.count)
        default: break
        }
        return object
    }
}

extension Difference {
    fileprivate var text: String {
        if isIdentical { return "identical" }
        if isOfBytes {
            return count == 0 ? "not comparable by value" : "\(count) elements differ, of a type without values"
        }
        if count == 0 { return "equal values, different bytes" }
        return "\(count) values differ: at most \(numberText(maximumAbsolute)) absolute, "
            + "\(numberText(maximumRelative)) relative"
    }
}
