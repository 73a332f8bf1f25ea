import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// The settings of what stays quantised say of the output's modules what is so: whatever form their entries have.
@Suite("Names in quantised checkpoints' settings")
struct QuantisedNamesTests {
    private func settings(_ folder: String) throws -> JSONObject {
        let file = folder + "/config.json"
        let object = try #require(JSON(parsing: contents(file), file: file).object)
        return try #require((object["quantization_config"] ?? object["quantization"])?.object)
    }

    private func list(_ folder: String, _ key: String) throws -> [String] {
        try (settings(folder)[key]?.array ?? []).compactMap(\.string)
    }

    /// A copy of a fixture with one of its settings changed.
    private func copy(_ name: String, in folder: TemporaryFolder, _ key: String, _ value: String) throws -> String {
        let path = try folder.copy(Fixtures.file("quantised/" + name), as: "in")
        let file = path + "/config.json"
        var object = try #require(JSON(parsing: contents(file), file: file).object)
        var inner = try settings(path)
        inner[key] = try JSON(parsing: Array(value.utf8), file: "value")
        object["quantization_config"] = .object(inner)
        try folder.write("in/config.json", Array(JSON.object(object).serialized().utf8))
        return path
    }

    private func pruned(_ path: String, in folder: TemporaryFolder) async throws -> String {
        var options = PruneOptions(size: .experts(2), choice: .list([1, 2]))
        options.topK = 1
        try await Checkpoint(at: path).pruned(options).write(to: folder.path + "/out")
        return folder.path + "/out"
    }

    @Test("The last part of a name, which an upcycled model no longer has, is followed by the new names")
    func lastParts() async throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.file("quantised/fp8-llama-skipped-modules")
        let mixture = try Checkpoint(at: path).upcycled(experts: 2, topK: 1)
        try await mixture.keepingQuantised().write(to: folder.path + "/out")
        // Of the source's list, model.layers.0 and lm_head name what they named.
        let names = try list(folder.path + "/out", "modules_to_not_convert")
        #expect(Array(names.prefix(3)) == ["lm_head", "model.layers.0", "down_proj"])
        let tensors = try ShardedTensors(opening: folder.path + "/out").names
        var (plain, quantised) = (0, 0)
        let matrices = tensors.filter { $0.hasSuffix(".weight") && !$0.contains("norm") }
        for name in matrices where name.hasPrefix("model.layers.1.") {
            let module = String(name.dropLast(".weight".count))
            let isQuantised = tensors.contains(name + "_scale_inv")
            #expect(names.contains(module) != isQuantised, "\(module)")
            (plain, quantised) = isQuantised ? (plain, quantised + 1) : (plain + 1, quantised)
        }
        // Two down projections and the router; four of attention, and gate and up of two experts.
        #expect(plain == 3 && quantised == 8)
    }

    @Test("An expression with the number of an expert becomes the names of what it named")
    func expressions() async throws {
        let folder = try TemporaryFolder()
        let ignored = #"["lm_head", "re:.*mlp.gate$", "re:.*experts\\.1\\..*", "re:(?=x)"]"#
        let path = try copy("ct-int8-channel-qwen3-moe", in: folder, "ignore", ignored)
        let out = try await pruned(path, in: folder)
        // Experts 1 and 2 are now 0 and 1, so that the expression would name what was expert 2.
        let names = (0..<2).flatMap { layer in
            ["down", "gate", "up"].map { "model.layers.\(layer).mlp.experts.0.\($0)_proj" }
        }
        #expect(try list(out, "ignore") == ["lm_head", "re:.*mlp.gate$"] + names + ["re:(?=x)"])
    }

    @Test("Rules of GPTQ for single modules")
    func rules() async throws {
        let folder = try TemporaryFolder()
        let rules = #"{"-:.*experts\\.2\\.up_proj": {}, "+:.*q_proj": {"bits": 4}, ".*experts\\.0\\..*": {"bits": 4}}"#
        let path = try copy("gptq-4bit-desc-act-qwen3-moe", in: folder, "dynamic", rules)
        let out = try await pruned(path, in: folder)
        let keys = try #require(settings(out)["dynamic"]?.object).keys
        // Nothing of expert 0 is left, and what is now 0 was not named.
        #expect(
            Set(keys) == [
                #"-:.*experts\.2\.up_proj"#, #"-:^model\.layers\.0\.mlp\.experts\.1\.up_proj$"#,
                #"-:^model\.layers\.1\.mlp\.experts\.1\.up_proj$"#, "+:.*q_proj",
            ])
    }

    @Test(
        "Experts of a mixture of the same quantisation are added byte for byte",
        arguments: [
            "fp8-qwen3-moe-ue8m0-bytes", "ct-int8-channel-qwen3-moe", "gptq-4bit-desc-act-qwen3-moe",
            "modelopt-nvfp4-qwen3-moe", "mxfp4-gpt-oss",
        ])
    func added(_ name: String) async throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.file("quantised/" + name)
        let source = try Checkpoint(at: path)
        let count = try source.description.size("experts")
        try await source.adding([source]).write(to: folder.path + "/out")
        let (before, after) = (try ShardedTensors(opening: path), try ShardedTensors(opening: folder.path + "/out"))
        var compared = 0
        for name in before.names where name.contains("experts.") {
            let old = try #require(before.lookup(name)).file.bytes(name)
            let new = try #require(after.lookup(name)).file.bytes(name)
            if let range = name.range(of: #"experts\.\d+\."#, options: .regularExpression) {
                let number = try #require(Int(name[range].split(separator: ".")[1]))
                let copy = name.replacingCharacters(in: range, with: "experts.\(count + number).")
                #expect(try new == old && #require(after.lookup(copy)).file.bytes(copy) == old, "\(copy)")
            } else {
                #expect(new == old + old, "\(name)")
            }
            compared += 1
        }
        #expect(compared >= 6)
        #expect(try settings(folder.path + "/out")["quant_method"] == settings(path)["quant_method"])
    }

    @Test("What is only copied is held against itself too")
    func copied() async throws {
        let folder = try TemporaryFolder()
        let name = "gptq-4bit-desc-act-qwen3-moe"
        let path = try copy(name, in: folder, "group_size", "7")
        let error = try #require(throws: CheckpointError.self) { try Checkpoint(at: path) }
        #expect(error.code == .incompatible && error.description.contains("group_size is 7"), "\(error)")

        let other = try folder.copy(Fixtures.file("quantised/" + name), as: "index")
        let file = try SafetensorsFile(path: other + "/model.safetensors")
        let index = try #require(file.header.tensors.first { $0.name.hasSuffix(".g_idx") })
        var bytes = try contents(other + "/model.safetensors")
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        bytes[8 + length + index.begin + 3] = 0x7F
        try folder.write("index/model.safetensors", bytes)
        let found = await #expect(throws: CheckpointError.self) {
            try await Checkpoint(at: other).write(to: folder.path + "/out")
        }
        #expect(found?.code == .incompatible && found?.description.contains(index.name) == true)
    }
}
