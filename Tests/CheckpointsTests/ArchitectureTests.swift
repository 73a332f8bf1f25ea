import Checkpoints
import Safetensors
import TestSupport
import Testing

@Suite("Families")
struct ArchitectureTests {
    @Test("Every family's file parses")
    func parse() throws {
        #expect(Architecture.names.count == 54)
        for name in Architecture.names {
            let family = try #require(try Architecture.named(name))
            #expect(family.modelType == name)
            #expect((family.router == nil) == family.layoutNames.isEmpty)
        }
    }

    // The checkpoints were saved by transformers itself: every tensor of every family must be expected, and no other.
    @Test("A checkpoint's tensors are those expected", arguments: Fixtures.dense + Fixtures.mixtures)
    func tensors(_ name: String) throws {
        let checkpoint = try Checkpoint(at: Fixtures.model(name))
        let onDisk = try ShardedTensors(opening: Fixtures.model(name))
        let expected = try checkpoint.expectedTensors()
        #expect(Set(expected.map(\.name)) == Set(onDisk.names))
        for tensor in expected {
            let info = try #require(onDisk.lookup(tensor.name)).info
            #expect(info.shape.dimensions == tensor.shape)
            // The views of a tensor are a partition of its elements.
            var seen = [Bool](repeating: false, count: info.shape.elementCount)
            for (_, view) in tensor.placements {
                for row in 0..<view.rows {
                    for column in 0..<view.columns {
                        let element = view.offset + row * view.rowStride + column * view.columnStride
                        #expect(!seen[element])
                        seen[element] = true
                    }
                }
            }
            #expect(seen.allSatisfy { $0 })
        }
    }

    @Test("A checkpoint converts to itself without a changed byte", arguments: Fixtures.dense + Fixtures.mixtures)
    func identity(_ name: String) async throws {
        let folder = try TemporaryFolder()
        try await Checkpoint(at: Fixtures.model(name)).write(to: folder.path + "/out")
        #expect(
            try contents(folder.path + "/out/model.safetensors")
                == contents(Fixtures.model(name) + "/model.safetensors"))
    }

    @Test(
        "Another layout and back is the same checkpoint",
        arguments: [
            "mixtral", "qwen2-moe-step2", "qwen3-moe", "olmoe", "flex-olmo", "phimoe", "deepseek-v2", "deepseek-v3",
            "glm4-moe", "glm4-moe-lite", "minimax-m2", "dots1", "solar-open", "hy-v3", "afmoe", "exaone-moe",
            "ernie4-5-moe", "hunyuan-v1-moe", "lfm2-moe",
        ])
    func layouts(_ name: String) async throws {
        let folder = try TemporaryFolder()
        try await Checkpoint(at: Fixtures.model(name)).withLayout("fused").write(to: folder.path + "/fused")
        let fused = try Checkpoint(at: folder.path + "/fused")
        #expect(
            try ShardedTensors(opening: folder.path + "/fused").names.contains { $0.hasSuffix("experts.gate_up_proj") })
        try await fused.withLayout("per-expert").write(to: folder.path + "/back")
        #expect(
            try contents(folder.path + "/back/model.safetensors")
                == contents(Fixtures.model(name) + "/model.safetensors"))
    }

    // gpt-oss keeps gate and up in alternate columns of [E, in, out]: gate_up_proj[e][i][2 * r] is gate[r][i].
    @Test("Transposed and interleaved experts are seen as gate, up and down")
    func gptOss() throws {
        let checkpoint = try Checkpoint(at: Fixtures.model("gpt-oss"))
        let file = try SafetensorsFile(path: Fixtures.model("gpt-oss") + "/model.safetensors")
        let raw = try file.bytes("model.layers.1.mlp.experts.gate_up_proj")
        let up = try #require(checkpoint.table[.expert(1, 2, .up)])
        #expect(up.rows == 48 && up.columns == 32)
        try Evaluator(loaded: LoadedSources()).withBytes(of: up, rows: 5..<7) { bytes, _ in
            for (row, column) in [(5, 0), (5, 31), (6, 17)] {
                let element = 2 * 32 * 96 + column * 96 + 2 * row + 1
                let found = bytes[((row - 5) * 32 + column) * 4..<((row - 5) * 32 + column) * 4 + 4]
                #expect(Array(found) == Array(raw[element * 4..<element * 4 + 4]))
            }
        }
    }

    // As transformers decides it: deepseek from first_k_dense_replace on, qwen where (layer + 1) % step == 0.
    @Test("Which layers are mixtures")
    func moeLayers() throws {
        #expect(try Checkpoint(at: Fixtures.model("deepseek-v3")).description.moeLayers == [false, true, true])
        #expect(try Checkpoint(at: Fixtures.model("qwen2-moe-step2")).description.moeLayers == [false, true])
        #expect(try Checkpoint(at: Fixtures.model("deepseek-v3-dense")).isMixture == false)
    }

    // total: golden/summary.json, counted by PyTorch.
    @Test(
        "Parameters are counted from the shapes",
        arguments: [("mixtral", 49_568), ("qwen2-moe", 48_352), ("llama", 21_664)])
    func parameters(_ name: String, _ total: Int) throws {
        let inspection = try Inspection(of: Fixtures.model(name))
        #expect(inspection.parameters?.total == total)
        #expect(inspection.problems.isEmpty)
    }
}

@Suite("Dimensions")
struct DimensionExpressionTests {
    @Test("Precedence, absent names and divisions with a rest")
    func values() throws {
        let names = ["a": 6, "b": 4]
        func value(_ text: String) throws -> Int? { try DimensionExpression(text).value { names[$0] } }
        #expect(try value("a + b * 2") == 14)
        #expect(try value("(a + b) * 2 - 1") == 19)
        #expect(try value("c ?? a / 3") == 2)
        #expect(try value("a / b") == nil)
        #expect(try value("c") == nil)
        #expect(try value("a * 9223372036854775807") == nil)
        #expect(throws: CheckpointError.self) { try DimensionExpression("a +") }
    }
}
