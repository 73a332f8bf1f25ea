import Numerics
package import Safetensors

extension SourceTensor {
    /// - Throws: `CheckpointError` where the elements have no values to compute with.
    func checkComputable() throws {
        guard info.dtype.isConvertible else {
            throw CheckpointError.uncomputable(info.dtype, file: file.path, tensor: info.name)
        }
    }
}

extension LazyTensor {
    /// Refuses what is neither a copy nor arithmetic on floating-point numbers.
    ///
    /// - Parameter name: what the tensor is written as, for messages about its own dtype.
    /// - Throws: `CheckpointError` that names the tensor on disk and its dtype.
    func checkWritable(as name: String) throws {
        guard copied == nil else { return }
        if case .encoded = expression {
            for (tensor, _) in expression.sources { try tensor.checkComputable() }
            return
        }
        try checkComputable(as: name)
    }

    /// Refuses values that arithmetic cannot be done with: a model's weights, say.
    ///
    /// - Throws: `CheckpointError` that names the tensor on disk and its dtype.
    package func checkComputable(as name: String) throws {
        for (tensor, _) in expression.sources { try tensor.checkComputable() }
        guard dtype.isConvertible else { throw CheckpointError.uncomputable(dtype, file: nil, tensor: name) }
    }
}

extension Checkpoint {
    /// Refuses a checkpoint with a weight that no model can be computed with.
    ///
    /// - Throws: `CheckpointError` that names the tensor and its dtype.
    package func checkComputable() throws {
        for expected in try expectedTensors() {
            for (role, _) in expected.placements { try table[role]?.checkComputable(as: expected.name) }
        }
    }
}

extension CheckpointError {
    /// Elements that are no floating-point numbers of a type that converts.
    package static func uncomputable(_ dtype: DType, file: String?, tensor: String) -> CheckpointError {
        let known = DType.allCases.filter(\.isConvertible).map(\.rawValue).joined(separator: ", ")
        return CheckpointError(
            .incompatible, file: file, tensor: tensor,
            message: "it is \(dtype.rawValue), which can be copied but not computed with: weights of \(known) are "
                + "needed; dequantise the checkpoint, or convert the tensor where it was made")
    }
}
