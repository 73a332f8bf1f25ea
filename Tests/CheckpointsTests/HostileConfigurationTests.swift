import Checkpoints
import Safetensors
import TestSupport
import Testing

/// Configurations with a value that no model has under each of their keys, the inner ones too: each is a model all the same,
/// or refused as malformed or as one that does not fit or is not computed, and soon.
@Suite("Hostile configurations")
struct HostileConfigurationTests {
    private static let values: [JSON] = [
        .null, .bool(true), 0, -1, 3, .number("1e308"), .number("4611686018427387904"), .number("0.3"), "x",
        .array([]), .array([.null]), .array([-1, .number("1e300"), "full_attention"]), .array([2, 2]),
        .object(JSONObject()), .object(["0": .null]), .object(["1": .object(["head_dim": -1])]),
        .object(["full_attention": 3, "rope_type": "longrope"]), .object(["rope_type": "yarn", "factor": 0]),
        .object(["rope_type": "longrope", "short_factor": .array([0, .number("1e-46")]), "long_factor": "x"]),
        .object(["rope_type": "dynamic", "alpha": -1, "factor": 1]),
        .object(["rope_type": "proportional", "partial_rotary_factor": .number("1e-9")]),
    ]

    @Test(
        "Every key with every value",
        arguments: [
            "gemma4-wide", "gemma4-text", "cohere2-moe", "phi3-longrope", "hunyuan-v1-moe", "ernie4-5-moe",
            "llama4-text",
            "nemotron-h", "lfm2-moe", "qwen3-next", "qwen3-5-moe-text", "granitemoehybrid-mamba", "deepseek-v32",
            "olmo",
            "minimax-m2", "afmoe", "exaone-moe", "ministral3", "smollm3", "gemma3-text",
        ])
    func everyKey(_ name: String) throws {
        let object = try ModelConfig(contentsOf: Fixtures.model(name) + "/config.json").object
        let type = try #require(object["model_type"]?.string)
        let architecture = try #require(try Architecture.named(type))
        let clock = ContinuousClock()
        for key in Set(object.keys).union(architecture.defaults.keys).sorted() where key != "model_type" {
            for value in Self.values {
                var changed = object
                changed[key] = value
                let time = clock.measure { attempt(changed, architecture, "\(key) = \(value.serialized())") }
                #expect(time < .seconds(5), "\(key) = \(value.serialized())")
            }
            for inner in object[key]?.object?.keys ?? [] {
                for value in Self.values {
                    var changed = object
                    var part = object[key]?.object ?? JSONObject()
                    part[inner] = value
                    changed[key] = .object(part)
                    attempt(changed, architecture, "\(key).\(inner) = \(value.serialized())")
                }
            }
        }
    }

    private func attempt(_ object: JSONObject, _ architecture: Architecture, _ what: String) {
        do {
            let description = try ModelDescription(architecture, ModelConfig(object: object, file: "config.json"))
            _ = try DecoderConfiguration(description)
            // Whoever reads files has compared their number before.
            guard description.layerCount * (description.sizeIfKnown("experts") ?? 1) < 512 else { return }
            _ = try description.expectedTensors()
            _ = try description.keyValueElements()
            _ = try FunctionTraits(description)
        } catch let error as CheckpointError {
            #expect([.malformed, .incompatible, .uncomputed].contains(error.code), "\(what): \(error)")
        } catch {
            Issue.record("\(what): \(error)")
        }
    }
}

@Suite("Numbers as text")
struct CanonicalTextTests {
    @Test("The least whole number has a text like any other")
    func least() {
        #expect(canonicalText(Float(-9_223_372_036_854_775_808.0)) == "-9.223372e+18")
        #expect(canonicalText(Double(Int.min)) == "-9.223372036854776e+18")
        #expect(canonicalText(-3.0) == "-3")
    }
}
