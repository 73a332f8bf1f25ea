import Safetensors

/// Follows the names of modules from the sources to the output, for the lists of a quantisation's settings.
struct QuantisedNames {
    /// The modules of the output that were made of each one of the sources.
    private var targets: [String: [String]] = [:]
    /// The same of experts: what their modules' names begin with.
    private var experts: [String: [String]] = [:]
    /// Weights that were quantised, or are new, and are now in a floating-point dtype.
    private(set) var decoded: [String] = []

    /// The keys of lists of modules that are not quantised.
    static let lists = [
        "modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules", "ignored_layers",
    ]

    init(_ checkpoint: Checkpoint) throws {
        for tensor in try checkpoint.expectedTensors() where tensor.placements.count == 1 {
            guard let role = tensor.placements.first?.role, let source = checkpoint.table[role]?.expression else {
                continue
            }
            let old: String
            switch source {
            case .quantised(let weight, _): old = weight.name
            case .source(let tensor, _): old = tensor.info.name
            default:
                // What is computed of a tensor of the same name, such as a router of fewer rows.
                guard source.sources.contains(where: { $0.tensor.info.name == tensor.name }) else { continue }
                old = tensor.name
            }
            let (from, to) = (Self.module(old), Self.module(tensor.name))
            if targets[from]?.last != to { targets[from, default: []].append(to) }
            if let (a, b) = Self.expertPrefix(from).flatMap({ a in Self.expertPrefix(to).map { (a, $0) } }),
                experts[a]?.last != b
            {
                experts[a, default: []].append(b)
            }
        }
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

    /// The module whose weight a tensor is.
    static func module(_ name: String) -> String {
        name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : name
    }

    /// What a name begins with, up to the number of an expert.
    private static func expertPrefix(_ name: String) -> String? {
        guard let range = name.firstRange(of: ".experts.") else { return nil }
        let digits = name[range.upperBound...].prefix { $0.isNumber }
        return digits.isEmpty ? nil : String(name[..<digits.endIndex])
    }

    /// What stands in the output's lists for an entry of the sources': the entry, where it says the same of the modules
    /// that are left, with the modules that it does not name any longer; their names alone, where it would name others too.
    private func renamed(_ entry: String) -> [String] {
        if let names = targets[entry] ?? experts[entry] { return names }
        let rule = ModuleRule(entry)
        if rule.isName, Self.expertPrefix(entry) != nil { return [] }
        let (named, lost, isTooWide) = followed(rule)
        return isTooWide ? named : [entry] + lost
    }

    /// The output's modules that were made of what a rule names, those of them that it does not name, and whether it names
    /// others.
    private func followed(_ rule: ModuleRule) -> (named: [String], lost: [String], isTooWide: Bool) {
        var result: (named: [String], lost: [String], isTooWide: Bool) = ([], [], false)
        for old in targets.keys.sorted() {
            let was = rule.names(old)
            for new in targets[old] ?? [] {
                let isNamed = new == old ? was : rule.names(new)
                if was { result.named.append(new) }
                if was, !isNamed { result.lost.append(new) }
                if !was, isNamed { result.isTooWide = true }
            }
        }
        return result
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
        if let rules = settings["dynamic"]?.object, quantisation.method == .gptq {
            settings["dynamic"] = .object(renamed(rules))
        }
        if let layers = settings["quantized_layers"]?.object {
            var renamed = JSONObject()
            for key in layers.keys { for name in targets[key] ?? [] { renamed[name] = layers[key] } }
            settings["quantized_layers"] = .object(renamed)
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

    /// GPTQModel's rules: expressions with what they set, `-:` before those of what is not quantised; the first one counts.
    private func renamed(_ rules: JSONObject) -> JSONObject {
        var result = JSONObject()
        for key in rules.keys {
            let sign = key.hasPrefix("-:") || key.hasPrefix("+:") ? String(key.prefix(2)) : ""
            let (named, lost, isTooWide) = followed(ModuleRule("re:" + key.dropFirst(sign.count)))
            if !isTooWide { result[key] = rules[key] }
            for module in isTooWide ? named : lost { result[sign + Self.expression(of: module)] = rules[key] }
        }
        return result
    }

    private static func expression(of module: String) -> String {
        "^" + module.replacing(".", with: "\\.") + "$"
    }

    private func add(_ modules: [String], to settings: inout JSONObject, _ method: Quantisation.Method) {
        guard !modules.isEmpty else { return }
        let key: String
        switch method {
        case .gptq:
            var rules = settings["dynamic"]?.object ?? JSONObject()
            for module in modules { rules["-:" + Self.expression(of: module)] = .object(JSONObject()) }
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
