import Foundation

/// A folder that is removed with its last reference.
public final class TemporaryFolder: Sendable {
    /// Where it is.
    public let path: String

    /// Makes a folder of its own.
    public init() throws {
        path = NSTemporaryDirectory() + "moe-tool-tests-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file in the folder and gives its path.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let target = path + "/" + name
        try Data(bytes).write(to: URL(fileURLWithPath: target))
        return target
    }

    /// Copies a folder of fixtures into this one.
    public func copy(_ source: String, as name: String) throws -> String {
        let target = path + "/" + name
        try FileManager.default.copyItem(atPath: source, toPath: target)
        return target
    }

    /// The names of everything in the folder.
    public var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

/// The checkpoints under Tests/Fixtures/models: tiny, made by transformers with random weights.
public enum Fixtures {
    /// The folder of a checkpoint.
    public static func model(_ name: String) -> String { file("models/\(name)") }

    /// A file or folder under Tests/Fixtures.
    public static func file(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/\(name)").path
    }

    /// How far gradients may be from transformers' F32 ones, of their norm.
    ///
    /// The norm of each head of a Gated DeltaNet divides by what may be a ten-thousandth of the terms it is the sum of: in
    /// layer 0 of qwen3-5-text its root mean square is 3.6e-5 where the terms are 0.3. The gradients of qwen3-next differ
    /// from those that transformers computes in F64 by up to 1.1e-4 of their norm where it computes in F32, and by up to
    /// 5.0e-4 here; those of qwen3-5-text by 4.4e-5 and 6.1e-5.
    public static func gradientTolerance(_ name: String) -> Double { name == "qwen3-next" ? 5e-4 : 1e-4 }

    /// Dense checkpoints of all families.
    public static let dense = [
        "llama", "llama3-rope", "mistral", "qwen2-tied", "qwen3", "olmo2", "granite", "deepseek-v3-dense", "gemma2",
        "phi3", "glm4", "seed-oss", "olmo3", "gemma3-text", "ministral3", "smollm3", "exaone4", "ernie4-5",
        "hunyuan-v1-dense", "cohere2", "gemma3-vision", "mistral3-vision",
        "lfm2", "qwen3-5-text", "olmo", "arcee", "gemma", "phi3-longrope",
    ]
    /// Mixtures of all families.
    public static let mixtures = [
        "mixtral", "mixtral-top1", "qwen2-moe", "qwen2-moe-step2", "qwen3-moe", "olmoe", "flex-olmo", "granitemoe",
        "phimoe", "deepseek-v2", "deepseek-v3", "gpt-oss", "glm4-moe", "glm4-moe-lite", "minimax-m2", "dots1",
        "solar-open", "hy-v3", "granitemoeshared", "granitemoehybrid-attention", "afmoe", "exaone-moe",
        "ernie4-5-moe", "hunyuan-v1-moe", "llama4-text", "deepseek-v32",
        "lfm2-moe", "qwen3-next", "qwen3-5-moe-text", "granitemoehybrid-mamba", "nemotron-h", "gemma4-text",
        "gemma4-wide", "cohere2-moe",
    ]
}

/// The bytes of hexadecimal digits.
public func bytes(hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// The bytes of a file.
public func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }
