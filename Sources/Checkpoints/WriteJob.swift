import Safetensors

/// Outputs that depend on the same bytes of the sources, and so are written together, block of rows by block of rows.
struct WriteJob: Sendable {
    let outputs: [Output]
    /// Where the job's first source byte lies, in the order of the source files; jobs run in that order.
    let position: SourcePosition?

    /// Where in each source file the job begins to read.
    var positions: [SourcePosition] {
        var first: [String: Int] = [:]
        for output in outputs {
            for placement in output.placements {
                for (tensor, elements) in placement.tensor.expression.reads {
                    let offset = tensor.info.begin + elements.lowerBound * tensor.elementSize
                    first[tensor.file.path] = min(first[tensor.file.path] ?? offset, offset)
                }
            }
        }
        return first.map { SourcePosition(file: $0.key, offset: $0.value) }
    }

    /// Whether a value must be computed from whole matrices before a row can be written.
    var hasDeferred: Bool { outputs.contains { $0.placements.contains { $0.tensor.expression.isDeferred } } }

    /// Whether a matrix must be computed whole, and so is best written at once.
    var hasWhole: Bool { outputs.contains { $0.placements.contains { $0.tensor.expression.hasWhole } } }

    /// Whether rows lie apart on disk, and are best read together.
    var isScattered: Bool { outputs.contains { $0.placements.contains { $0.tensor.expression.isScattered } } }

    /// The parts of the quantised weights that outputs are computed from.
    var quantisedParts: Set<SourceTensor> {
        var result: Set<SourceTensor> = []
        for output in outputs {
            for placement in output.placements {
                for (tensor, _) in placement.tensor.expression.quantised {
                    result.formUnion(tensor.parts.map(\.tensor))
                }
            }
        }
        return result
    }

    /// The largest amount of memory that a deferred value takes, and the tensor that needs it.
    var workspace: (bytes: Int, tensor: String) {
        var result = (bytes: 0, tensor: "")
        for output in outputs {
            let bytes = output.placements.map { $0.tensor.expression.workspace }.max() ?? 0
            if bytes > result.bytes { result = (bytes, output.name) }
        }
        return result
    }

    /// The steps that all outputs can be written in, some rows of each at a time; nil where they must be made whole.
    var commonSteps: Int? {
        guard let steps = outputs.first?.steps, outputs.allSatisfy({ $0.steps == steps && $0.matrix != nil }) else {
            return nil
        }
        return steps
    }

    /// The byte ranges of source tensors that some steps of all outputs need (all of them where `steps` is nil), merged.
    func ranges(steps: Range<Int>?) -> [(tensor: SourceTensor, range: Range<Int>)] {
        var byTensor: [SourceTensor: [Range<Int>]] = [:]
        var order: [SourceTensor] = []
        for output in outputs {
            for placement in output.placements {
                let matrix = placement.tensor
                let rows = steps.map { output.rows(steps: $0) } ?? 0..<matrix.rows
                for (tensor, cover) in matrix.expression.needed(rows: rows) {
                    guard !cover.isEmpty else { continue }
                    let size = tensor.elementSize
                    if byTensor[tensor] == nil { order.append(tensor) }
                    byTensor[tensor, default: []].append(cover.lowerBound * size..<cover.upperBound * size)
                }
            }
        }
        return order.flatMap { tensor in
            merged(byTensor[tensor] ?? []).map { (tensor, $0) }
        }
    }

    /// Groups outputs whose sources overlap.
    static func jobs(for outputs: [Output]) -> [WriteJob] {
        struct Interval {
            let range: Range<Int>
            let output: Int
        }
        var byTensor: [SourceTensor: [Interval]] = [:]
        var positions: [SourcePosition?] = Array(repeating: nil, count: outputs.count)
        for (index, output) in outputs.enumerated() {
            for placement in output.placements {
                for (tensor, cover) in placement.tensor.expression.reads {
                    byTensor[tensor, default: []].append(Interval(range: cover, output: index))
                    let position = SourcePosition(
                        file: tensor.file.path,
                        offset: tensor.info.begin + cover.lowerBound * tensor.elementSize)
                    positions[index] = min(positions[index] ?? position, position)
                }
            }
        }
        var sets = DisjointSets(count: outputs.count)
        for intervals in byTensor.values {
            let sorted = intervals.sorted { $0.range.lowerBound < $1.range.lowerBound }
            var reach = sorted.first
            for interval in sorted.dropFirst() {
                if let current = reach, interval.range.lowerBound < current.range.upperBound {
                    sets.join(current.output, interval.output)
                    if interval.range.upperBound > current.range.upperBound { reach = interval }
                } else {
                    reach = interval
                }
            }
        }
        var groups: [Int: [Int]] = [:]
        for index in outputs.indices { groups[sets.root(of: index), default: []].append(index) }
        return groups.values.map { members in
            WriteJob(outputs: members.map { outputs[$0] }, position: members.compactMap { positions[$0] }.min())
        }.sorted { a, b in
            switch (a.position, b.position) {
            case (let x?, let y?) where x != y: x < y
            case (_?, nil): true
            case (nil, _?): false
            default: (a.outputs[0].file, a.outputs[0].offset) < (b.outputs[0].file, b.outputs[0].offset)
            }
        }
    }

    private func merged(_ ranges: [Range<Int>]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, range.lowerBound <= last.upperBound {
                result[result.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }
}

/// A byte of the sources, in the order they are read.
struct SourcePosition: Comparable, Sendable {
    let file: String
    let offset: Int

    static func < (a: SourcePosition, b: SourcePosition) -> Bool { (a.file, a.offset) < (b.file, b.offset) }
}

/// Union-find with path halving.
private struct DisjointSets {
    private var parents: [Int]

    init(count: Int) { parents = Array(0..<count) }

    mutating func root(of element: Int) -> Int {
        var element = element
        while parents[element] != element {
            parents[element] = parents[parents[element]]
            element = parents[element]
        }
        return element
    }

    mutating func join(_ a: Int, _ b: Int) {
        let (x, y) = (root(of: a), root(of: b))
        if x != y { parents[max(x, y)] = min(x, y) }
    }
}
