import Checkpoints
import Numerics
import Safetensors

/// The experts that models bring: each dense network one, or its chunks, and each mixture all of its own.
struct ExpertBank {
    let models: [Checkpoint]
    /// Experts in each layer.
    let count: Int
    /// Hidden units of each.
    let width: Int
    let dtype: DType
    /// Which model each expert comes from.
    let origins: [String]

    private let options: MergeOptions
    /// For each expert, the model and its number there; nil for a dense network.
    private let places: [(model: Int, expert: Int?)]

    /// - Parameter layers: which layers of the result are mixtures.
    /// - Throws: `CheckpointError` where experts differ in width, or a mixture's dense layers are not the result's.
    init(_ models: [Checkpoint], _ options: MergeOptions, layers: [Bool]) throws {
        self.models = models
        self.options = options
        var places: [(model: Int, expert: Int?)] = []
        var widths: Set<Int> = []
        for (index, model) in models.enumerated() {
            if model.isMixture {
                guard options.arrangement == .experts else {
                    throw CheckpointError(
                        .incompatible, file: model.description.config.file,
                        message: "`layout` \(options.arrangement.text) cuts dense networks, and this is a mixture")
                }
                guard model.description.moeLayers == layers else {
                    throw CheckpointError(
                        .incompatible, file: model.description.config.file,
                        message: "other layers are mixtures here than in the result")
                }
                for expert in 0..<(try model.description.size("experts")) { places.append((index, expert)) }
                widths.insert(try model.description.size("expert_inner"))
            } else {
                places.append((index, nil))
                widths.insert(try model.description.size("inner"))
            }
        }
        guard let inner = widths.first, widths.count == 1 else {
            throw CheckpointError(
                .incompatible,
                message: "the experts differ in width (\(widths.sorted().map(String.init).joined(separator: ", "))): "
                    + "a mixture's experts have one width")
        }
        func chunks(_ count: Int) throws -> Int {
            guard count >= 1, inner % count == 0 else {
                throw CheckpointError(
                    .usage,
                    message: "`layout` \(options.arrangement.text): the width \(inner) cannot be cut into \(count) "
                        + "equal chunks")
            }
            return inner / count
        }
        switch options.arrangement {
        case .experts:
            self.places = places
            width = inner
            origins = places.map { place in
                let model = models[place.model]
                guard let expert = place.expert else { return model.name }
                // An expert keeps the name of the model that it was first made of.
                return model.expertOrigins[expert] ?? "\(model.name), expert \(expert)"
            }
        case .split(let parts):
            width = try chunks(parts)
            self.places = places.flatMap { place in (0..<parts).map { (place.model, $0) } }
            origins = self.places.map { "\(models[$0.model].name), chunk \($0.expert ?? 0)" }
        case .blend(let parts):
            width = try chunks(parts) * places.count
            self.places = (0..<parts).map { (-1, $0) }
            origins = (0..<parts).map { "chunk \($0) of every model" }
        }
        count = self.places.count
        dtype = options.dtype ?? models[0].dtype ?? .f32
    }

    /// An expert's matrix or bias.
    func tensor(_ role: Role, name: String) throws -> LazyTensor {
        guard let layer = role.layer, let expert = role.expert, expert < places.count else {
            throw CheckpointError(.internalFailure, tensor: name, message: "there is no expert for \(role)")
        }
        let place = places[expert]
        var result: LazyTensor
        switch options.arrangement {
        case .experts:
            result = try source(role.kind, layer, models[place.model], place.expert, name)
        case .split(let parts):
            result = try chunk(role.kind, layer, models[place.model], place.expert ?? 0, of: parts, name)
        case .blend(let parts):
            result = .concatenated(
                try models.map { try chunk(role.kind, layer, $0, place.expert ?? 0, of: parts, name) },
                role.kind == .expertDown ? .columns : .rows)
        }
        if role.kind == .expertDown {
            result = result.scaled(by: factor * (expert < options.expertScale.count ? options.expertScale[expert] : 1))
        }
        if expert < options.expertNoise.count, options.expertNoise[expert] > 0, role.kind != .expertGateBias,
            role.kind != .expertUpBias, role.kind != .expertDownBias
        {
            let key = KeyedRandom(seed: options.seed, tensor: "\(name) \(role)", purpose: "noise")
            let noise = TensorExpression.random(key, .normal(std: options.expertNoise[expert]), repeating: 1)
            result.expression = .combined(
                [result.expression, noise], try LinearRule([1, 1], divides: false, name: name), rows: result.rows)
        }
        if let dtype = options.dtype, result.dtype.isConvertible { result.dtype = dtype }
        return result
    }

    /// What makes the sum of chunks as large as a network's output: a chunk of a split network is 1/C of it, and C chunks
    /// blended from N networks are all of N networks, of which the gates take 1/C each.
    private var factor: Float {
        if let scale = options.scale { return scale }
        switch options.arrangement {
        case .experts: return 1
        case .split(let parts): return Float(parts)
        case .blend(let parts): return Float(parts) / Float(models.count)
        }
    }

