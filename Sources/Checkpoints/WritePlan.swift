package import Safetensors

/// A tensor to be written: its name and shape on disk, and what goes where in it.
package struct DiskTensor: Sendable {
    package let name: String
    package let dtype: DType
    package let shape: Shape
    /// The matrices it is made of, each with the view of the tensor's elements that it fills.
    package let placements: [(tensor: LazyTensor, view: MatrixView)]
}

/// A file to be written: its header, and where each tensor lies behind it.
package struct PlannedFile: Sendable {
    package let name: String
    package let header: [UInt8]
    package let tensors: [TensorInfo]
    package let size: Int
}

/// A contiguous range of an output file and the matrices it is made of.
struct Output: Sendable {
    let file: Int
    let offset: Int
    let name: String
    let dtype: DType
    /// Rows of the output; `columns` elements each.
    let rows: Int
    let columns: Int
    /// One matrix as it is, or several that are scattered into the range.
    let placements: [(tensor: LazyTensor, view: MatrixView)]

    /// Bytes per element; types of less than a byte are copied as bytes.
    var elementSize: Int { dtype.bits % 8 == 0 ? dtype.bits / 8 : 1 }
    /// The matrix, where the output is that and nothing else, and so can be written some rows at a time.
    var matrix: LazyTensor? {
        guard placements.count == 1, placements[0].view.isContiguous else { return nil }
        return placements[0].tensor
    }
    var byteCount: Int { rows * columns * elementSize }
    /// Rows that are made at a time: one, or as many as share a row of scales.
    var rowsPerStep: Int { matrix?.expression.rowsPerStep ?? 1 }
    var steps: Int { (rows + rowsPerStep - 1) / rowsPerStep }

    /// The rows of some steps.
    func rows(steps: Range<Int>) -> Range<Int> {
        steps.lowerBound * rowsPerStep..<min(steps.upperBound * rowsPerStep, rows)
    }
}

/// What to write, cut into files, and into jobs that read every byte of the sources once.
package struct WritePlan: Sendable {
    package let files: [PlannedFile]
    /// Which file each tensor goes to, in the order of the table.
    package let weightMap: [(tensor: String, file: String)]
    let jobs: [WriteJob]

    /// The bytes of all weight files, headers included.
    package var byteCount: Int { files.reduce(0) { $0 + $1.size } }
    /// The bytes of all tensors, headers not included: the index's `total_size`.
    package var tensorByteCount: Int { files.reduce(0) { $0 + $1.size - $1.header.count } }
    /// Values of all tensors: not their elements, of which codes may have fewer.
    package let parameterCount: Int

    /// Lays tensors out in shards of at most `shardLimit` bytes, as Hugging Face's libraries cut and name them.
    ///
    /// - Parameters:
    ///   - parameters: values that the tensors stand for; nil for their elements.
    ///   - metadata: what every file's header says besides its format.
    /// - Throws: `SafetensorsError` where a name or size cannot be written, `CheckpointError` where a tensor would be
    ///   computed from what has no values.
    package init(
        tensors: [DiskTensor], shardLimit: Int, parameters: Int? = nil, metadata: [String: String] = [:]
    ) throws {
        parameterCount = parameters ?? tensors.reduce(0) { $0 + $1.shape.elementCount }
        for tensor in tensors {
            for (matrix, _) in tensor.placements { try matrix.checkWritable(as: tensor.name) }
        }
        let sizes = try tensors.map { try $0.shape.byteCount(of: $0.dtype) }
        let shards = ShardIndex.assignShards(sizes: sizes, limit: shardLimit)
        let names = ShardIndex.shardNames(count: shards.count)
        var files: [PlannedFile] = []
        var outputs: [Output] = []
        var map: [(tensor: String, file: String)] = []
        for (name, members) in zip(names, shards) {
            let (header, layout) = try Header.serialized(
                tensors: members.map { (tensors[$0].name, tensors[$0].dtype, tensors[$0].shape) },
                metadata: metadata.merging(["format": "pt"]) { $1 })
            let begins = Dictionary(uniqueKeysWithValues: layout.map { ($0.name, $0.begin) })
            for member in members {
                let tensor = tensors[member]
                map.append((tensor.name, name))
                let begin = header.count + (begins[tensor.name] ?? 0)
                outputs += Self.outputs(of: tensor, file: files.count, begin: begin)
            }
            files.append(
                PlannedFile(
                    name: name, header: header, tensors: layout, size: header.count + (layout.last?.end ?? 0)))
        }
        self.files = files
        self.weightMap = map
        self.jobs = WriteJob.jobs(for: outputs)
    }

    /// The contiguous ranges of a tensor: a range for each matrix that fills one by itself, and one for each group of
    /// matrices that are interleaved with each other.
    private static func outputs(of tensor: DiskTensor, file: Int, begin: Int) -> [Output] {
        let size = tensor.dtype.bits % 8 == 0 ? tensor.dtype.bits / 8 : 1
        func output(_ placements: [(tensor: LazyTensor, view: MatrixView)], covering range: Range<Int>) -> Output {
            let single = placements.count == 1 && placements[0].view.isContiguous
            return Output(
                file: file, offset: begin + range.lowerBound * size, name: tensor.name, dtype: tensor.dtype,
                rows: single ? placements[0].tensor.rows : range.count,
                columns: single ? placements[0].tensor.columns : 1,
                placements: placements.map { entry in
                    let view = entry.view
                    return (
                        entry.tensor,
                        MatrixView(
                            offset: view.offset - range.lowerBound, rows: view.rows, columns: view.columns,
                            rowStride: view.rowStride, columnStride: view.columnStride)
                    )
                })
        }
        var result: [Output] = []
        var group: [(tensor: LazyTensor, view: MatrixView)] = []
        var range = 0..<0
        for entry in tensor.placements.sorted(by: {
            $0.view.coveredElements.lowerBound < $1.view.coveredElements.lowerBound
        })
        where entry.tensor.rows > 0 && entry.tensor.columns > 0 {
            let cover = entry.view.coveredElements
            if !group.isEmpty, cover.lowerBound < range.upperBound {
                group.append(entry)
                range = range.lowerBound..<max(range.upperBound, cover.upperBound)
                continue
            }
            if !group.isEmpty { result.append(output(group, covering: range)) }
            group = [entry]
            range = cover
        }
        if !group.isEmpty { result.append(output(group, covering: range)) }
        return result
    }
}
