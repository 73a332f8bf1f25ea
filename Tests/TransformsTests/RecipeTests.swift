import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Recipes")
struct RecipeTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func recipe(_ text: String) throws -> MergeRecipe {
        try MergeRecipe(contentsOf: folder.write("recipe.yaml", Array(text.utf8)))
    }

    private func refusal(_ text: String) throws -> CheckpointError {
        try #require(throws: CheckpointError.self) { try recipe(text) }
    }

    @Test("A recipe of ours says all of it")
    func own() throws {
        let parsed = try recipe(
            """
            models:
              - code
              - path: law
                weight: [0, 1]
                density: {filter: mlp, value: 0.3}
            base: seed
            include-base: true
            top-k: 1
            average: dare-ties
            parameters: {lambda: 0.7, rescale: l1, density: 0.4}
            router: uniform:0.1
            vocab: union
            layout: split:4
            layers: every:2
            dtype: BF16
            seed: 9
            output: out
            """)
        #expect(parsed.models == ["code", "law"])
        #expect(parsed.base == "seed")
        #expect(parsed.output == "out")
        let options = parsed.options
        #expect(options.includesBase)
        #expect(options.topK == 1)
        #expect(options.average == .dareTies)
        #expect(options.settings.weights == [nil, .gradient([0, 1])])
        #expect(options.settings.density == .value(0.4))
        #expect(options.settings.rescaling == .l1)
        #expect(options.router == .uniform(std: 0.1))
        #expect(options.vocabulary == .union)
        #expect(options.arrangement == .split(4))
        #expect(options.layers == .every(2))
        #expect(options.dtype == .bf16)
        #expect(options.seed == 9)
    }

    @Test("mergekit-moe's and mergekit-yaml's configurations are read as they are")
    func mergekit() throws {
        let moe = try recipe(
            """
            base_model: seed
            gate_mode: uniform_random
            dtype: float16
            experts_per_token: 3
            experts:
              - {source_model: a, positive_prompts: [x], negative_prompts: [y], noise_scale: 0.1}
              - {source_model: b, positive_prompts: [z], residual_scale: 0.5}
              - {source_model: a, positive_prompts: [w]}
            """)
        #expect(moe.models == ["a", "b", "a"])
        #expect(moe.options.average == .base)
        #expect(moe.options.topK == 3)
        #expect(moe.options.router == .uniform(std: nil))
        #expect(moe.options.expertNoise == [0.1, 0, 0])
        #expect(moe.options.expertScale == [1, 0.5, 1])
        #expect(moe.options.dtype == .f16)

        let yaml = try recipe(
            """
            merge_method: dare_ties
            base_model: seed
            models:
              - model: seed
              - model: a
                parameters: {weight: 0.4, density: [0.5, 1]}
            parameters: {int8_mask: true, lambda: 0.8}
            out_dtype: bfloat16
            tokenizer_source: base
            """)
        #expect(yaml.isDense)
        #expect(yaml.models == ["a"])
        #expect(yaml.options.settings.rescaling == .l1)
        #expect(yaml.options.settings.density == .value(1))
        #expect(yaml.options.settings.densities == [.gradient([0.5, 1])])
        let slerp = try recipe(
            "merge_method: slerp\nbase_model: b\nmodels: [{model: a}, {model: b}]\nparameters: {t: [0, 0.5, 1]}")
        #expect(slerp.models == ["b", "a"])
        #expect(slerp.options.settings.t == .gradient([0, 0.5, 1]))
    }

    @Test("Mistakes are named, with the line and the nearest key")
    func mistakes() throws {
        #expect(
            try refusal("models: [a]\naverge: linear").message == "line 2: averge: no such key; did you mean average?")
        #expect(try refusal("models: []").message.contains("expected a list of models"))
        #expect(try refusal("models: [a]\naverage: mean").message.contains("there are linear, slerp"))
        #expect(try refusal("models: [a]\ntop-k: two").message.contains("whole number"))
        #expect(try refusal("models: [a\n").code == .malformed)
        #expect(try refusal("- a").message.contains("mapping"))
        #expect(try refusal("models: [a]\nmodels: [b]").code != .internalFailure)
        #expect(try refusal("base_model: a\nexperts: [{source: b}]").message.contains("did you mean source_model?"))
        #expect(try refusal("merge_method: linear\nslices: []").message.contains("one slice over all layers"))
        let hidden = try recipe("base_model: a\nexperts: [{source_model: b, positive_prompts: [x]}]")
        let error = try #require(throws: CheckpointError.self) { try hidden.merged() }
        #expect(error.code == .usage)
        #expect(error.message.contains("measured with a model first"))
        #expect(hidden.measurement == .prompts(.hiddenLast, [RouterPrompts(positive: ["x"])]))
    }
}