    private func source(
        _ kind: Role.Kind, _ layer: Int, _ model: Checkpoint, _ expert: Int?, _ name: String
    ) throws -> LazyTensor {
        let role: Role
        if let expert {
            role = Role(kind, layer: layer, expert: expert)
        } else {
            let dense: Role.Kind? =
                switch kind {
                case .expertGate: .feedForwardGate
                case .expertUp: .feedForwardUp
                case .expertDown: .feedForwardDown
                case .expertGateBias: .feedForwardGateBias
                case .expertUpBias: .feedForwardUpBias
                case .expertDownBias: .feedForwardDownBias
                default: nil
                }
            role = Role(dense ?? kind, layer: layer)
        }
        guard let tensor = model.table[role] else {
            throw CheckpointError(
                .incompatible, file: model.description.config.file, tensor: name,
                message: "\(model.name) has no \(role)")
        }
        return tensor
    }

    private func chunk(
        _ kind: Role.Kind, _ layer: Int, _ model: Checkpoint, _ part: Int, of parts: Int, _ name: String
    ) throws -> LazyTensor {
        let whole = try source(kind, layer, model, nil, name)
        let size = (kind == .expertDown ? whole.columns : whole.rows) / parts
        let range = part * size..<(part + 1) * size
        return kind == .expertDown ? whole.columns(range) : whole.rows(range)
    }
}

extension MergeOptions.ExpertArrangement {
    /// As the command line has it.
    public var text: String {
        switch self {
        case .experts: "experts"
        case .split(let parts): "split:\(parts)"
        case .blend(let parts): "blend:\(parts)"
        }
    }
}

/// The rows of routers that are new.
struct RouterBuilder {
    private let options: MergeOptions
    private let target: ModelDescription
    private let experts: Int
    private let hidden: Int
    private let file: SafetensorsFile?

    init(_ options: MergeOptions, _ target: ModelDescription, experts: Int) throws {
        self.options = options
        self.target = target
        self.experts = experts
        hidden = try target.size("hidden")
        if case .file(let path) = options.router { file = try SafetensorsFile(path: path) } else { file = nil }
    }

    /// The files that are read for it.
    var files: [SafetensorsFile] { [file].compactMap { $0 } }

    /// As the record has it.
    var text: String {
        switch options.router {
        case .random(let std): "random:\(std)"
        case .uniform(let std): std.map { "uniform:\($0)" } ?? "uniform"
        case .zero: "zero"
        case .file(let path): "file:" + (path.split(separator: "/").last.map(String.init) ?? path)
        case .values: options.routerOrigin ?? "values"
        }
    }

    /// One row drawn as the routers' rows are; zero where they are not drawn.
    func row(name: String, layer: Int?, columns: Int, dtype: DType) throws -> LazyTensor {
        if let values = layer.flatMap({ options.sharedGateRows[$0] }) {
            guard values.count == columns else {
                throw CheckpointError(
                    .usage, tensor: name, message: "the gate's values should be a row of \(columns)")
            }
            return LazyTensor(rows: 1, columns: columns, dtype: dtype, expression: .values(values))
        }
        let key = KeyedRandom(seed: options.seed, tensor: name, purpose: "router")
        let expression: TensorExpression =
            switch options.router {
            case .random(let std): .random(key, .normal(std: std), repeating: 1)
            case .uniform(let std):
                .random(key, .uniform(std: std ?? 1 / Float(3 * hidden).squareRoot()), repeating: 1)
            case .zero, .file, .values: .constant(0)
            }
        return LazyTensor(rows: 1, columns: columns, dtype: dtype, expression: expression)
    }

    func tensor(_ role: Role, name: String, dtype: DType) throws -> LazyTensor {
        let key = KeyedRandom(seed: options.seed, tensor: name, purpose: "router")
        func drawn(_ distribution: TensorExpression.Distribution) -> LazyTensor {
            LazyTensor(
                rows: experts, columns: hidden, dtype: dtype, expression: .random(key, distribution, repeating: 1))
        }
        switch options.router {
        case .random(let std): return drawn(.normal(std: std))
        case .uniform(let std): return drawn(.uniform(std: std ?? 1 / Float(3 * hidden).squareRoot()))
        case .zero: return LazyTensor(rows: experts, columns: hidden, dtype: dtype, expression: .constant(0))
        case .values where role.layer.map { $0 >= target.layerCount } == true:
            // A layer behind the model's own is not run, and nothing was measured of it.
            return LazyTensor(rows: experts, columns: hidden, dtype: dtype, expression: .constant(0))
        case .values(let layers):
            guard let values = role.layer.flatMap({ layers[$0] }), values.count == experts * hidden else {
                throw CheckpointError(
                    .usage, tensor: name, message: "the router's values should be \(experts) rows of \(hidden)")
            }
            return LazyTensor(rows: experts, columns: hidden, dtype: dtype, expression: .values(values))
        case .file(let path):
            guard let file, let info = file.header.tensors.first(where: { $0.name == name }) else {
                throw CheckpointError(
                    .incompatible, file: path, tensor: name,
                    message: "the file has no such tensor: give one for each router")
            }
            guard info.shape.dimensions == [experts, hidden], info.dtype.isConvertible else {
                throw CheckpointError(
                    .incompatible, file: path, tensor: name,
                    message: "expected [\(experts), \(hidden)] of a floating-point type, found \(info.shape) of "
                        + info.dtype.rawValue)
            }
            return LazyTensor(whole: SourceTensor(file: file, info: info)).written(as: dtype)
        }
    }
}
