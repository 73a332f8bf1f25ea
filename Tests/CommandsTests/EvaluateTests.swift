import Foundation
import Safetensors
import TestSupport
import Testing

/// `evaluate` over the command line.
@Suite struct EvaluateTests {
    private let folder: TemporaryFolder
    /// Forty-eight ids below 96, two windows of 24.
    private let ids: String

    init() throws {
        folder = try TemporaryFolder()
        ids = try folder.write("ids.bin", (0..<48).flatMap { [UInt8($0 * 37 % 96), 0] })
    }

    private func data(_ names: String...) -> [String] { names.flatMap { ["--data", "\($0)=\(ids):uint16"] } }

    private func evaluate(_ arguments: [String]) throws -> Tool.Result {
        try Tool.run(list: ["evaluate"] + arguments + ["--length", "24"])
    }

    private func document(_ result: Tool.Result) throws -> [JSONObject] {
        #expect(result.code == 0, "\(result.errors)")
        let document = try JSON(parsing: Array(result.output.utf8), file: "stdout").object
        #expect(document?.keys == ["models"])
        return document?["models"]?.array?.compactMap(\.object) ?? []
    }

    @Test func documentHasWhatIsPromised() throws {
        let mixtral = Fixtures.model("mixtral")
        let models = try document(try evaluate([Fixtures.model("mistral"), mixtral, "--json"] + data("a", "b")))
        #expect(models.map { $0["model"]?.string } == [Fixtures.model("mistral"), mixtral])
        for model in models {
            let domains = try #require(model["domains"]?.object)
            #expect(domains.keys == ["a", "b"])
            for scores in [domains["a"]?.object, model["mean"]?.object] {
                #expect(scores?.keys == ["loss", "perplexity", "bits_per_byte", "tokens", "tokens_per_second"])
                let loss = try #require(scores?["loss"]?.double)
                #expect(abs(exp(loss) / (scores?["perplexity"]?.double ?? 0) - 1) < 1e-9)
                #expect(scores?["bits_per_byte"] == .null)
            }
            #expect(domains["a"]?.object?["tokens"]?.int == 46)
            #expect(model["mean"]?.object?["tokens"]?.int == 92)
        }
        #expect(models[0]["routing"] == nil)
        let layers = try #require(models[1]["routing"]?.object?["layers"]?.array)
        #expect(layers.count == 2)
        for layer in layers.compactMap(\.object) {
            #expect(abs((layer["share"]?.array ?? []).reduce(0) { $0 + ($1.double ?? 0) } - 2) < 1e-9, "top-2")
            #expect(layer["domain_specialisation"]?.object?.keys == ["a", "b"])
            #expect(layer["coactivation"]?.array?.count == 4)
        }
    }

    @Test func tableMarksTheBestOfEachColumn() throws {
        let result = try evaluate([Fixtures.model("llama"), Fixtures.model("mistral"), "-q"] + data("law", "code"))
        #expect(result.code == 0 && result.errors.isEmpty, "\(result.errors)")
        let lines = result.output.split(separator: "\n")
        #expect(lines[0].contains("law") && lines[0].contains("code") && lines[0].contains("mean"))
        // Loss and perplexity of two domains and the mean, on the same text: the same model is best everywhere.
        #expect(result.output.count { $0 == "*" } == 7)
    }

    @Test func researchLooksSayThatTheyAre() throws {
        let mixtral = Fixtures.model("mixtral")
        for gating in ["dense", "expert-choice", "hash", "noisy-top-k:0.5", "smear", "lory:8"] {
            let result = try evaluate([mixtral, "--gating", gating] + data("a"))
            #expect(result.code == 0, "\(result.errors)")
            #expect(result.output.hasPrefix("A look for research"))
        }
        let domains = data("a", "b", "c", "d")
        #expect(try evaluate([mixtral, "--gating", "domain"] + domains).code == 4, "experts without names")
        #expect(try evaluate([mixtral, "--gating", "domain", "--domains-in-order"] + domains).code == 0)
        #expect(try evaluate([mixtral, "--gating", "domain:posterior"] + domains).code == 0)
        #expect(try evaluate([Fixtures.model("llama"), "--gating", "dense"] + data("a")).code == 4, "dense")
        #expect(try evaluate([mixtral, "--gating", "dence"] + data("a")).code == 2)
        #expect(try evaluate([mixtral, "--top-k", "5"] + data("a")).code == 2)
        #expect(try evaluate([mixtral, "--top-k", "4"] + data("a")).code == 0)
    }

