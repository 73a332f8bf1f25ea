import Checkpoints
import Safetensors
import TestSupport
import Testing

/// GGUF files: the bytes of the package gguf, and refusals where llama.cpp would compute something else.
///
/// That the models are the same ones in llama.cpp is shown by `Tests/Interop/gguf.py`.
struct GGUFWritingTests {
    /// The bytes of consecutive tensors in a file that was written.
    private func data(_ model: String, _ type: GGUFType, from first: String, count: Int) throws -> [UInt8] {
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint(at: Fixtures.model(model))
        let output = folder.path + "/model.gguf"
        let report = try checkpoint.writeGGUF(to: output, type: type)
        let plan = try checkpoint.ggufPlan(type: type)
        let file = try contents(output)
        #expect(report.bytes == file.count)
        #expect(plan.byteCount == file.count)
        #expect(plan.header.count % 32 == 0)
        let index = try #require(plan.tensors.firstIndex { $0.tensor.name == first })
        let start = plan.header.count + plan.tensors[index].offset
        let end =
            index + count < plan.tensors.count ? plan.header.count + plan.tensors[index + count].offset : file.count
        return Array(file[start..<end])
    }

    @Test("Q8_0 is ggml's, with queries and keys in the order in which neighbours rotate")
    func eightBits() throws {
        let found = try data("llama", .q80, from: "blk.1.attn_norm.weight", count: 4)
        #expect(found == (try contents(Fixtures.file("gguf/llama-layer1-q8_0.bin"))))
    }

    @Test("Experts are one tensor, one after the other")
    func experts() throws {
        let found = try data("mixtral", .bf16, from: "blk.1.ffn_down_exps.weight", count: 1)
        #expect(found == (try contents(Fixtures.file("gguf/mixtral-layer1-experts-bf16.bin"))))
    }

    @Test("The header begins as the format has it: magic, version 3, counts, little-endian")
    func header() throws {
        let plan = try Checkpoint(at: Fixtures.model("mixtral")).ggufPlan(type: .f16)
        #expect(plan.header.prefix(8) == [0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0])
        // Embedding, final norm and head; in each of two layers four projections, two norms, a router, three of experts.
        #expect(plan.header[8..<16] == [23, 0, 0, 0, 0, 0, 0, 0])
        #expect(plan.metadata["llama.expert_count"] == .uint32(4))
        #expect(plan.metadata["llama.expert_used_count"] == .uint32(2))
        #expect(plan.metadata["llama.rope.freq_base"] == .float32(1e6))
        #expect(plan.metadata["general.file_type"] == .uint32(1))
        let router = try #require(plan.tensors.first { $0.tensor.name == "blk.0.ffn_gate_inp.weight" })
        #expect(router.type == .f32)
    }

    @Test(
        "What llama.cpp would compute otherwise is refused",
        arguments: [
            ("mistral", "sliding window"), ("deepseek-v3", "groups"), ("gpt-oss", "truncate"),
            ("qwen2-moe-step2", "mixtures in all layers"), ("flex-olmo", "no architecture"), ("phimoe", "sparse mixer"),
            ("olmoe", "as many heads of keys"), ("afmoe", "has not been shown"),
        ])
    func refusals(model: String, words: String) throws {
        let checkpoint = try Checkpoint(at: Fixtures.model(model))
        let error = #expect(throws: CheckpointError.self) { try checkpoint.ggufPlan(type: .f32) }
        #expect(error?.code == .incompatible)
        #expect(error?.message.contains(words) == true)
    }

    @Test(
        "Gates that llama.cpp never divides by their sum, or always does, are as the configuration has them, or refused"
    )
    func gates() throws {
        let folder = try TemporaryFolder()
        for (model, value) in [("qwen2-moe", true), ("qwen3-moe", false)] {
            let path = try folder.copy(Fixtures.model(model), as: model, setting: ["norm_topk_prob": value])
            let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: path).ggufPlan(type: .f32) }
            #expect(error?.message.contains("selected gates") == true)
        }
    }

    @Test("A length that no file holds is an error")
    func lengths() throws {
        let folder = try TemporaryFolder()
        let rope: [String: Any] = [
            "rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0, "truncate": true, "beta_fast": 32.0,
            "beta_slow": 1.0, "original_max_position_embeddings": 1e300,
        ]
        let path = try folder.copy(Fixtures.model("gpt-oss"), as: "model", setting: ["rope_parameters": rope])
        #expect(throws: CheckpointError.self) { try Checkpoint(at: path).ggufPlan(type: .f32) }
    }

    @Test("Values that are none are named, and in blocks never written", arguments: [GGUFType.f32, .f16, .bf16, .q80])
    func nonfinite(_ type: GGUFType) throws {
        let folder = try TemporaryFolder()
        let path = try folder.copy(Fixtures.model("llama"), as: "in")
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        let info = try #require(file.info("model.layers.0.mlp.gate_proj.weight"))
        var bytes = try contents(path + "/model.safetensors")
        let place = bytes.count - (file.header.tensors.map(\.end).max() ?? 0) + info.begin
        // NaN in F32, and in each half of it in BF16 and F16.
        bytes.replaceSubrange(place..<place + 4, with: [0xFF, 0x7F, 0xFF, 0x7F])
        try folder.write("in/model.safetensors", bytes)
        let checkpoint = try Checkpoint(at: path)
        let output = folder.path + "/model.gguf"
        let error = try #require(throws: CheckpointError.self) { try checkpoint.writeGGUF(to: output, type: type) }
        #expect(error.code == .incompatible && error.tensor == "blk.0.ffn_gate.weight", "\(error)")
        #expect(folder.names == ["in"])
        var options = WriteOptions()
        options.allowNonfinite = true
        if type == .q80 {
            #expect(throws: CheckpointError.self) {
                try checkpoint.writeGGUF(to: output, type: type, options: options)
            }
        } else {
            try checkpoint.writeGGUF(to: output, type: type, options: options)
        }
    }

    @Test("Nothing that exists is replaced without leave, and only a GGUF file with it")
    func replacing() throws {
        let folder = try TemporaryFolder()
        let checkpoint = try Checkpoint(at: Fixtures.model("llama"))
        var options = WriteOptions()
        let output = folder.path + "/model.gguf"
        try checkpoint.writeGGUF(to: output, type: .f32, options: options)
        #expect(throws: CheckpointError.self) { try checkpoint.writeGGUF(to: output, type: .f16, options: options) }
        options.overwrite = true
        try checkpoint.writeGGUF(to: output, type: .f16, options: options)
        let other = try folder.write("notes.gguf", [1, 2, 3])
        #expect(throws: CheckpointError.self) { try checkpoint.writeGGUF(to: other, type: .f16, options: options) }
        #expect(try contents(other) == [1, 2, 3])
    }
}
