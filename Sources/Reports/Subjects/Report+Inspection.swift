package import Checkpoints
import Safetensors

/// What checkpoints are made of: embedding, attention, experts and so on.
struct CheckpointParts {
    private static let names = [
        "embedding", "attention", "feed-forward", "experts", "shared experts", "routers", "norms", "head",
    ]
    private static let outside = "outside layers"

    /// Parameters and bytes, by part and by layer; nil is outside layers.
    private var sizes: [Int?: [String: (parameters: Int, bytes: Int)]] = [:]

    init(_ checkpoint: Checkpoint) {
        for (role, tensor) in checkpoint.table {
            let part = Self.part(of: role)
            let count = tensor.rows * tensor.columns
            var entry = sizes[role.layer]?[part] ?? (0, 0)
            entry.parameters += count
            entry.bytes += count * tensor.dtype.bits / 8
            sizes[role.layer, default: [:]][part] = entry
        }
    }

    private static func part(of role: Role) -> String {
        switch role.kind.rawValue.split(separator: ".").first ?? "" {
        case "attention": "attention"
        case "feedForward": "feed-forward"
        case "expert": "experts"
        case "sharedExpert": "shared experts"
        case "router": "routers"
        case "norm": "norms"
        case "head": "head"
        default: "embedding"
        }
    }

    /// The parts that there are, in the order in which a model uses them.
    var parts: [String] { Self.names.filter { name in sizes.values.contains { $0[name] != nil } } }

    func parameters(_ part: String) -> Int { sizes.values.reduce(0) { $0 + ($1[part]?.parameters ?? 0) } }
    func bytes(_ part: String) -> Int { sizes.values.reduce(0) { $0 + ($1[part]?.bytes ?? 0) } }

    /// A bar for each layer, and one for what is outside of them.
    var byLayer: Figure {
        let layers = sizes.keys.compactMap { $0 }.sorted()
        let names = [Self.outside] + layers.map(String.init)
        let keys: [Int?] = [nil] + layers.map { $0 }
        let stacks = parts.map { part in
            BarChart.Series(part, keys.map { Double(sizes[$0]?[part]?.bytes ?? 0) })
        }
        return Figure(
            "Size by layer", .stacks(StackedBars(Axis("size", format: .bytes), categoryTitle: "layer", names, stacks)))
    }

    /// Parameters of the parts in several checkpoints.
    static func comparison(_ checkpoints: [(name: String, parts: CheckpointParts)]) -> Figure {
        let all = names.filter { name in checkpoints.contains { $0.parts.parts.contains(name) } }
        return Figure(
            "Parameters by part",
            .stacks(
                StackedBars(
                    Axis("parameters", format: .count), categoryTitle: "", checkpoints.map(\.name),
                    all.map { part in
                        BarChart.Series(part, checkpoints.map { Double($0.parts.parameters(part)) })
                    })))
    }
}

extension Report {
    /// The size and dtype make-up of a checkpoint.
    ///
    /// - Parameter tensors: whether the document lists every tensor.
    /// - Throws: `SafetensorsError` where a file cannot be read.
    package init(_ inspection: Inspection, at path: String, tensors: Bool = false) throws {
        let name = shortNames([path == "." ? (try? resolvedPath(path)) ?? path : path])[0]
        var report = Report("Inspection of \(name)")
        if let model = inspection.model {
            report.facts = [
                ("family", "\(model.family) (\(model.architecture))"), ("layers", model.layersText),
                ("hidden size", "\(model.hidden)"), ("vocabulary", "\(model.vocabulary)"),
            ]
            if let experts = model.experts {
                report.facts.append(("experts", "\(experts.count) per layer, top-\(experts.topK)"))
            }
        }
        report.facts.append(("tensors", "\(inspection.tensorCount), \(byteText(inspection.byteCount))"))
        report.facts += inspection.problems.map { ("problem", $0) } + inspection.warnings.map { ("warning", $0) }
        let bytes = Axis("size", format: .bytes)
        report.figures.append(
            Figure(
                "Size by dtype",
                .stacks(
                    StackedBars(
                        bytes, categoryTitle: "", ["all tensors"],
                        inspection.dtypes.map {
                            .init("\($0.dtype.rawValue), \($0.tensors) tensors", [Double($0.bytes)])
                        }))))
        if let checkpoint = try Checkpoint(ifModelAt: path) {
            let parts = CheckpointParts(checkpoint)
            report.figures.append(
                Figure(
                    "Size by part",
                    .bars(
                        BarChart(
                            bytes, categoryTitle: "part", parts.parts,
                            [.init("size", parts.parts.map { Double(parts.bytes($0)) })]))))
            report.figures.append(parts.byLayer)
        }
        if let parameters = inspection.parameters, parameters.active != parameters.total {
            report.figures.append(
                Figure(
                    "Parameters in all and active",
                    .bars(
                        BarChart(
                            Axis("parameters", format: .count), categoryTitle: "",
                            ["in all", "active per token"],
                            [.init("parameters", [Double(parameters.total), Double(parameters.active)])]))))
        }
        report.result = .object(inspection.json(tensors: tensors))
        self = report
    }
}
