public import Checkpoints
public import Evaluation
package import Safetensors
import Tokenizers

/// A model with drawn weights: the seed of an experiment.
public struct NewModel: Sendable {
    /// The model, in F32, with its tokenizer; nothing of it is written.
    public let checkpoint: Checkpoint
    /// Its configuration.
    package let configuration: JSONObject

    /// A model of any family.
    ///
    /// - Parameters:
    ///   - path: a config.json, or a folder with one; a tokenizer beside it comes along, unless bytes are to be tokens.
    ///   - seed: of all draws.
    /// - Throws: `CheckpointError` and `SafetensorsError` for a configuration or a tokenizer that cannot be used.
    public init(configuration path: String, tokenizer: TextOptions.Tokenization = .auto, seed: UInt64 = 0) throws {
        let file = path.hasSuffix(".json") ? path : try PosixFile.path(of: "config.json", inFolder: path)
        let folder = path.hasSuffix(".json") ? file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "." : path
        try self.init(
            ModelConfig(contentsOf: file),
            tokenizer == .bytes ? [] : Companion.inFolder(folder).filter(\.isTokenizer), seed)
    }

    /// A small model.
    ///
    /// - Parameters:
    ///   - experts: of each layer; nil for a dense model.
    ///   - topK: experts that a token is routed to.
    ///   - folder: with the tokenizer; nil for a token for each byte.
    ///   - length: tokens of a sequence, which it is made for.
    ///   - seed: of all draws.
    /// - Throws: `TokenizerError`, `CheckpointError` and `SafetensorsError` for a tokenizer that cannot be used.
    public init(
        _ preset: ModelPreset, experts: Int? = nil, topK: Int = 2, tokenizerFrom folder: String?, length: Int = 256,
        seed: UInt64 = 0
    ) throws {
        var vocabulary = 256
        var (beginning, end): (Int?, Int?) = (nil, nil)
        if let folder {
            let tokenizer = try Tokenizer(inFolder: folder)
            vocabulary = tokenizer.vocabularySize
            if let path = try PosixFile.pathIfPresent(of: "config.json", inFolder: folder) {
                let other = try ModelConfig(contentsOf: path)
                beginning = other.object["bos_token_id"]?.int
                end = other.object["eos_token_id"]?.int
            } else if let path = try PosixFile.pathIfPresent(of: "tokenizer_config.json", inFolder: folder) {
                let names = try JSON(parsing: PosixFile.contents(path, limit: 1 << 24), file: path).object
                func id(_ key: String) -> Int? {
                    (names?[key]?.string ?? names?[key]?.object?["content"]?.string).flatMap(tokenizer.id(of:))
                }
                (beginning, end) = (id("bos_token"), id("eos_token"))
            }
        }
        try self.init(
            preset.config(
                vocabulary: vocabulary, experts: experts, topK: topK, beginning: beginning, end: end, length: length),
            folder.map { try Companion.inFolder($0).filter(\.isTokenizer) } ?? [], seed)
    }

    private init(_ config: ModelConfig, _ companions: [Companion], _ seed: UInt64) throws {
        configuration = config.object
        checkpoint = try Checkpoint.initialized(config, dtype: .f32, companions: companions, seed: seed)
            .recording(["command": "train", "seed": .number(String(seed))])
    }
}

extension TrainingSession {
    /// Trains a new model, all of it.
    public init(_ model: NewModel, _ settings: TrainingSettings, output: String) {
        self.init(model.checkpoint, settings, output: output)
        selection = .all
        identity = ["command": "train", "config": .object(model.configuration)]
    }
}
