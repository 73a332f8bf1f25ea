import Checkpoints
import Safetensors
import TestSupport
import Testing

@Suite("config.json")
struct ModelConfigTests {
    private func config(_ text: String) throws -> ModelConfig {
        ModelConfig(
            object: try #require(try JSON(parsing: Array(text.utf8), file: "config.json").object), file: "config.json")
    }

    private func family(_ name: String) throws -> Architecture { try #require(try Architecture.named(name)) }

    @Test("Both generations of rotary parameters are read alike")
    func rope() throws {
        let llama = try family("llama")
        let old = try config(#"{"rope_theta":5e5,"rope_scaling":{"type":"linear","factor":2.0}}"#).ropeParameters(llama)
        #expect(old?["rope_theta"]?.double == 5e5)
        #expect(old?["rope_type"]?.string == "linear")
        #expect(old?["factor"]?.double == 2)
        let new = try config(#"{"rope_parameters":{"rope_theta":5e5,"rope_type":"linear","factor":2.0}}"#)
            .ropeParameters(llama)
        #expect(new?["factor"]?.double == 2 && new?["rope_type"]?.string == "linear")
        // transformers' default for a llama without a base.
        #expect(try config("{}").ropeParameters(llama)?["rope_theta"]?.double == 10000)
    }

    @Test("Generations that disagree are refused")
    func disagreement() throws {
        let llama = try family("llama")
        let texts = [
            #"{"rope_theta":1e4,"rope_parameters":{"rope_theta":5e5,"rope_type":"default"}}"#,
            #"{"rope_scaling":{"rope_type":"linear","factor":4},"rope_parameters":{"rope_theta":5e5,"rope_type":"linear","factor":2}}"#,
        ]
        for text in texts {
            let error = #expect(throws: CheckpointError.self) { try config(text).ropeParameters(llama) }
            #expect(error?.code == .incompatible)
        }
        let mixtral = try family("mixtral")
        let error = #expect(throws: CheckpointError.self) {
            try config(#"{"num_experts":4,"num_local_experts":8}"#).int("num_local_experts", mixtral)
        }
        #expect(error?.message.contains("must agree") == true)
    }

    @Test("A null is not the default")
    func null() throws {
        let mistral = try family("mistral")
        #expect(try config("{}").int("sliding_window", mistral) == 4096)
        #expect(try config(#"{"sliding_window":null}"#).int("sliding_window", mistral) == nil)
    }

    @Test("Every reader finds its keys")
    func allReaders() throws {
        let written = try config(
            #"{"model_type":"qwen3_moe","num_experts":4,"torch_dtype":"bfloat16","rope_theta":1000000.0,"unknown":[1,{"x":2.50}]}"#
        ).forAllReaders(family("qwen3_moe"), dtype: nil).object
        #expect(written["num_local_experts"]?.int == 4)
        #expect(written["dtype"]?.string == "bfloat16")
        #expect(written["rope_parameters"]?.object?["rope_theta"]?.double == 1e6)
        #expect(written["rope_parameters"]?.object?["rope_type"]?.string == "default")
        #expect(written["rope_scaling"] == .null)
        #expect(written["tie_word_embeddings"]?.bool == false)
        #expect(written["architectures"]?.array == ["Qwen3MoeForCausalLM"])
        #expect(
            written["unknown"]?.serialized().contains("2.50") == true, "unknown keys and the text of numbers survive")
    }

    @Test(
        "Sizes that no model has are refused",
        arguments: [
            (#""hidden_size":0"#, "must be positive"), (#""hidden_size":-32"#, "must be positive"),
            (#""num_hidden_layers":1000000000"#, "no model"), (#""num_local_experts":0"#, "must be positive"),
            (#""num_experts_per_tok":5"#, "there are 4"), (#""hidden_size":"32""#, "whole number"),
            (#""num_key_value_heads":3"#, "evenly"), (#""hidden_act":"relu""#, "supported with silu"),
            (#""vocab_size":99999999999999999999"#, "whole number"), (#""vocab_size":9999999999999999"#, "no model"),
        ])
    func sizes(_ member: String, _ expected: String) throws {
        let base = try ModelConfig(contentsOf: Fixtures.model("mixtral") + "/config.json")
        var object = base.object
        let changed = try config("{\(member)}").object
        for key in changed.keys { object[key] = changed[key] }
        let error = #expect(throws: CheckpointError.self) {
            try ModelDescription(family("mixtral"), ModelConfig(object: object, file: "config.json"))
        }
        #expect(error?.message.contains(expected) == true, "\(String(describing: error))")
    }
}
