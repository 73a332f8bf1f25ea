import ArgumentParser
import Safetensors

/// The library's names of options in the spelling of the command line: it writes `topK`, and the user gives --top-k.
enum OptionSpelling {
    /// Options that the two call by different words.
    private static let others = [
        "overwrite": "force", "learningRate": "lr", "minimumRate": "min-lr", "heldOut": "heldout",
        "holdOut": "holdout", "statistics": "stats", "mixtureEvery": "moe-every", "normalisesTopK": "norm-topk",
        "sweepsRates": "lr-sweep", "learnsRouterNoise": "noisy-top-k", "learnedShares": "learn-mixture",
        "localTraining": "local", "preTokenizer": "gguf-pre",
        // What is said when there is no memory left takes none for the list of options.
        "memory": "memory", "threads": "threads",
    ]

    /// All long options of all commands.
    private static let known: Set<String> = {
        var names: Set<String> = []
        func add(_ command: JSONObject) {
            for argument in (command["arguments"]?.array ?? []).compactMap(\.object) {
                for name in (argument["names"]?.array ?? []).compactMap(\.object) where name["kind"]?.string == "long" {
                    if let text = name["name"]?.string { names.insert(text) }
                }
            }
            for subcommand in (command["subcommands"]?.array ?? []).compactMap(\.object) { add(subcommand) }
        }
        let description = MoETool._dumpHelp()
        if let root = try? JSON(parsing: Array(description.utf8), file: "the description of the commands").object {
            add(root["command"]?.object ?? [:])
        }
        return names
    }()

    /// The text with flags in place of names in backticks; what names no option stays.
    static func flags(in text: String) -> String {
        guard text.contains("`") else { return text }
        var result = ""
        var parts = text.split(separator: "`", omittingEmptySubsequences: false)[...]
        while let part = parts.popFirst() {
            result += part
            guard let name = parts.first else { break }
            if parts.count > 1, let flag = flag(String(name)) {
                result += "--" + flag
                parts.removeFirst()
            } else {
                result += "`"
            }
        }
        return result
    }

    private static func flag(_ name: String) -> String? {
        guard !name.isEmpty,
            name.utf8.allSatisfy({
                ($0 | 0x20) >= UInt8(ascii: "a") && ($0 | 0x20) <= UInt8(ascii: "z")
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
            })
        else { return nil }
        if let other = others[name] { return other }
        var text = ""
        for scalar in name.unicodeScalars {
            if scalar.properties.isUppercase {
                text += "-" + scalar.properties.lowercaseMapping
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return known.contains(text) ? text : nil
    }
}
