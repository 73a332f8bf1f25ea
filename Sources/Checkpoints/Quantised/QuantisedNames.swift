import Safetensors

/// Follows the names of modules from the sources to the output, for the lists of a quantisation's settings.
struct QuantisedNames {
    /// The modules of the output that were made of each one of the sources.
    private var targets: [String: [String]] = [:]
    /// Weights that were quantised, or are new, and are now in a floating-point dtype.
    private(set) var decoded: [String] = []

    /// The keys of lists of modules that are not quantised.
    private static let lists = [
        "modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules", "ignored_layers",
    ]

    init(_ checkpoint: Checkpoint) {
        guard let expected = try? checkpoint.expectedTensors() else { return }
        for tensor in expected where tensor.placements.count == 1 {
            guard let role = tensor.placements.first?.role, let source = checkpoint.table[role]?.expression else {
                continue
            }
            let old: String
            switch source {
            case .quantised(let weight, _): old = weight.name
            case .source(let tensor, _): old = tensor.info.name
            default: continue
            }
            let (from, to) = (Self.module(old), Self.module(tensor.name))
            add(from, to)
            if let (a, b) = Self.expertPrefix(from).flatMap({ a in Self.expertPrefix(to).map { (a, $0) } }) {
                add(a, b)
            }
        }
    }

    private mutating func add(_ old: String, _ new: String) {
        if targets[old]?.last != new { targets[old, default: []].append(new) }
    }

    /// Notes a weight that is written in a floating-point dtype and is no copy of one that the sources had so.
    mutating func noteDecoded(_ tensor: ExpectedTensor, _ table: [Role: LazyTensor]) {
        guard tensor.name.hasSuffix(".weight"), tensor.shape.count == 2, let role = tensor.placements.first?.role,
            role.kind != .embedding, role.kind != .carried, let matrix = table[role]
        else { return }
        if case .source = matrix.expression { return }
        // What the sources have under this name, not quantised, their settings speak of already.
        if matrix.expression.sources.contains(where: { $0.tensor.info.name == tensor.name }) { return }
        decoded.append(Self.module(tensor.name))
    }

    private static func module(_ name: String) -> String {
        name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : name
    }

    /// What a name begins with, up to the number of an expert.
    private static func expertPrefix(_ name: String) -> String? {
        guard let range = name.firstRange(of: ".experts.") else { return nil }
        let digits = name[range.upperBound...].prefix { $0.isNumber }
        return digits.isEmpty ? nil : String(name[..<digits.endIndex])
    }

    /// A module's names in the output; none where nothing of it is left.
    private func renamed(_ module: String) -> [String] {
        if module.hasPrefix("re:") || module.contains("*") { return [module] }
        if let names = targets[module] { return names }
        return Self.expertPrefix(module) == nil ? [module] : []
    }

    private func renamed(_ list: JSON?) -> JSON? {
        guard let names = list?.array else { return list }
        var seen: Set<String> = []
        var result: [JSON] = []
        for entry in names {
            guard let name = entry.string else {
                result.append(entry)
                continue
            }
            for new in renamed(name) where seen.insert(new).inserted { result.append(.string(new)) }
        }
        return .array(result)
    }

    /// The settings with the output's names, and with what is no longer quantised.
    func renamed(_ quantisation: Quantisation) -> Quantisation {
        var settings = quantisation.settings
        for key in Self.lists where settings[key]?.array != nil { settings[key] = renamed(settings[key]) }
        if var groups = settings["config_groups"]?.object {
            for key in groups.keys {
                guard var group = groups[key]?.object else { continue }
                group["targets"] = renamed(group["targets"])
                groups[key] = .object(group)
            }
            settings["config_groups"] = .object(groups)
        }
        if quantisation.method == .mlx {
            for key in settings.keys where settings[key]?.object != nil || settings[key]?.bool != nil {
                guard let names = targets[key], names != [key], let value = settings[key] else { continue }
                settings[key] = nil
                for name in names { settings[name] = value }
            }
        }
        add(decoded, to: &settings, quantisation.method)
        return Quantisation(
            method: quantisation.method, settings: settings, file: quantisation.file, others: quantisation.others)
    }

    private func add(_ modules: [String], to settings: inout JSONObject, _ method: Quantisation.Method) {
        guard !modules.isEmpty else { return }
        let key: String
        switch method {
        case .gptq:
            var rules = settings["dynamic"]?.object ?? JSONObject()
            for module in modules { rules["-:^" + module.replacing(".", with: "\\.") + "$"] = .object(JSONObject()) }
            settings["dynamic"] = .object(rules)
            return
        case .mlx:
            for module in modules { settings[module] = .bool(false) }
            return
        case .compressedTensors: key = "ignore"
        case .modelOpt: key = settings["exclude_modules"] != nil ? "exclude_modules" : "ignore"
        case .bitsAndBytes: key = "llm_int8_skip_modules"
        case .fp8, .mxfp4, .awq, .torchAO: key = "modules_to_not_convert"
        }
        let listed = settings[key]?.array ?? []
        let known = Set(listed.compactMap(\.string))
        settings[key] = .array(listed + modules.filter { !known.contains($0) }.map { .string($0) })
    }
}
