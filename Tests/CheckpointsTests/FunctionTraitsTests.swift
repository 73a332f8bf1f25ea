import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("What a function depends on")
struct FunctionTraitsTests {
    private func traits(_ config: JSONObject) throws -> FunctionTraits {
        let type = try #require(config["model_type"]?.string)
        let family = try #require(try Architecture.named(type))
        return try FunctionTraits(ModelDescription(family, ModelConfig(object: config, file: "config.json")))
    }

    private func config(_ model: String) throws -> JSONObject {
        let path = Fixtures.model(model) + "/config.json"
        return try #require(try JSON(parsing: contents(path), file: path).object)
    }

    /// Keys whose change shows in the traits though transformers' logits of 24 tokens stay as they are: a window or a rope
    /// that begins to act beyond them, groups that hold the chosen experts anyway, a limit that is not reached.
    private static let later: Set<String> = [
        "max_position_embeddings", "original_max_position_embeddings", "rope_parameters", "sliding_window",
        "topk_group",
        "n_group", "clip_qkv", "swiglu_limit", "norm_topk_prob", "rope_scaling", "moe_norm_min",
    ]

    // functions.json: transformers 5.24 was asked which keys change the logits of each fixture (make.py beside it).
    @Test("Every key that changes transformers' logits is one of them, and no other is")
    func keys() throws {
        let path = Fixtures.file("configurations/functions.json")
        let cases = try #require(try JSON(parsing: contents(path), file: path).array)
        #expect(cases.count > 500)
        for entry in cases.compactMap(\.object) {
            let model = try #require(entry["model"]?.string)
            let key = try #require(entry["key"]?.string)
            let original = try config(model)
            var other = original
            if key == "rope_parameters" {
                other["rope_theta"] = nil
                other["rope_scaling"] = nil
            }
            other[key] = entry["value"]
            let what = "\(model): \(key) = \(entry["value"]?.canonicalText ?? "")"
            guard let mine = try? traits(other) else {
                Issue.record("\(what) is refused, and transformers runs it")
                continue
            }
            let differs = try !traits(original).disagreements(with: mine).isEmpty
            if entry["changes"]?.bool == true {
                #expect(differs, "\(what)")
            } else if !Self.later.contains(key) {
                #expect(!differs, "\(what)")
            }
        }
    }

    private static let spellings: [(model: String, removed: [String], added: String)] = [
        ("llama", ["rope_parameters", "rope_theta", "rope_scaling"], #"{"rope_theta": 10000}"#),
        ("llama", ["rope_parameters", "rope_theta", "rope_scaling"], #"{"rope_theta": 1e4}"#),
        (
            "llama", ["rope_parameters", "rope_theta", "rope_scaling"],
            #"{"rope_theta": 10000.0, "rope_scaling": null}"#
        ),
        (
            "llama", ["rope_parameters", "rope_theta"],
            #"{"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}"#
        ),
        ("llama", ["rope_parameters", "rope_theta", "rope_scaling"], "{}"),
        ("llama", [], #"{"rms_norm_eps": 0.000001}"#),
        ("llama", ["attention_bias", "mlp_bias", "head_dim", "hidden_act"], "{}"),
        ("mixtral", ["num_local_experts"], #"{"num_experts": 4}"#),
        ("qwen3-moe", [], #"{"norm_topk_prob": 1}"#),
    ]

    @Test("The same meaning in other words is the same", arguments: spellings.indices)
    func spelling(_ index: Int) throws {
        let (model, removed, added) = Self.spellings[index]
        var original = try config(model)
        if model == "qwen3-moe" { original["norm_topk_prob"] = true }
        if model == "llama" {
            original["rms_norm_eps"] = .number("1e-06")
            for key in ["rope_parameters", "rope_scaling"] { original[key] = nil }
            original["rope_theta"] = .number("10000.0")
        }
        var other = original
        for key in removed { other[key] = nil }
        let members = try #require(try JSON(parsing: Array(added.utf8), file: "").object)
        for key in members.keys { other[key] = members[key] }
        let disagreements = try traits(original).disagreements(with: traits(other))
        #expect(disagreements.isEmpty, "\(disagreements)")
    }

    // defaults.json: the fields of transformers 5.24's configuration classes (defaults.py beside it).
    @Test("Absent keys are what transformers' classes assume")
    func defaults() throws {
        let path = Fixtures.file("configurations/defaults.json")
        let families = try #require(try JSON(parsing: contents(path), file: path).object)
        #expect(families.keys.count > 30)
        for name in families.keys {
            let architecture = try #require(try Architecture.named(name))
            let values = try #require(families[name]?.object)
            for key in values.keys where !key.hasSuffix("token_id") {
                #expect(
                    architecture.defaults[key]?.canonicalText == values[key]?.canonicalText, "\(name): \(key)")
            }
        }
    }

    @Test("A rope that is not computed here counts with all its numbers")
    func uncomputed() throws {
        func phi(_ factor: String) throws -> FunctionTraits {
            var config = try config("phi3")
            for key in ["rope_theta", "rope_parameters"] { config[key] = nil }
            config["rope_scaling"] = try JSON(
                parsing: Array(#"{"type": "resonance", "short_factor": [1, 2], "long_factor": [\#(factor), 4]}"#.utf8),
                file: "")
            return try traits(config)
        }
        #expect(try phi("3").disagreements(with: phi("3.0")).isEmpty)
        #expect(try phi("3").disagreements(with: phi("3.5")).map(\.name) == ["rope"])
    }
}
