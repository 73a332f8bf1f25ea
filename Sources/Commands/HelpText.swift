/// Cuts the help of a command with many options into sections, the ten usual options first.
///
/// The parser prints options in the order in which groups declare them, whatever they are for.
struct HelpText {
    /// Commands whose help is cut, and their usual options in the order of use.
    private static let usual: [String: [String]] = [
        "upcycle": [
            "output", "experts", "top-k", "init", "granularity", "target", "router", "dtype", "dry-run", "force",
        ],
        "merge": [
            "output", "base", "average", "weights", "density", "router", "into", "dense", "dry-run", "force",
        ],
        "densify": [
            "output", "method", "data", "stats", "align", "distill", "heldout", "target", "dry-run", "force",
        ],
        "prune": [
            "output", "experts", "ratio", "criterion", "data", "stats", "merge", "top-k", "dry-run", "force",
        ],
        "convert": [
            "output", "dtype", "layout", "pack", "unpack", "max-shard-size", "verify", "dry-run", "force", "resume",
        ],
        "finetune": [
            "output", "data", "heldout", "train", "steps", "lr", "batch-tokens", "length", "balance", "resume",
        ],
        "train": [
            "output", "preset", "tokenizer-from", "experts", "data", "heldout", "steps", "lr", "batch-tokens", "resume",
        ],
        "distill": [
            "output", "teacher", "student", "data", "heldout", "steps", "lr", "alpha", "temperature", "resume",
        ],
        "evaluate": [
            "data", "tasks", "length", "tokens", "top-k", "gating", "stats", "report", "memory", "json",
        ],
        "compare": ["data", "tokens", "length", "exact", "tolerance", "all", "report", "memory", "threads", "json"],
        "plan cost": [
            "parameters", "experts", "hardware", "devices", "prompt-tokens", "output-tokens", "price", "latencies",
            "report", "json",
        ],
        "plan optimal": [
            "flops", "experts", "law", "memory", "context", "inference-tokens", "top-k", "granularity", "report",
            "json",
        ],
        "plan overtrain": [
            "flops", "base", "experts", "law", "hardware", "devices", "prompt-tokens", "output-tokens", "report",
            "json",
        ],
        "plan upcycle": [
            "experts", "top-k", "tokens", "sunk-tokens", "granularity", "target", "context", "law", "report", "json",
        ],
    ]

    /// Where the others go, in the order of the sections.
    private static let sections: [(title: String, options: Set<String>)] = [
        (
            "TRAINING",
            [
                "steps", "epochs", "minutes", "lr", "min-lr", "warmup", "schedule", "beta1", "beta2", "eps",
                "weight-decay", "clip", "batch-tokens", "part-tokens", "length", "patience", "eval-every",
                "heldout-tokens", "save-every", "tensorboard", "checkpoint-activations", "train", "tokens", "lr-sweep",
                "holdout",
            ]
        ),
        (
            "ROUTERS",
            [
                "balance", "z-loss", "jitter", "router-noise", "noisy-top-k", "sample-top1", "gumbel-rate",
                "normalize-logits", "router-init", "local", "router", "router-std", "router-tokens", "norm-topk",
                "gating", "top-k",
            ]
        ),
        (
            "MERGING",
            [
                "include-base", "lambda", "t", "normalize", "rescale", "gamma", "epsilon", "select-topk", "vocab",
                "require-tokenizer", "scale", "layers", "target", "density", "average",
            ]
        ),
        (
            "LAW AND SHAPE",
            [
                "law", "constants", "log-base", "plain-experts", "moe-every", "vocabulary", "aspect", "sunk-tokens",
                "bytes-per-parameter", "context", "granularity",
            ]
        ),
        ("TEXT", ["data", "heldout", "batches", "weights", "text-field", "skip-bad", "tokenizer", "tasks"]),
        (
            "WRITING",
            [
                "dtype", "max-shard-size", "layout", "dry-run", "force", "resume", "verify", "verify-data", "pack",
                "allow-overflow", "allow-nonfinite", "output", "zstd", "unpack", "stats",
            ]
        ),
        (
            "MEMORY AND REPORTING",
            ["memory", "threads", "seed", "report", "metrics", "json", "quiet", "version", "help"]
        ),
    ]

    private struct Section {
        let title: String
        var entries: [(names: [String], lines: [String])] = []
    }

    /// The help with its sections; as it is for other commands.
    static func arranged(_ text: String) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let prefix = "USAGE: moe-tool "
        guard let usage = lines.first(where: { $0.hasPrefix(prefix) }),
            let command = usual.keys.sorted(by: { $0.count > $1.count }).first(where: {
                usage.dropFirst(prefix.count).hasPrefix($0 + " ")
            }), let names = usual[command]
        else { return text }
        let start = lines.firstIndex { isTitle($0) && !$0.hasPrefix("ARGUMENTS") } ?? lines.count
        let head = lines[..<start]
        var found = sections(of: lines[start...])
        var first = Section(title: "OPTIONS")
        for name in names {
            for index in found.indices {
                if let place = found[index].entries.firstIndex(where: { $0.names.contains(name) }) {
                    first.entries.append(found[index].entries.remove(at: place))
                    break
                }
            }
        }
        // What has no title of its own is sorted by what it is for.
        var result = [first]
        var sorted = Self.sections.map { Section(title: $0.title) }
        var rest = Section(title: "OTHER OPTIONS")
        for section in found where section.title == "OPTIONS" {
            for entry in section.entries {
                if let place = Self.sections.firstIndex(where: { !$0.options.isDisjoint(with: entry.names) }) {
                    sorted[place].entries.append(entry)
                } else {
                    rest.entries.append(entry)
                }
            }
        }
        for section in found where section.title != "OPTIONS" {
            if let place = sorted.firstIndex(where: { $0.title == section.title }) {
                sorted[place].entries = section.entries + sorted[place].entries
            } else {
                result.append(section)
            }
        }
        result += [rest] + sorted
        return head.joined(separator: "\n") + "\n"
            + result.filter { !$0.entries.isEmpty }.map { section in
                section.title + ":\n" + section.entries.flatMap(\.lines).joined(separator: "\n")
            }.joined(separator: "\n\n") + "\n"
    }

    private static func isTitle(_ line: String) -> Bool {
        line.hasSuffix(":") && !line.hasPrefix(" ") && line.dropLast().allSatisfy { $0.isUppercase || $0 == " " }
    }

    private static func sections(of lines: ArraySlice<String>) -> [Section] {
        var result: [Section] = []
        for line in lines {
            if isTitle(line) {
                result.append(Section(title: String(line.dropLast())))
            } else if line.hasPrefix("  -"), !result.isEmpty {
                let names = line.split(separator: " ").prefix { $0.hasPrefix("-") }.map { word in
                    String(word.drop { $0 == "-" }.prefix { $0 != "," && $0 != "/" })
                }
                result[result.count - 1].entries.append((names, [line]))
            } else if !line.isEmpty, let last = result.indices.last, let entry = result[last].entries.indices.last {
                result[last].entries[entry].lines.append(line)
            }
        }
        return result
    }
}
