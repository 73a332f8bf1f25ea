import Checkpoints
import Foundation
import Quantisation
import Safetensors
import TestSupport
import Testing
import Transforms

/// Checkpoints that are quantised while they are written.
@Suite("Quantised writing")
struct QuantisedWritingTests {
    /// A checkpoint of a fixture's family with other sizes and seeded weights, in BF16.
    private func model(_ name: String, _ sizes: [String: Any?], in folder: TemporaryFolder) throws -> String {
        let path = try folder.copy(Fixtures.model(name), as: "in", setting: sizes)
        let config = try ModelConfig(contentsOf: path + "/config.json")
        let type = try #require(config.object["model_type"]?.string)
        let architecture = try #require(try Architecture.named(type))
        let description = try ModelDescription(architecture, config)
        var generator = SeededGenerator(seed: 20)
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        for expected in try description.expectedTensors() {
            let shape = try Shape(expected.shape)
            let values = (0..<shape.elementCount).map { _ in Float.random(in: -1...1, using: &generator) }
            let bytes = values.flatMap { withUnsafeBytes(of: UInt16($0.bitPattern >> 16).littleEndian, Array.init) }
            tensors.append((expected.name, .bf16, shape, bytes))
        }
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: path + "/model.safetensors")
        return path
    }

    /// The values of a tensor in BF16 or F32.
    private func values(_ bytes: [UInt8], _ dtype: DType) -> [Float] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count * 8 / dtype.bits).map {
                dtype == .f32
                    ? raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
                    : Float(bitPattern: UInt32(raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
            }
        }
    }

    private func tensors(_ path: String) throws -> [String: (info: TensorInfo, bytes: [UInt8])] {
        var result: [String: (info: TensorInfo, bytes: [UInt8])] = [:]
        for file in try ShardedTensors(opening: path).files {
            for info in file.header.tensors { result[info.name] = (info, try file.bytes(info.name)) }
        }
        return result
    }

    private func quantization(_ path: String) throws -> JSONObject {
        let file = path + "/config.json"
        let config = try #require(JSON(parsing: contents(file), file: file).object)
        return try #require(config["quantization_config"]?.object)
    }

    /// What the encoder makes of a whole matrix at once.
    private func encoded(
        _ values: [Float], _ rows: Int, _ columns: Int, _ encoder: BlockEncoder, largest: Float? = nil
    ) throws -> (codes: [UInt8], scales: [UInt8]) {
        try values.withUnsafeBufferPointer { values in
            let global = largest.map { encoder.global(largest: $0) } ?? 1
            var overflowed = 0
            let scales = encoder.scales(values, rows: rows, columns: columns, global: global, overflowed: &overflowed)
            var codes = [UInt8](repeating: 0, count: encoder.byteCount(rows * columns))
            codes.withUnsafeMutableBytes {
                encoder.encode(values, rows: rows, columns: columns, scales: scales, global: global, into: $0)
            }
            var bytes = [UInt8](repeating: 0, count: scales.count * encoder.scaleType.bits / 8)
            try bytes.withUnsafeMutableBytes { try encoder.write(scales, into: $0) }
            return (codes, bytes)
        }
    }

    private var sizes: [String: Any?] {
        [
            "hidden_size": 384, "intermediate_size": 640, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 128, "vocab_size": 64,
        ]
    }

    @Test(
        "What is written in blocks, by several threads, is what the whole matrix gives",
        arguments: ["fp8-block", "fp8-channel", "int8", "int4-group:64", "mxfp4", "nvfp4"])
    func blocks(_ name: String) async throws {
        let folder = try TemporaryFolder()
        let path = try model("llama", sizes, in: folder)
        let format = try #require(QuantisationOptions.Format(name: name))
        let source = try Checkpoint(at: path)
        var options = WriteOptions()
        options.threads = 3
        options.memory = 96 << 20
        options.shardLimit = 1 << 20
        options.verify = true
        try await source.quantised(QuantisationOptions(format)).write(to: folder.path + "/out", options: options)
        let before = try tensors(path)
        let after = try tensors(folder.path + "/out")
        let encoder = try #require(encoders[name])
        var seen: Set<String> = []
        for (weight, (info, bytes)) in before {
            let isQuantised = weight.contains("_proj.")
            guard isQuantised else {
                #expect(after[weight]?.bytes == bytes)
                seen.insert(weight)
                continue
            }
            let base = String(weight.dropLast(6))
            let (rows, columns) = (info.shape.dimensions[0], info.shape.dimensions[1])
            let own = values(bytes, .bf16)
            var largest: Float?
            if name == "nvfp4" {
                // Those that readers put together have one global scale.
                let groups = [["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"]]
                let last = base.split(separator: ".").last.map(String.init) ?? ""
                let members = groups.first { $0.contains(last) } ?? [last]
                largest = try members.map { member in
                    let other = base.replacing("\(last).", with: "\(member).") + "weight"
                    return values(try #require(before[other]).bytes, .bf16).map(abs).max() ?? 0
                }.max()
                let global = try #require(after[base + "weight_global_scale"])
                #expect(global.info.shape.dimensions == [1])
                #expect(values(global.bytes, .f32) == [6 * 448 / (largest ?? 0)])
                seen.insert(base + "weight_global_scale")
            }
            let expected = try encoded(own, rows, columns, encoder, largest: largest)
            let isPacked = format.isFourBits
            let codes = base + (isPacked ? "weight_packed" : "weight")
            let scales = base + (name == "fp8-block" ? "weight_scale_inv" : "weight_scale")
            #expect(after[codes]?.bytes == expected.codes, "\(codes)")
            #expect(after[scales]?.bytes == expected.scales, "\(scales)")
            seen.formUnion([codes, scales])
            if name.hasPrefix("int4") {
                let shape = try #require(after[base + "weight_shape"])
                #expect(shape.info.dtype == .i64)
                #expect(
                    shape.bytes.withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) } == [
                        Int64(rows), Int64(columns),
                    ])
                seen.insert(base + "weight_shape")
            }
        }
        #expect(Set(after.keys) == seen)
    }

    private let encoders: [String: BlockEncoder] = [
        "fp8-channel": BlockEncoder(codes: .e4m3, scales: .float(.bf16)),
        "int8": BlockEncoder(codes: .int8, scales: .float(.bf16)),
        "int4-group:64": BlockEncoder(codes: .int4, scales: .float(.bf16), columnsPerBlock: 64),
        "mxfp4": BlockEncoder(codes: .e2m1, scales: .e8m0, columnsPerBlock: 32),
        "nvfp4": BlockEncoder(codes: .e2m1, scales: .e4m3, columnsPerBlock: 16),
        "fp8-block": BlockEncoder(codes: .e4m3, scales: .float(.f32), rowsPerBlock: 128, columnsPerBlock: 128),
    ]

    @Test("Dtypes and shapes are those of the format, and the configuration says so")
    func shapes() async throws {
        let folder = try TemporaryFolder()
        let path = try model("llama", sizes, in: folder)
        let q = "model.layers.0.self_attn.q_proj."
        let expected: [String: [String: (DType, [Int])]] = [
            "fp8-block": ["weight": (.f8E4M3, [512, 384]), "weight_scale_inv": (.f32, [4, 3])],
            "fp8-channel": ["weight": (.f8E4M3, [512, 384]), "weight_scale": (.bf16, [512, 1])],
            "int8": ["weight": (.i8, [512, 384]), "weight_scale": (.bf16, [512, 1])],
            "int4-group:32": [
                "weight_packed": (.i32, [512, 48]), "weight_scale": (.bf16, [512, 12]), "weight_shape": (.i64, [2]),
            ],
            "mxfp4": ["weight_packed": (.u8, [512, 192]), "weight_scale": (.u8, [512, 12])],
            "nvfp4": [
                "weight_packed": (.u8, [512, 192]), "weight_scale": (.f8E4M3, [512, 24]),
                "weight_global_scale": (.f32, [1]),
            ],
        ]
        let formats = [
            "fp8-channel": "float-quantized", "int8": "int-quantized", "int4-group:32": "pack-quantized",
            "mxfp4": "mxfp4-pack-quantized", "nvfp4": "nvfp4-pack-quantized",
        ]
        for (name, parts) in expected {
            let out = folder.path + "/" + name.prefix(4) + name.suffix(2)
            let format = try #require(QuantisationOptions.Format(name: name))
            try await Checkpoint(at: path).quantised(QuantisationOptions(format)).write(to: out)
            let written = try tensors(out).filter { $0.key.hasPrefix(q) }
            #expect(Set(written.keys) == Set(parts.keys.map { q + $0 }), "\(name)")
            for (part, (dtype, shape)) in parts {
                #expect(written[q + part]?.info.dtype == dtype, "\(name) \(part)")
                #expect(written[q + part]?.info.shape.dimensions == shape, "\(name) \(part)")
            }
            let config = try quantization(out)
            if name == "fp8-block" {
                #expect(config["quant_method"]?.string == "fp8")
                #expect(config["weight_block_size"] == .array([128, 128]))
                #expect(config["modules_to_not_convert"]?.array?.compactMap(\.string).contains("lm_head") == true)
            } else {
                #expect(config["quant_method"]?.string == "compressed-tensors")
                #expect(config["format"]?.string == formats[name])
            }
        }
    }

    @Test(
        "What is left as it is is named; the router is not taken for the gate of a network",
        arguments: ["int8", "fp8-block"])
    func modules(_ name: String) async throws {
        for (fixture, roles) in [
            ("qwen3-moe", "default"), ("qwen2-moe", "default"), ("deepseek-v3", "default"), ("mixtral", "default"),
            ("qwen2-tied", "default"), ("gemma3-vision", "default"), ("qwen3-moe", "experts"),
            ("deepseek-v3", "attention"),
            ("minimax-m2", "default"), ("qwen3-next", "default"), ("nemotron-h", "default"),
        ] {
            let folder = try TemporaryFolder()
            let format = try #require(QuantisationOptions.Format(name: name))
            let groups = QuantisationOptions.Group(rawValue: roles).map { Set([$0]) }
            let source = try Checkpoint(at: Fixtures.model(fixture))
            let out = folder.path + "/out"
            try await source.quantised(QuantisationOptions(format, groups: groups)).write(to: out)
            let config = try quantization(out)
            let listed = try #require(config[name == "int8" ? "ignore" : "modules_to_not_convert"]?.array).compactMap(
                \.string)
            let patterns = try listed.map { entry in
                // compressed-tensors matches expressions, and readers of FP8 blocks names and what lies within them.
                try Regex(
                    entry.hasPrefix("re:") ? String(entry.dropFirst(3)) : entry.replacing(".", with: "\\.") + "(\\..*)?"
                )
            }
            let written = try tensors(out)
            for (tensor, entry) in written where entry.info.shape.dimensions.count == 2 && tensor.hasSuffix(".weight") {
                let module = String(tensor.dropLast(7))
                let isListed = patterns.contains { module.wholeMatch(of: $0) != nil }
                let isQuantised = entry.info.dtype == (name == "int8" ? .i8 : .f8E4M3)
                #expect(isListed != isQuantised, "\(fixture) \(roles) \(module)")
            }
            #expect(
                patterns.contains {
                    "lm_head".wholeMatch(of: $0) != nil || "language_model.lm_head".wholeMatch(of: $0) != nil
                })
            // Scales are not matrices that a reader would look for in the list.
            let kinds = Set(
                written.keys.filter { $0.hasSuffix("_scale") || $0.hasSuffix("_scale_inv") }.map {
                    $0.contains("experts.")
                })
            if roles == "experts" { #expect(kinds == [true]) }
            if roles == "attention" { #expect(kinds == [false]) }
        }
    }

    @Test("Around a language model the configuration is beside the whole model's")
    func wrapped() async throws {
        let folder = try TemporaryFolder()
        let out = folder.path + "/out"
        try await Checkpoint(at: Fixtures.model("gemma3-vision")).quantised(QuantisationOptions(.int8)).write(to: out)
        let file = out + "/config.json"
        let config = try #require(JSON(parsing: contents(file), file: file).object)
        #expect(config["quantization_config"]?.object?["quant_method"]?.string == "compressed-tensors")
        #expect(config["text_config"]?.object?["quantization_config"] == nil)
    }

    @Test("The experts of gpt-oss are stacked, turned and interleaved as it is published")
    func stacked() async throws {
        let folder = try TemporaryFolder()
        let sizes: [String: Any?] = ["hidden_size": 64, "intermediate_size": 96]
        let path = try model("gpt-oss", sizes, in: folder)
        let out = folder.path + "/out"
        try await Checkpoint(at: path).quantised(QuantisationOptions(.mxfp4)).write(to: out)
        let (before, after) = (try tensors(path), try tensors(out))
        let name = "model.layers.1.mlp.experts.gate_up_proj"
        let plain = try #require(before[name])
        let (experts, hidden, inner) = (plain.info.shape.dimensions[0], 64, 192)
        #expect(plain.info.shape.dimensions == [experts, hidden, inner])
        // [E, H, 2I] becomes [E, 2I, H]: codes along H, rows in the order that the columns had.
        let all = values(plain.bytes, .bf16)
        var turned: [Float] = []
        for expert in 0..<experts {
            for row in 0..<inner {
                for column in 0..<hidden { turned.append(all[(expert * hidden + column) * inner + row]) }
            }
        }
        let encoder = BlockEncoder(codes: .e2m1, scales: .e8m0, columnsPerBlock: 32)
        let expected = try encoded(turned, experts * inner, hidden, encoder)
        let (blocks, scales) = (try #require(after[name + "_blocks"]), try #require(after[name + "_scales"]))
        #expect(blocks.info.dtype == .u8 && blocks.info.shape.dimensions == [experts, inner, 2, 16])
        #expect(scales.info.dtype == .u8 && scales.info.shape.dimensions == [experts, inner, 2])
        #expect(blocks.bytes == expected.codes)
        #expect(scales.bytes == expected.scales)
        #expect(after[name] == nil)
        let config = try quantization(out)
        #expect(config["quant_method"]?.string == "mxfp4")
        #expect(
            config["modules_to_not_convert"]?.array?.compactMap(\.string).contains("model.layers.*.mlp.router") == true)
    }

    @Test("Matrices in one tensor share a block where one ends within it")
    func joinedBlocks() async throws {
        let folder = try TemporaryFolder()
        let sizes: [String: Any?] = [
            "hidden_size": 128, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1,
        ]
        let path = try model("phi3", sizes, in: folder)
        let out = folder.path + "/out"
        try await Checkpoint(at: path).quantised(QuantisationOptions(.fp8Block)).write(to: out)
        let (before, after) = (try tensors(path), try tensors(out))
        for (name, rows) in [("mlp.gate_up_proj", 128), ("self_attn.qkv_proj", 256)] {
            let name = "model.layers.0.\(name).weight"
            let plain = try #require(before[name])
            #expect(plain.info.shape.dimensions == [rows, 128])
            let made = try encoded(values(plain.bytes, .bf16), rows, 128, #require(encoders["fp8-block"]))
            #expect(after[name]?.bytes == made.codes)
            #expect(after[name + "_scale_inv"]?.bytes == made.scales)
            #expect(after[name + "_scale_inv"]?.info.shape.dimensions == [rows / 128, 1])
        }
    }

    @Test("Weights that blocks do not fill stay, with what readers put together with them")
    func shortBlocks() async throws {
        let folder = try TemporaryFolder()
        let sizes: [String: Any?] = [
            "hidden_size": 256, "intermediate_size": 320, "num_attention_heads": 6, "num_key_value_heads": 3,
            "head_dim": 64,
        ]
        let path = try model("llama", sizes, in: folder)
        let made = try Checkpoint(at: path).quantised(QuantisationOptions(.fp8Block))
        // k and v have 192 rows, and q has none to spare; up, gate and down have 320.
        #expect(made.warnings.contains { $0.contains("12 weights stay") })
        try await made.write(to: folder.path + "/out")
        let types = try tensors(folder.path + "/out").mapValues { $0.info.dtype }
        for name in ["self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.down_proj"] {
            #expect(types["model.layers.0.\(name).weight"] == .bf16)
        }
        #expect(types["model.layers.0.self_attn.o_proj.weight"] == .f8E4M3)
        let listed = try #require(quantization(folder.path + "/out")["modules_to_not_convert"]?.array)
        #expect(
            listed.contains("model.layers.1.self_attn.q_proj") && !listed.contains("model.layers.1.self_attn.o_proj"))
        let none = try Checkpoint(at: path)
        #expect(throws: CheckpointError.self) {
            try none.quantised(QuantisationOptions(.fp8Block, groups: [.feedForward]))
        }
    }

    @Test("Packed files hold what plain ones do")
    func packed() async throws {
        let folder = try TemporaryFolder()
        let path = try model("llama", sizes, in: folder)
        for (index, format) in [QuantisationOptions.Format.fp8Block, .nvfp4, .int4(group: 32)].enumerated() {
            let made = try Checkpoint(at: path).quantised(QuantisationOptions(format))
            try await made.write(to: folder.path + "/plain\(index)")
            var options = WriteOptions()
            options.pack = true
            try await made.write(to: folder.path + "/packed\(index)", options: options)
            let unpacked = folder.path + "/unpacked\(index)"
            _ = try await PackedCopy(
                .unpacking, of: folder.path + "/packed\(index)", to: unpacked, options: WriteOptions()
            ).run()
            let plain = try tensors(folder.path + "/plain\(index)").mapValues(\.bytes)
            #expect(try tensors(unpacked).mapValues(\.bytes) == plain)
        }
    }

    @Test("What cannot be stored so is refused before anything is written")
    func refusals() async throws {
        func refusal(_ fixture: String, _ options: QuantisationOptions, layout: String? = nil) throws -> String {
            var source = try Checkpoint(at: Fixtures.model(fixture))
            if let layout { source = try source.withLayout(layout) }
            do {
                _ = try source.quantised(options)
                return "none"
            } catch let error as CheckpointError {
                let kinds: [CheckpointError.Code: Int] = [.usage: 2, .incompatible: 4]
                return "\(kinds[error.code] ?? 0) \(error)"
            }
        }
        let groups = try refusal("llama", QuantisationOptions(.mxfp4))
        #expect(groups.hasPrefix("4") && groups.contains("down_proj.weight") && groups.contains("48 columns"))
        #expect(try refusal("llama", QuantisationOptions(.int8, groups: [.experts])).hasPrefix("2"))
        #expect(try refusal("qwen2-tied", QuantisationOptions(.int8, groups: [.head])).contains("it is the embedding"))
        #expect(
            try refusal("qwen2-tied", QuantisationOptions(.int8, groups: [.embedding])).contains("tie_word_embeddings"))
        #expect(try refusal("llama", QuantisationOptions(.fp8Block, groups: [.embedding])).hasPrefix("2"))
        #expect(try refusal("gpt-oss", QuantisationOptions(.int8)).contains("`quantise` mxfp4"))
        #expect(try refusal("gpt-oss", QuantisationOptions(.mxfp4, groups: [.attention])).hasPrefix("2"))
        #expect(try refusal("granitemoe", QuantisationOptions(.int8)).contains("`roles` attention"))
        #expect(try refusal("qwen3-moe", QuantisationOptions(.int8), layout: "fused").contains("leave out `layout`"))
        #expect(try refusal("gpt-oss", QuantisationOptions(.int8, groups: [.attention])) == "none")
    }

    @Test("A weight that is not finite is named, and nothing is left")
    func nonfinite() async throws {
        let folder = try TemporaryFolder()
        let path = try model("llama", sizes, in: folder)
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        let name = "model.layers.1.mlp.up_proj.weight"
        var changed: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        for info in file.header.tensors {
            var bytes = try file.bytes(info.name)
            if info.name == name { bytes.replaceSubrange(1000..<1002, with: [0x80, 0x7F]) }
            changed.append((info.name, info.dtype, info.shape, bytes))
        }
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(changed, metadata: ["format": "pt"], to: path + "/model.safetensors")
        for format in [QuantisationOptions.Format.nvfp4, .fp8Block, .int4(group: 64)] {
            let made = try Checkpoint(at: path).quantised(QuantisationOptions(format))
            let error = await #expect(throws: CheckpointError.self) { try await made.write(to: folder.path + "/out") }
            #expect(error?.tensor == name && error?.code == .incompatible)
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
        }
    }

    @Test("Scales of F32 and F16 models are in their dtype", arguments: [DType.f32, .f16])
    func scaleTypes(_ dtype: DType) async throws {
        let folder = try TemporaryFolder()
        let source = try Checkpoint(at: Fixtures.model("llama")).converted(to: dtype)
        try await source.quantised(QuantisationOptions(.int4(group: 16))).write(to: folder.path + "/out")
        let scale = try tensors(folder.path + "/out")["model.layers.0.self_attn.q_proj.weight_scale"]
        #expect(scale?.info.dtype == dtype)
    }
}