    @Test func ensembleIsBetweenItsMembersOrBetter() throws {
        let models = [Fixtures.model("llama"), Fixtures.model("mistral")]
        let rows = try document(try evaluate(models + ["--ensemble", "--json"] + data("a")))
        #expect(rows.map { $0["model"]?.string }.suffix(2) == ["ensemble (uniform)", "ensemble (posterior)"])
        #expect(rows[2]["members"]?.array?.compactMap(\.string) == models)
        let losses = rows.compactMap { $0["mean"]?.object?["loss"]?.double }
        #expect(
            losses[2] <= (losses[0] + losses[1]) / 2 + 1e-9, "the logarithm of a mean is above the mean of logarithms")
        #expect(try evaluate([models[0], Fixtures.model("mixtral"), "--ensemble"] + data("a")).code == 4)
        #expect(try evaluate([models[0], "--ensemble"] + data("a")).code == 2)
    }

    @Test func statisticsAreWrittenAndFisherWithThem() throws {
        let path = folder.path + "/stats.safetensors"
        let result = try evaluate([Fixtures.model("mixtral"), "--stats", path, "--fisher"] + data("a", "b"))
        #expect(result.code == 0, "\(result.errors)")
        let file = try SafetensorsFile(path: path)
        #expect(file.info("layers.1.reap")?.shape.dimensions == [4])
        #expect(file.info("model.layers.1.block_sparse_moe.experts.3.w2.weight")?.shape.dimensions == [32, 48])
        #expect(try evaluate([Fixtures.model("llama"), "--stats", path + "2"] + data("a")).code == 4)
        #expect(try evaluate([Fixtures.model("mixtral"), "--fisher"] + data("a")).code == 2)
        #expect(
            try evaluate([Fixtures.model("mixtral"), "--stats", path + "2", "--gating", "smear"] + data("a")).code == 4)
    }

    @Test func aTokenBeyondTheVocabularyIsRefused() throws {
        let path = try folder.write("large.bin", (0..<48).flatMap { [UInt8($0 == 40 ? 96 : 1), UInt8(0)] })
        let result = try evaluate([Fixtures.model("llama"), "--data", "a=\(path):uint16"])
        #expect(result.code == 4)
        #expect(result.errors.contains("96"))
    }

    @Test func textThatIsTooShortIsRefused() throws {
        let path = try folder.write("short.bin", [1, 0, 2, 0])
        let result = try evaluate([Fixtures.model("llama"), "--data", "a=\(path):uint16"])
        #expect(result.code == 4)
        #expect(result.errors.contains("2 tokens"))
        #expect(try evaluate([Fixtures.model("llama"), "--data", "a=\(folder.path)/none.bin:uint16"]).code == 5)
        let text = try folder.write("text.txt", Array("words".utf8))
        #expect(try evaluate([Fixtures.model("llama"), "--data", text]).code == 4, "no tokenizer")
    }

    /// What no configuration should say, or what contradicts the tensors: a message, never a trap.
    @Test(
        "A hostile config.json exits 3 or 4",
        arguments: [
            ("llama", "num_attention_heads", "0"), ("llama", "num_attention_heads", "-4"),
            ("llama", "num_attention_heads", "1099511627776"), ("llama", "num_key_value_heads", "0"),
            ("llama", "num_key_value_heads", "3"), ("llama", "head_dim", "1099511627776"), ("llama", "head_dim", "0"),
            ("llama", "head_dim", "7"), ("llama", "head_dim", "9223372036854775807"), ("llama", "head_dim", "1e30"),
            ("llama", "vocab_size", "0"), ("llama", "vocab_size", "7"), ("llama", "vocab_size", "1099511627776"),
            ("llama", "num_hidden_layers", "0"), ("llama", "num_hidden_layers", "50"),
            ("llama", "num_hidden_layers", "1099511627776"), ("llama", "hidden_size", "0"),
            ("llama", "hidden_size", "1099511627776"), ("llama", "hidden_size", "\"32\""),
            ("llama", "intermediate_size", "0"), ("llama", "rms_norm_eps", "-1"),
            ("llama", "hidden_act", "\"frobnicate\""), ("llama", "rope_parameters", Self.rope("linear", factor: 0)),
            ("llama", "rope_parameters", Self.rope("linear", factor: -2)),
            ("llama", "rope_parameters", Self.rope("dynamic", factor: 0)),
            ("llama", "rope_parameters", Self.rope("yarn", factor: 0)),
            ("llama", "rope_parameters", Self.rope("llama3", factor: 0)),
            ("llama", "rope_parameters", Self.rope("spiral", theta: 10000.0)),
            ("llama", "rope_parameters", Self.rope("default", theta: 0)),
            ("llama", "rope_parameters", Self.rope("default", theta: -1)),
            ("llama3-rope", "rope_parameters", Self.llama3(low: 1, high: 1, positions: 32)),
            ("llama3-rope", "rope_parameters", Self.llama3(low: 0, high: 4, positions: 0)),
            ("mistral", "sliding_window", "0"), ("mistral", "sliding_window", "-1"),
            ("gemma2", "query_pre_attn_scalar", "0"), ("gemma2", "attn_logit_softcapping", "0"),
            ("gemma2", "layer_types", "[\"full_attention\"]"), ("gemma2", "layer_types", "[\"a\", \"b\", \"c\"]"),
            ("granite", "logits_scaling", "0"), ("mixtral", "num_local_experts", "0"),
            ("mixtral", "num_local_experts", "1099511627776"), ("mixtral", "num_local_experts", "5"),
            ("mixtral", "num_experts_per_tok", "0"), ("mixtral", "num_experts_per_tok", "9"),
            ("qwen2-moe", "moe_intermediate_size", "0"), ("qwen2-moe", "decoder_sparse_step", "0"),
            ("qwen2-moe", "mlp_only_layers", "[7]"), ("deepseek-v3", "kv_lora_rank", "0"),
            ("deepseek-v3", "n_group", "3"), ("deepseek-v3", "topk_group", "9"), ("deepseek-v3", "n_group", "0"),
            ("deepseek-v3", "first_k_dense_replace", "-1"), ("deepseek-v3", "qk_rope_head_dim", "7"),
            ("phimoe", "num_experts_per_tok", "3"), ("gpt-oss", "swiglu_limit", "0"),
        ])
    func hostileConfiguration(_ model: String, _ key: String, _ value: String) throws {
        let copy = try folder.copy(Fixtures.model(model), as: "model")
        let path = copy + "/config.json"
        var config = try #require(try JSON(parsing: contents(path), file: path).object)
        config[key] = try JSON(parsing: Array(value.utf8), file: "value")
        // Of the copy, which the fixture's permissions may keep from being written.
        try FileManager.default.removeItem(atPath: path)
        try folder.write("model/config.json", Array(JSON.object(config).serialized().utf8))
        let result = try evaluate([copy] + data("a"))
        #expect(result.code == 3 || result.code == 4, "\(result.code): \(result.errors)\(result.output)")
        #expect(result.errors.contains("moe-tool: "), "\(result.errors)")
    }

    private static func rope(_ type: String, factor: Int = 1, theta: Double = 10_000) -> String {
        "{\"rope_type\": \"\(type)\", \"factor\": \(factor), \"rope_theta\": \(theta)}"
    }

    private static func llama3(low: Int, high: Int, positions: Int) -> String {
        """
        {"rope_type": "llama3", "factor": 8, "rope_theta": 10000.0, "high_freq_factor": \(high), \
        "low_freq_factor": \(low), "original_max_position_embeddings": \(positions)}
        """
    }
}
