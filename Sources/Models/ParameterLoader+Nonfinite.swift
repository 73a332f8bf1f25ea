import Checkpoints
import Safetensors

extension ParameterLoader {
    /// Names the first value of a tensor that is no number.
    func nonfinite(_ tensor: LazyTensor, _ role: Role, at index: Int, _ value: Float) -> CheckpointError {
        let what = value.isNaN ? "NaN" : "infinite"
        let (row, column) = (index / max(tensor.columns, 1), index % max(tensor.columns, 1))
        if let (source, view) = tensor.copied {
            // The place in the tensor as it is stored, of which this may be a part.
            var flat = view.offset + row * view.rowStride + column * view.columnStride
            var place: [Int] = []
            for size in source.info.shape.dimensions.reversed() {
                place.insert(flat % max(size, 1), at: 0)
                flat /= max(size, 1)
            }
            return CheckpointError(
                .incompatible, file: source.file.path, tensor: source.info.name,
                message:
                    "its value at \(place) is \(what), and nothing can be computed with it: repair the checkpoint, "
                    + "or fetch it again")
        }
        return CheckpointError(
            .incompatible, file: checkpoint.description.config.file, tensor: role.description,
            message:
                "its value at [\(row), \(column)] is \(what), and nothing can be computed with it: one of the tensors "
                + "that it is made of has it")
    }
}

/// The place of the first value that is NaN or infinite; nil where there is none.
func firstNonfinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
    let exponent: UInt32 = 0x7F80_0000
    var start = 0
    // Pieces without a branch inside, which the compiler makes vectors of.
    while start < values.count {
        let end = min(values.count, start + 4096)
        var found: UInt32 = 0
        for i in start..<end { found |= (values[i].bitPattern & exponent) == exponent ? 1 : 0 }
        if found != 0 { return (start..<end).first { !values[$0].isFinite } }
        start = end
    }
    return nil
}
