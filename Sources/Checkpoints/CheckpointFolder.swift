import Safetensors

/// What a checkpoint's folder holds, as this program and transformers write it: by that it is told from a folder with
/// somebody's work in it.
enum CheckpointFolder {
    private static let names: Set<String> = [
        "config.json", "generation_config.json", Provenance.fileName, ShardIndex.fileName,
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tokenizer.model.v3", "tekken.json",
        "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model",
        "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json", "preprocessor_config.json",
        "processor_config.json", "video_preprocessor_config.json", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md",
        "LICENCE", "NOTICE", "NOTICE.txt", "NOTICE.md", "USE_POLICY.md",
    ]

    /// Whether a name is one that files of a checkpoint have.
    static func isMember(_ name: String) -> Bool { names.contains(name) || isWeights(name) }

    /// `model.safetensors`, `model-00001-of-00002.safetensors`, and the same packed or under zstd.
    static func isWeights(_ name: String) -> Bool {
        let suffixes = [".safetensors", ".mtz", ".safetensors.zst"]
        guard let suffix = suffixes.first(where: name.hasSuffix) else { return false }
        let stem = name.dropLast(suffix.count)
        if stem == "model" { return true }
        let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "model" && parts[2] == "of"
            && [parts[1], parts[3]].allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }

    /// Whether there is a configuration of a model in a folder.
    ///
    /// - Throws: `SafetensorsError` of `io` where it cannot be read.
    static func hasConfiguration(_ folder: String) throws -> Bool {
        guard try fileExists(folder + "/config.json") else { return false }
        let object: JSONObject?
        do {
            object = try InputLog.pausing { try ModelConfig(contentsOf: folder + "/config.json").object }
        } catch  where isFailureOfSystem(error) { throw error } catch { object = nil }
        return object?["model_type"]?.string != nil || object?["architectures"]?.array != nil
    }

    /// What keeps a folder from being a checkpoint and nothing else, as the end of a sentence; nil where nothing does.
    static func objection(_ folder: String) throws -> String? {
        let names = try PosixFile.listDirectory(folder)
        guard !names.isEmpty else { return nil }
        // Files of other names that were carried over are in the record of how it was made.
        let recorded = Set(try Provenance.carriedFiles(in: folder).filter(Companion.isName))
        for name in names {
            let isKnown = isMember(name) || recorded.contains(name)
            switch try PosixFile.entry(folder + "/" + name) {
            case .file, .link, nil: if isKnown { continue }
            case .folder where name == Companion.templateFolder:
                let templates = try PosixFile.listDirectory(folder + "/" + name)
                if let other = templates.first(where: { !$0.hasSuffix(".jinja") }) {
                    return "\(escaped(name + "/" + other)) is there, which is no file of a checkpoint"
                }
                continue
            case .folder, .other: break
            }
            return "\(escaped(name)) is there, which is no file of a checkpoint"
        }
        guard try hasConfiguration(folder) else { return "there is no config.json of a model" }
        return names.contains(where: isWeights) ? nil : "there are no weights"
    }
}
