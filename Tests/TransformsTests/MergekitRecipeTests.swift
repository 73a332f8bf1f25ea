import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// Configurations of mergekit that notebooks and model cards have, and what mergekit 0.1 makes of them.
@Suite("mergekit's recipes")
struct MergekitRecipeTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func recipe(_ text: String) throws -> MergeRecipe {
        try MergeRecipe(contentsOf: folder.write("recipe.yaml", Array(text.utf8)))
    }

    private func refusal(_ text: String) throws -> String {
        try #require(throws: CheckpointError.self) { try recipe(text) }.message
    }

    private func models() throws {
        for (name, seed) in [("a", 1), ("b", 2)] {
            _ = try folder.variant(of: "mistral", seed: UInt64(seed), as: name)
        }
    }

    private func tensors(_ recipe: MergeRecipe) async throws -> [String: [UInt8]] {
        let path = folder.path + "/" + UUID().uuidString
        try await recipe.merged().write(to: path)
        return try folder.tensors(path)
    }

    // MARK: Slices

    private let slice = """
        slices:
          - sources:
              - model: a
                layer_range: [0, 2]
              - model: b
                layer_range: [0, 2]
        merge_method: slerp
        base_model: a
        parameters:
          t:
            - filter: self_attn
              value: [0, 0.5, 0.3, 0.7, 1]
            - filter: mlp
              value: [1, 0.5, 0.7, 0.3, 0]
            - value: 0.5
        dtype: float32
        """

    @Test("One slice over all layers is the list of its models, as mergekit's planner turns one into the other")
    func slices() async throws {
        try models()
        let text = slice.replacingOccurrences(
            of: """
                slices:
                  - sources:
                      - model: a
                        layer_range: [0, 2]
                      - model: b
                        layer_range: [0, 2]
                """, with: "models: [{model: a}, {model: b}]")
        #expect(text.contains("models:"))
        let first = try await tensors(recipe(slice))
        #expect(try await tensors(recipe(text)) == first)
        // By hand, of one value: slerp at t = 0 is the base's, and at t = 1 the other's.
        #expect(first["model.layers.0.self_attn.q_proj.weight"] != nil)
        let own = try folder.tensors(folder.path + "/a")
        let other = try folder.tensors(folder.path + "/b")
        for name in ["q_proj", "k_proj"] {
            let full = "model.layers.0.self_attn.\(name).weight"
            #expect(first[full] == own[full])
            #expect(first[full.replacingOccurrences(of: ".0.", with: ".1.")]?.count == other[full]?.count)
        }
    }

    @Test("Parameters of the slice go before those of all, a filter that does not fit leaves it to them")
    func sliceParameters() throws {
        let text = slice.replacingOccurrences(
            of: "merge_method", with: "    parameters: {t: [{filter: q_proj, value: 0.1}]}\nmerge_method")
        let t = try recipe(text).options.settings.t
        #expect(t.value(for: "model.layers.0.self_attn.q_proj.weight", depth: 0) == 0.1)
        #expect(t.value(for: "model.layers.0.self_attn.k_proj.weight", depth: 1) == 1)
        #expect(t.value(for: "model.norm.weight", depth: 0) == 0.5)
    }

    @Test("A slice of some layers, and stacks, are refused")
    func stacks() throws {
        try models()
        let three = slice.replacingOccurrences(of: "[0, 2]", with: "[0, 3]")
        let error = try #require(throws: CheckpointError.self) { try recipe(three).merged() }
        #expect(error.message.contains("of 3 layers") && error.message.contains("has 2"))
        for (text, message) in [
            (slice.replacingOccurrences(of: "[0, 2]", with: "[1, 2]"), "expected [0, N]"),
            (slice.replacingOccurrences(of: "[0, 2]", with: "all"), "list of whole numbers"),
            ("merge_method: passthrough\nslices: [{sources: []}, {sources: []}]", "one slice over all layers"),
            (slice.replacingOccurrences(of: "layer_range", with: "layer_rnge"), "did you mean layer_range?"),
            (slice + "\nmodels: [{model: a}]", "models or slices"),
            ("merge_method: linear\nmodules: {default: {models: [{model: a}]}}", "modules"),
        ] {
            #expect(try refusal(text).contains(message), "\(text)")
        }
    }

    // MARK: Keys

    @Test(
        "No key passes unknown, wherever it is",
        arguments: [
            ("merge_method: linear\nmodels: [{model: a, wieght: 1}]", "models[0].wieght"),
            ("merge_method: linear\nmodels: [{model: a, parameters: {wieght: 1}}]", "did you mean weight?"),
            ("merge_method: linear\nmodels: [a]\nparameters: {densty: 1}", "did you mean density?"),
            ("merge_method: linear\nmodels: [a]\nmerge_metod: x", "merge_metod"),
            (
                "merge_method: linear\nmodels: [a]\ntokenizer: {source: base, pad_to_multiple_of: 8}",
                "pad_to_multiple_of"
            ),
            ("merge_method: linear\nmodels: [a]\ntokenizer: {tokens: {x: {source: a}}}", "tokenizer.tokens"),
            ("merge_method: linear\nmodels: [a]\ntokenizer: {sorce: base}", "did you mean source?"),
            ("merge_method: linear\nmodels: [a]\ntokenizer: {}\ntokenizer_source: base", "not both"),
            ("merge_method: linear\nmodels: [a]\nparameters: {t: [{filter: x, vlue: 1}]}", "vlue"),
            ("base_model: a\nexperts: [{source_model: b, positive_prompt: [x]}]", "positive_prompts?"),
            ("base_model: a\narchitecture: deepseek\nexperts: [{source_model: b}]", "DeepSeek MoE is not supported"),
        ])
    func unknown(_ text: String, _ message: String) throws {
        let found = try refusal(text)
        #expect(found.contains(message), "\(found)")
    }

    @Test("A file of prompts has no unknown keys either")
    func prompts() throws {
        let path = try folder.write("p.yaml", Array("experts: [{positive_prompts: [a], negativ_prompts: [b]}]".utf8))
        let error = try #require(throws: CheckpointError.self) { try RouterPrompts.read(path) }
        #expect(error.message.contains("did you mean negative_prompts?"))
    }

    @Test("tokenizer and tokenizer_source")
    func tokenizer() throws {
        let start = "merge_method: linear\nmodels: [a]\nbase_model: b\n"
        #expect(try recipe(start).options.vocabulary == nil)
        #expect(try recipe(start + "tokenizer: {}").options.vocabulary == .union, "mergekit's default")
        #expect(try recipe(start + "tokenizer: {source: base}").options.vocabulary == .base)
        #expect(try recipe(start + "tokenizer_source: b").options.vocabulary == .base)
        #expect(try refusal(start + "tokenizer_source: c").contains("union or base"))
    }

    @Test("architecture picks by how names begin, and where two do, by the models' family")
    func architecture() throws {
        let end = "\nbase_model: a\ngate_mode: random\nexperts: [{source_model: a}, {source_model: b}]"
        try models()
        #expect(try recipe("architecture: qwen3" + end).options.target == "qwen3_moe")
        #expect(try recipe("architecture: Qwen MoE" + end).options.target == "qwen2_moe")
        #expect(try recipe("architecture: mixtral" + end).merged().description.architecture.modelType == "mixtral")
        let qwen = try recipe("architecture: qwen" + end)
        #expect(qwen.options.target == nil)
        let error = try #require(throws: CheckpointError.self) { try qwen.merged() }
        #expect(error.message.contains("qwen2_moe or qwen3_moe") && error.message.contains("become a mixtral"))
        for (name, family) in [("qwen2-tied", "qwen2_moe"), ("qwen3", "qwen3_moe")] {
            let path = Fixtures.model(name)
            let text =
                "architecture: qwen\nbase_model: \(path)\ngate_mode: random\n"
                + "experts: [{source_model: \(path)}, {source_model: \(path)}]"
            #expect(try recipe(text).merged().description.architecture.modelType == family)
        }
    }

    // MARK: Adapters and templates

    @Test("model: base+adapter is the adapter on the base")
    func adapters() async throws {
        let root = Fixtures.file("adapters")
        let plain = try Checkpoint(at: root + "/patterns", adapterBase: root + "/llama")
        try await plain.write(to: folder.path + "/plain")
        let merged = try await tensors(
            recipe("merge_method: linear\nmodels: [{model: \(root)/llama+\(root)/patterns}]\ndtype: float32"))
        #expect(merged == (try folder.tensors(folder.path + "/plain")))
        let error = try #require(throws: CheckpointError.self) {
            try recipe("merge_method: linear\nmodels: [\(root)/llama+\(root)/llama]").merged()
        }
        #expect(error.message.contains("is none"))
        // A folder's name may have a plus.
        _ = try folder.variant(of: "mistral", seed: 1, as: "c+d")
        #expect(try recipe("merge_method: linear\nmodels: [c+d]").merged().name == "c+d")
    }

    @Test("chat_template: auto, a name, a file, a template")
    func chatTemplates() throws {
        for (name, template) in [("a", "{{ 'one' }}"), ("b", " {{ 'two' }}\n"), ("c", "{{ 'two' }}")] {
            _ = try folder.variant(of: "mistral", seed: 1, as: name)
            let config = try #require(String(data: JSONEncoder().encode(["chat_template": template]), encoding: .utf8))
            try folder.write("\(name)/tokenizer_config.json", Array(config.utf8))
        }
        try folder.write("own.jinja", Array("{{ 'of a file' }}".utf8))
        func template(_ choice: String) throws -> String? {
            let merged = try recipe("merge_method: linear\nmodels: [a, b, c]\nchat_template: \(choice)").merged()
            let config = merged.companions.first { $0.name == "tokenizer_config.json" }
            if case .bytes(let bytes) = config?.content {
                #expect(!String(decoding: bytes, as: UTF8.self).contains("chat_template"), "there is one place for it")
            }
            let file = merged.companions.filter { $0.name.hasPrefix("chat_template") }
            #expect(file.count == 1)
            guard case .bytes(let bytes) = file.first?.content else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
        // mergekit counts the stripped templates.
        #expect(try template("auto") == "{{ 'two' }}")
        #expect(try template("own.jinja") == "{{ 'of a file' }}")
        #expect(
            try template("\"{% for m in messages %}{{ m }}{% endfor %}\"")
                == "{% for m in messages %}{{ m }}{% endfor %}")
        #expect(try template("chatml")?.contains("<|im_start|>") == true)
        #expect(try refusal("merge_method: linear\nmodels: [a]\nchat_template: chatm").contains("chatml"))
    }

    // MARK: Hostile files

    @Test("Aliases of aliases, and lists in lists, are refused before they take memory", .timeLimit(.minutes(1)))
    func hostile() throws {
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...12 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            bomb += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(try refusal(bomb + "models: [a]\nparameters: {weight: *a12}").contains("aliases are written out"))
        #expect(try refusal("models: " + String(repeating: "[", count: 100_000)).contains("nested too deep"))
        #expect(try refusal(String(repeating: "- ", count: 100_000) + "a").contains("nested too deep"))
        #expect(
            try refusal("a: " + String(repeating: "[", count: 80) + String(repeating: "]", count: 80)).contains(
                "too deep"))
        // What is written by hand is read.
        let parsed = try recipe("models: [{path: a, weight: &w [0, 1]}, {path: b, weight: *w}]")
        #expect(parsed.options.settings.weights == [.gradient([0, 1]), .gradient([0, 1])])
    }
}
