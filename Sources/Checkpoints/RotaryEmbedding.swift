import Glibc
import Safetensors

/// Rotary position embeddings (Su et al. 2021, 2104.09864) and the ways to stretch them.
package struct RotaryEmbedding: Sendable, Hashable {
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

    let theta: Double
    let scaling: Scaling
    /// The length beyond which `dynamic` stretches.
    private let maximumLength: Double

    /// Queries at position p are multiplied by `1 + beta * ln(1 + floor((p + offset) / length))`, so that attention stays
    /// as sharp over long texts (Nakanishi 2025, 2501.19399, as Llama 4 and Ministral 3 have it).
    package struct Temperature: Sendable, Hashable {
        let beta: Double
        let length: Double
        let offset: Int

        package func factor(_ position: Int) -> Float {
            Float(1 + beta * log(1 + (Double(position + offset) / length).rounded(.down)))
        }

        var summary: String {
            "queries grow by \(canonicalText(beta)) every \(canonicalText(length)) from \(offset)"
        }
    }

    enum Scaling: Sendable, Hashable {
        case none
        case linear(factor: Double)
        /// NTK-aware: the base grows with the length.
        case dynamic(factor: Double)
        /// NTK-aware with a base that does not depend on the length.
        case alpha(Double)
        /// Each frequency has a factor of its own, another for sequences beyond a length (Ding et al. 2024, 2402.13753).
        case longrope(short: [Float], long: [Float], beyond: Double)
        case llama3(factor: Double, low: Double, high: Double, original: Double)
        /// Only the first pairs are rotated, at the frequencies that they have among all.
        case proportional(factor: Double, pairs: Int)
        /// Interpolation by frequency (Peng et al. 2023, 2309.00071); the frequencies do not depend on the length.
        case yarn(factor: Double, low: Double, high: Double)
        /// One that is not computed here, with its numbers.
        case other(String)
    }

    /// What stretches the embedding, where that is not computed here; nil where it is.
    package var uncomputedType: String? {
        guard case .other(let text) = scaling else { return nil }
        return text
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
    /// - Throws: `CheckpointError` for numbers that give no frequencies.
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
        let stated = parameters["rope_type"]?.string ?? "default"
        let rules = description.architecture.computation
        let type = rules["ropeTypes"]?.object?[stated]?.string ?? stated
        let isProportional = type == "proportional"
        guard part == 1 || allowsPartial || isProportional else {
            throw config.failure(
                .uncomputed, "partial_rotary_factor is \(part), and \(description.architecture.modelType) rotates all"
            )
        }
        self.dimension = isProportional ? dimension : Int(Double(dimension) * part)
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
        let length = maximumLength
        /// As transformers has it: beside the rope parameters (phi3), in them, or the length that the model is made for.
        func original() throws -> Double {
            let key = "original_max_position_embeddings"
            if let stated = try config.double(key, description.architecture) {
                guard stated >= 1 else { throw config.failure(.malformed, "\(key) is \(stated), and must be positive") }
                return stated
            }
            return try number(key) == nil ? length : positive(key)
        }
        let pairs = self.dimension / 2
        func factors(_ key: String) throws -> [Float] {
            guard let values = parameters[key]?.array?.map({ $0.double ?? 0 }), values.count == pairs,
                values.allSatisfy({ $0 > 0 && $0.isFinite })
            else {
                throw config.failure(
                    .malformed,
                    "rope \(key) must be a list of \(pairs) positive numbers, one for each pair that is rotated")
            }
            return values.map { Float($0) }
        }
        switch type {
        case "default": scaling = .none
        case "proportional":
            scaling = .proportional(
                factor: try number("factor") == nil ? 1 : positive("factor"), pairs: Int(part * Double(dimension) / 2))
        case "linear":
            let factor = try positive("factor")
            scaling = factor == 1 ? .none : .linear(factor: factor)
        case "dynamic":
            guard self.dimension > 2 else { throw config.failure(.malformed, "dynamic rope needs heads of 4 or more") }
            if rules["ropeAlpha"]?.bool == true, let alpha = try number("alpha"), alpha != 0 {
                scaling = .alpha(try positive("alpha"))
                break
            }
            scaling = .dynamic(factor: try positive("factor"))
        case "longrope":
            let (short, long) = (try factors("short_factor"), try factors("long_factor"))
            let original = try original()
            let factor = try number("factor") == nil ? length / original : positive("factor")
            magnitude =
                try number("attention_factor") ?? (factor <= 1 ? 1 : (1 + log(factor) / log(original)).squareRoot())
            scaling = .longrope(short: short, long: long, beyond: original)
        case "llama3":
            let (low, high) = (try positive("low_freq_factor"), try positive("high_freq_factor"))
            guard high > low else {
                throw config.failure(.malformed, "rope high_freq_factor must be above low_freq_factor")
            }
            scaling = .llama3(
                factor: try positive("factor"), low: low, high: high,
                original: try original())
        case "yarn":
            let original = try original()
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
            var all = parameters
            for key in ["max_position_embeddings", "original_max_position_embeddings"] where all[key] == nil {
                all[key] = try config.value(key, description.architecture)
            }
            scaling = .other(Self.text(type, all))
        }
        if let beta = try number("llama_4_scaling_beta"), beta != 0 {
            temperature = Temperature(beta: beta, length: try original(), offset: 0)
        }
        self.magnitude = Float(magnitude)
        self.latentScale = Float(latentScale)
        // What is left may still overflow: no frequency may be infinite or NaN.
        guard frequencies(length: 1).allSatisfy({ $0.isFinite }),
            frequencies(length: 1 << 30).allSatisfy({ $0.isFinite }), magnitude.isFinite, latentScale.isFinite
        else {
            throw config.failure(.malformed, "the rope parameters give frequencies that are not finite")
        }
    }

    /// A type that is not computed and its numbers, the same for the same meaning.
    private static func text(_ type: String, _ parameters: JSONObject) -> String {
        let rest = parameters.keys.filter { $0 != "rope_type" && $0 != "rope_theta" }.sorted()
        return ([type] + rest.map { "\($0) \((parameters[$0] ?? .null).canonicalText)" }).joined(separator: ", ")
    }

    /// In words: equal for equal functions.
    package var summary: String {
        guard dimension > 0 else { return temperature.map { "no positions, \($0.summary)" } ?? "no positions" }
        var parts = ["theta \(canonicalText(theta))"]
        switch scaling {
        case .none: break
        case .linear(let factor): parts.append("linear, factor \(canonicalText(factor))")
        case .alpha(let alpha): parts.append("base stretched by \(canonicalText(alpha))")
        case .longrope(let short, let long, let length):
            let lists = [short, long].map { $0.map { canonicalText($0) }.joined(separator: " ") }
            parts.append(
                "longrope, factors \(lists[0]), beyond \(canonicalText(length)) \(lists[1]), "
                    + "magnitude \(canonicalText(Double(magnitude)))")
        case .proportional(let factor, let pairs):
            parts.append("the first \(pairs) pairs, factor \(canonicalText(factor))")
        case .dynamic(let factor):
            parts.append("dynamic, factor \(canonicalText(factor)) beyond \(canonicalText(maximumLength))")
        case .llama3(let factor, let low, let high, let original):
            let numbers = [factor, low, high, original].map { canonicalText($0) }
            parts.append("llama3, factors \(numbers.prefix(3).joined(separator: ", ")) of \(numbers[3])")
        case .yarn(let factor, let low, let high):
            parts.append(
                "yarn, factor \(canonicalText(factor)) from \(canonicalText(low)) to \(canonicalText(high)), "
                    + "magnitude \(canonicalText(Double(magnitude)))")
        case .other(let text): parts.append(text)
        }
        parts.append("\(dimension) values\(isInterleaved ? ", interleaved" : "")")
        if let temperature { parts.append(temperature.summary) }
        return parts.joined(separator: ", ")
    }

    /// Whether a sequence that grew from one length to another has other frequencies, also where it was.
    package func changes(from length: Int, to longer: Int) -> Bool {
        guard case .longrope(_, _, let original) = scaling else { return false }
        return (Double(length) > original) != (Double(longer) > original)
    }

    /// The angle per position of each pair, for a sequence of that length.
    package func frequencies(length: Int) -> [Float] {
        var base = theta
        if case .dynamic(let factor) = scaling {
            let size = Double(dimension)
            let stretched = max(Double(length), maximumLength)
            base *= pow(factor * stretched / maximumLength - (factor - 1), size / (size - 2))
        }
        if case .alpha(let alpha) = scaling {
            let size = Double(dimension)
            base *= pow(alpha, size / (size - 2))
        }
        // In F32, as the reference computes them: the angle of a late position has few digits to lose.
        return (0..<dimension / 2).map { pair in
            let power = Float(pow(Double(Float(base)), Double(Float(2 * pair) / Float(dimension))))
            let plain = 1 / power
            switch scaling {
            case .none, .dynamic, .alpha, .other: return plain
            case .longrope(let short, let long, let original):
                return 1 / ((Double(length) > original ? long : short)[pair] * power)
            case .linear(let factor): return plain / Float(factor)
            case .proportional(let factor, let pairs): return pair < pairs ? plain / Float(factor) : 0
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
}
