import CPlatform
import Checkpoints
import Glibc
import Numerics
import Safetensors

/// Rotary position embeddings (Su et al. 2021, 2104.09864) and the ways to stretch them.
package struct RotaryEmbedding: Sendable {
    /// Values of a head that are rotated.
    package let dimension: Int
    /// Whether pairs are neighbours instead of halves of the head.
    package var isInterleaved = false
    /// The factor on sines and cosines.
    package let magnitude: Float
    /// What latent attention multiplies its scores by where the context is stretched.
    package let latentScale: Float

    /// How queries grow with their position; nil for not at all.
    package var temperature: Temperature?

    private let theta: Double
    private let scaling: Scaling
    /// The length beyond which `dynamic` stretches.
    private let maximumLength: Double

    /// Queries at position p are multiplied by `1 + beta * ln(1 + floor((p + offset) / length))`, so that attention stays
    /// as sharp over long texts (Nakanishi 2025, 2501.19399, as Llama 4 and Ministral 3 have it).
    package struct Temperature: Sendable {
        let beta: Double
        let length: Double
        let offset: Int

        func factor(_ position: Int) -> Float {
            Float(1 + beta * log(1 + (Double(position + offset) / length).rounded(.down)))
        }
    }

    private enum Scaling: Sendable {
        case none
        case linear(factor: Double)
        /// NTK-aware: the base grows with the length.
        case dynamic(factor: Double)
        case llama3(factor: Double, low: Double, high: Double, original: Double)
        /// Interpolation by frequency (Peng et al. 2023, 2309.00071); the frequencies do not depend on the length.
        case yarn(factor: Double, low: Double, high: Double)
    }

    /// No rotation: attention without positions.
    init(withoutPositions temperature: Temperature?) {
        dimension = 0
        magnitude = 1
        latentScale = 1
        theta = 1
        scaling = .none
        maximumLength = 1
        self.temperature = temperature
    }

    /// - Parameters:
    ///   - parameters: `rope_type`, `rope_theta` and what the type needs.
    ///   - dimension: values of a head that have a position.
    ///   - allowsPartial: whether the family rotates only `partial_rotary_factor` of them.
    /// - Throws: `CheckpointError` for numbers that give no frequencies, and types that are not computed.
    init(_ description: ModelDescription, _ parameters: JSONObject, dimension: Int, allowsPartial: Bool) throws {
        let config = description.config
        func number(_ key: String) throws -> Double? {
            guard let value = parameters[key], !value.isNull else { return nil }
            guard let number = value.double, number.isFinite else {
                throw config.failure(.malformed, "rope \(key) must be a number, found \(escaped(value.serialized()))")
            }
            return number
        }
        func positive(_ key: String) throws -> Double {
            guard let value = try number(key) else { throw config.failure(.malformed, "rope \(key) is missing") }
            guard value > 0 else { throw config.failure(.malformed, "rope \(key) is \(value), and must be positive") }
            return value
        }
        let part = try number("partial_rotary_factor") ?? 1
        guard part > 0, part <= 1 else {
            throw config.failure(.malformed, "partial_rotary_factor is \(part), and must be above 0 and at most 1")
        }
        guard part == 1 || allowsPartial else {
            throw config.failure(
                .incompatible, "partial_rotary_factor is \(part), and \(description.architecture.modelType) rotates all"
            )
        }
        self.dimension = Int(Double(dimension) * part)
        guard self.dimension >= 2, self.dimension % 2 == 0 else {
            throw config.failure(
                .malformed, "rotary embeddings need an even number of values, and \(self.dimension) are rotated")
        }
        theta = try parameters["rope_theta"] == nil ? 10_000 : positive("rope_theta")
        maximumLength = try config.double("max_position_embeddings", description.architecture) ?? 2048
        guard maximumLength >= 1 else {
            throw config.failure(.malformed, "max_position_embeddings is \(maximumLength), and must be positive")
        }
        var magnitude = 1.0
        var latentScale = 1.0
        func mscale(_ scale: Double, _ factor: Double) -> Double { scale <= 1 ? 1 : 0.1 * factor * log(scale) + 1 }
        let type = parameters["rope_type"]?.string ?? "default"
        switch type {
        case "default": scaling = .none
        case "linear": scaling = .linear(factor: try positive("factor"))
        case "dynamic":
            guard self.dimension > 2 else { throw config.failure(.malformed, "dynamic rope needs heads of 4 or more") }
            scaling = .dynamic(factor: try positive("factor"))
        case "llama3":
            let (low, high) = (try positive("low_freq_factor"), try positive("high_freq_factor"))
            guard high > low else {
                throw config.failure(.malformed, "rope high_freq_factor must be above low_freq_factor")
            }
            scaling = .llama3(
                factor: try positive("factor"), low: low, high: high,
                original: try positive("original_max_position_embeddings"))
        case "yarn":
            let original = try positive("original_max_position_embeddings")
            let factor = try number("factor") == nil ? maximumLength / original : positive("factor")
            let all = try number("mscale_all_dim") ?? 0
            if let stated = try number("attention_factor") {
                magnitude = stated
            } else if let mine = try number("mscale"), mine != 0, all != 0 {
                magnitude = mscale(factor, mine) / mscale(factor, all)
            } else {
                magnitude = mscale(factor, 1)
            }
            if all != 0 { latentScale = mscale(factor, all) * mscale(factor, all) }
            if let beta = try number("llama_4_scaling_beta"), beta != 0 {
                temperature = Temperature(beta: beta, length: original, offset: 0)
            }
            let size = Double(self.dimension)
            let base = theta
            guard base != 1 else { throw config.failure(.malformed, "rope_theta is 1, which gives one frequency") }
            func edge(_ rotations: Double) -> Double {
                size * log(original / (rotations * 2 * .pi)) / (2 * log(base))
            }
            let fast = try number("beta_fast") ?? 0
            let slow = try number("beta_slow") ?? 0
            var (low, high) = (edge(fast > 0 ? fast : 32), edge(slow > 0 ? slow : 1))
            if parameters["truncate"]?.bool ?? true { (low, high) = (low.rounded(.down), high.rounded(.up)) }
            (low, high) = (max(low, 0), min(high, size - 1))
            scaling = .yarn(factor: factor, low: low, high: low == high ? high + 0.001 : high)
        default:
            throw config.failure(
                .incompatible,
                "rope_type is \(escaped(type)), and moe-tool computes default, linear, dynamic, llama3 and yarn")
        }
        self.magnitude = Float(magnitude)
        self.latentScale = Float(latentScale)
        // What is left may still overflow: no frequency may be infinite or NaN.
        guard frequencies(length: 1).allSatisfy({ $0.isFinite }), magnitude.isFinite, latentScale.isFinite else {
            throw config.failure(.malformed, "the rope parameters give frequencies that are not finite")
        }
    }

    /// The angle per position of each pair, for a sequence of that length.
    func frequencies(length: Int) -> [Float] {
        var base = theta
        if case .dynamic(let factor) = scaling {
            let size = Double(dimension)
            let stretched = max(Double(length), maximumLength)
            base *= pow(factor * stretched / maximumLength - (factor - 1), size / (size - 2))
        }
        // In F32, as the reference computes them: the angle of a late position has few digits to lose.
        return (0..<dimension / 2).map { pair in
            let power = Float(pow(Double(Float(base)), Double(Float(2 * pair) / Float(dimension))))
            let plain = 1 / power
            switch scaling {
            case .none, .dynamic: return plain
            case .linear(let factor): return plain / Float(factor)
            case .llama3(let factor, let low, let high, let original):
                let wave = 2 * Float.pi / plain
                if wave < Float(original / high) { return plain }
                if wave > Float(original / low) { return plain / Float(factor) }
                let smooth = (Float(original) / wave - Float(low)) / Float(high - low)
                return (1 - smooth) * plain / Float(factor) + smooth * plain
            case .yarn(let factor, let low, let high):
                let ramp = min(max((Float(pair) - Float(low)) / Float(high - low), 0), 1)
                return 1 / (Float(factor) * power) * ramp + plain * (1 - ramp)
            }
        }
    }

    /// Cosines and sines of positions `start ..< start + count`, `[count, dimension / 2]` each.
    func table(from start: Int, count: Int) -> RotaryTable {
        let angles = frequencies(length: start + count)
        let pairs = dimension / 2
        let table = RotaryTable(
            cosines: Matrix(rows: count, columns: pairs), sines: Matrix(rows: count, columns: pairs),
            isInterleaved: isInterleaved,
            queryFactors: temperature.map { temperature in (start..<start + count).map { temperature.factor($0) } })
        for position in 0..<count {
            for pair in 0..<pairs {
                let angle = Float(start + position) * angles[pair]
                table.cosines[position, pair] = cosf(angle) * magnitude
                table.sines[position, pair] = sinf(angle) * magnitude
            }
        }
        return table
    }
}

/// Sines and cosines of a range of positions.
struct RotaryTable {
    let cosines: Matrix
    let sines: Matrix
    let isInterleaved: Bool
    /// The factor on each position's queries; nil for none.
    let queryFactors: [Float]?

    /// Rotates the first values of each of `heads` parts of a row, which lie `stride` apart, by the row's position; back
    /// with `sign` -1 (times the magnitude, as the gradient asks for).
    func rotate(_ row: UnsafeMutablePointer<Float>, position: Int, heads: Int, stride: Int, sign: Float = 1) {
        guard cosines.columns > 0 else { return }
        for head in 0..<heads {
            ctransformer_rotate(
                row + head * stride, cosines.row(position), sines.row(position), cosines.columns, sign,
                isInterleaved ? 1 : 0)
        }
    }
}

/// The tables of a pass: one for each way that layers rotate.
struct RotaryTables {
    let tables: [RotaryTable]
    let ofLayer: [Int]

    subscript(layer: Int) -> RotaryTable { tables[ofLayer[layer]] }
}
