import Safetensors

/// What a checkpoint is written as.
struct CheckpointOutput {
    let tensors: [DiskTensor]
    /// Parameters, where these are not the tensors' elements: some are codes.
    var parameters: Int?
    let config: ModelConfig
    /// What the files' headers say besides their format.
    var metadata: [String: String] = [:]
    /// Files beside the configuration that say how weights are quantised.
    var companions: [Companion] = []
    /// What became of the sources' quantised weights, for the user; nil where there are none.
    var note: String?
}

/// Which quantised weights are written as they are stored.
package enum QuantisedWriting: Sendable {
    /// All, where each of them is a copy; else none.
    case whereAllAreCopies
    /// Those that are copies, whatever is computed beside them.
    case whereCopied
    case never
}

extension Checkpoint {
    /// The checkpoint with quantised weights that stay quantised where they are copies.
    public func keepingQuantised() -> Checkpoint {
        var result = self
        result.quantisedWriting = .whereCopied
        return result
    }

    /// The checkpoint with every quantised weight decoded, in BF16.
    ///
    /// - Throws: `CheckpointError` of `.usage` where none is quantised.
    public func dequantised() throws -> Checkpoint {
        guard isQuantised else {
            throw CheckpointError(
                .usage, file: description.config.file,
                message: "none of the weights is quantised: there is nothing to decode")
        }
        var result = self
        result.quantisedWriting = .never
        return result.recording(["command": "convert", "dequantise": true])
    }

    /// What becomes of quantised weights when it is written; nil where there are none.
    public var quantisedNote: String? {
        get throws { try output().note }
    }

    /// What is written where nothing is quantised anew: quantised weights as they are stored where they are copied, else
    /// decoded.
    func copiedOutput() throws -> CheckpointOutput {
        let expected = try neededTensors()
        let isHeld = expected.contains(where: holdsQuantised)
        guard isHeld, quantisedWriting != .never, let quantisation = description.config.surroundings.quantisation else {
            return try decodedOutput(expected, isHeld ? decodedNote(nil) : nil)
        }
        let units = quantisation.method == .mlx ? restacked(expected) : expected.map { [$0] }
        var copies = try units.map { unit in
            try QuantisedCopy(quantisation.method == .mlx ? stack(unit) : unit[0], table, scheme: quantisation.scheme)
        }
        if quantisation.method == .torchAO {
            // What a header says of a weight it says of all of it.
            for (index, copy) in copies.enumerated() where copy?.source.shape != units[index][0].shape {
                copies[index] = nil
            }
        }
        for copy in copies { try (copy?.source.codec as? GroupCodec)?.checkIndex() }
        let uneven = withdrawUneven(units, quantisation, &copies)
        let computed = uneven ?? firstComputed(units, copies)
        guard copies.contains(where: { $0 != nil }), computed == nil || quantisedWriting == .whereCopied else {
            return try decodedOutput(expected, decodedNote(computed))
        }
        var tensors: [DiskTensor] = []
        var names = try QuantisedNames(self)
        for (unit, copy) in zip(units, copies) {
            if let copy {
                tensors += copy.tensors
            } else {
                tensors += try unit.map(diskTensor)
                for tensor in unit { names.noteDecoded(tensor, table) }
            }
        }
        let taken = Set(tensors.map(\.name))
        for part in quantisation.others where !taken.contains(part.info.name) {
            let view = MatrixView.contiguous(rows: 1, columns: part.info.shape.elementCount)
            tensors.append(
                DiskTensor(
                    name: part.info.name, dtype: part.info.dtype, shape: part.info.shape,
                    placements: [(LazyTensor(part, view: view), view)]))
        }
        let settings = names.renamed(quantisation)
        let kept = copies.count { $0 != nil }
        let decoded = zip(units, copies).reduce(0) { $1.1 == nil ? $0 + $1.0.count(where: holdsQuantised) : $0 }
        let note =
            "\(kept) \(kept == 1 ? "weight stays" : "weights stay") quantised, copied byte for byte"
            + (decoded == 0 ? "" : "; \(decoded) that are computed are BF16")
        // What stays quantised is computed with in the dtype that the configuration states.
        let config = try description.config.quantised(settings).forAllReaders(description.architecture, dtype: nil)
        return CheckpointOutput(
            tensors: tensors, parameters: parameterCount, config: config,
            metadata: quantisation.method == .torchAO ? torchAOMetadata(units, copies) : [:],
            companions: try settings.companions, note: note)
    }

    /// torchao keeps the types of weights in the headers, all of them in each file's.
    private func torchAOMetadata(_ units: [[ExpectedTensor]], _ copies: [QuantisedCopy?]) -> [String: String] {
        var stated: [String: String] = [:]
        for file in sources { stated.merge(file.header.metadata.map { ($0.key, $0.value) }) { $1 } }
        var result: [String: String] = [:]
        for (unit, copy) in zip(units, copies) {
            for tensor in unit {
                result[tensor.name] = copy.flatMap { stated[$0.source.name] } ?? #"{"_type": "Tensor"}"#
            }
        }
        return result
    }

    private func holdsQuantised(_ tensor: ExpectedTensor) -> Bool {
        tensor.placements.contains { table[$0.role].map { !$0.expression.quantised.isEmpty } ?? false }
    }

    private func decodedOutput(_ expected: [ExpectedTensor], _ note: String?) throws -> CheckpointOutput {
        let config = description.config.withoutQuantisation
        return CheckpointOutput(
            tensors: try expected.map(diskTensor),
            config: try config.forAllReaders(description.architecture, dtype: dtype), note: note)
    }

    /// "28 weights that were FP8 E4M3 in blocks of 128 x 128 are decoded".
    private func decodedNote(_ computed: String?) -> String {
        var found: [ObjectIdentifier: QuantisedTensor] = [:]
        for tensor in table.values {
            for (weight, _) in tensor.expression.quantised { found[ObjectIdentifier(weight)] = weight }
        }
        let formats = Set(found.values.map(\.format)).sorted()
        let dtypes = Set(table.values.filter { !$0.expression.quantised.isEmpty }.map(\.dtype.rawValue)).sorted()
        return "\(found.count) weights that were quantised (\(formats.prefix(3).joined(separator: "; "))"
            + "\(formats.count > 3 ? "; …" : "")) are written as \(dtypes.joined(separator: " and "))"
            + (computed.map { ": \(escaped($0)) is not a copy" } ?? "")
    }

    private func firstComputed(_ units: [[ExpectedTensor]], _ copies: [QuantisedCopy?]) -> String? {
        for (unit, copy) in zip(units, copies) where copy == nil {
            if let tensor = unit.first(where: holdsQuantised) { return tensor.name }
        }
        return nil
    }

    /// Experts of a layer are stored alike, or no reader takes them: where some cannot be copied, none are. The name of one
    /// that would have been otherwise. What the source itself leaves out is where it was.
    private func withdrawUneven(
        _ units: [[ExpectedTensor]], _ quantisation: Quantisation, _ copies: inout [QuantisedCopy?]
    ) -> String? {
        var members: [Role: [Int]] = [:]
        for (index, unit) in units.enumerated() {
            guard let role = unit.first?.placements.first?.role, role.expert != nil else { continue }
            members[Role(role.kind, layer: role.layer), default: []].append(index)
        }
        var result: String?
        for indices in members.values {
            guard indices.contains(where: { copies[$0] != nil }),
                let odd = indices.first(where: { copies[$0] == nil && !isLeftOut(units[$0], quantisation) })
            else { continue }
            result = units[odd].first?.name
            for index in indices { copies[index] = nil }
        }
        return result
    }

    private func isLeftOut(_ unit: [ExpectedTensor], _ quantisation: Quantisation) -> Bool {
        unit.allSatisfy { tensor in
            tensor.placements.allSatisfy { role, _ in
                guard case .source(let source, _)? = table[role]?.expression else { return false }
                return quantisation.leavesOut(QuantisedNames.module(source.info.name))
            }
        }
    }

    /// mlx-lm reads the experts of a layer as one stack.
    private func restacked(_ expected: [ExpectedTensor]) -> [[ExpectedTensor]] {
        var units: [[ExpectedTensor]] = []
        var places: [Role: Int] = [:]
        for tensor in expected {
            guard tensor.placements.count == 1, let role = tensor.placements.first?.role, role.expert != nil,
                tensor.shape.count == 2, case .quantised(let weight, _)? = table[role]?.expression,
                weight.shape.count == 3
            else {
                units.append([tensor])
                continue
            }
            let key = Role(role.kind, layer: role.layer)
            if let place = places[key] {
                units[place].append(tensor)
            } else {
                places[key] = units.count
                units.append([tensor])
            }
        }
        return units
    }

    /// The stack of some experts, under the name that the first one's has.
    private func stack(_ unit: [ExpectedTensor]) -> ExpectedTensor {
        guard let first = unit.first, let role = first.placements.first?.role, role.expert != nil,
            first.shape.count == 2,
            case .quantised(let weight, _)? = table[role]?.expression, weight.shape.count == 3
        else { return unit[0] }
        let size = first.shape.reduce(1, *)
        return ExpectedTensor(
            name: weight.name, shape: [unit.count] + first.shape,
            placements: unit.enumerated().flatMap { index, tensor in
                tensor.placements.map { role, view in
                    (
                        role,
                        MatrixView(
                            offset: view.offset + index * size, rows: view.rows, columns: view.columns,
                            rowStride: view.rowStride, columnStride: view.columnStride)
                    )
                }
            }, isOptional: false, keepsF32: false)
    }
}
