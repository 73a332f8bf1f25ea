import Safetensors

extension DecoderConfiguration {
    /// A gated short convolution, of as many channels as the stream has values.
    package struct ShortConvolution: Sendable, Hashable {
        /// Tokens that a token sees, itself among them.
        package let kernel: Int
    }

    /// A Gated DeltaNet. Its projections are queries, keys and values, the gate, strengths and steps, in this order.
    package struct DeltaNet: Sendable, Hashable {
        /// Tokens that the convolution sees.
        package let kernel: Int
        /// Heads of values, and heads of queries and keys, each shared by as many of those.
        package let heads: Int
        package let keyHeads: Int
        package let keyDimension: Int
        package let valueDimension: Int
        /// Whether the rows of the projections are in groups, one for each head of keys.
        package let isGrouped: Bool

        /// Values of all heads of keys, and of all heads of values.
        package var keys: Int { keyHeads * keyDimension }
        package var values: Int { heads * valueDimension }
        /// What goes through the convolution.
        package var channels: Int { 2 * keys + values }
        package var gateColumn: Int { channels }
        package var strengthColumn: Int { gateColumn + values }
        package var stepColumn: Int { strengthColumn + heads }
        package var columns: Int { stepColumn + heads }

        /// Where the parts of a group lie, and where they belong: of each head of keys its query, its key, and the values
        /// and gates of the heads that share it; and in a second matrix their strengths and steps.
        package var groupedRuns: [(grouped: Int, column: Int, count: Int)] {
            let shared = heads / keyHeads
            let width = shared * valueDimension
            var runs: [(grouped: Int, column: Int, count: Int)] = []
            for head in 0..<keyHeads {
                let group = head * 2 * (keyDimension + width)
                runs.append((group, head * keyDimension, keyDimension))
                runs.append((group + keyDimension, keys + head * keyDimension, keyDimension))
                runs.append((group + 2 * keyDimension, 2 * keys + head * width, width))
                runs.append((group + 2 * keyDimension + width, gateColumn + head * width, width))
                let rates = strengthColumn + head * 2 * shared
                runs.append((rates, strengthColumn + head * shared, shared))
                runs.append((rates + shared, stepColumn + head * shared, shared))
            }
            return runs
        }
    }
}

extension DecoderConfiguration {
    /// A Mamba-2 layer. Its projections are the gate, values, keys and queries, and steps, in this order.
    package struct Mamba: Sendable, Hashable {
        /// Tokens that the convolution sees.
        package let kernel: Int
        package let heads: Int
        package let headDimension: Int
        /// Groups of heads that share keys and queries.
        package let groups: Int
        /// Values of a key.
        package let state: Int
        /// The least and the most that a step may be.
        package let leastStep: Float
        package let mostStep: Float

        package var inner: Int { heads * headDimension }
        /// What goes through the convolution.
        package var channels: Int { inner + 2 * groups * state }
        package var mixedColumns: Range<Int> { inner..<inner + channels }
        package var stepColumn: Int { inner + channels }
        package var columns: Int { stepColumn + heads }
        /// Among what went through the convolution.
        package var keyColumn: Int { inner }
        package var queryColumn: Int { inner + groups * state }

        package func limited(_ step: Float) -> Float { min(max(step, leastStep), mostStep) }
    }
}

extension ConfigurationReader {
    func shortConvolution() throws -> DecoderConfiguration.ShortConvolution {
        DecoderConfiguration.ShortConvolution(kernel: try kernel("conv_kernel"))
    }

    func deltaNet() throws -> DecoderConfiguration.DeltaNet {
        let result = DecoderConfiguration.DeltaNet(
            kernel: try kernel("conv_kernel"), heads: try size("linear_heads"), keyHeads: try size("linear_key_heads"),
            keyDimension: try size("linear_key_dim"), valueDimension: try size("linear_value_dim"),
            isGrouped: rules["deltaProjections"]?.string == "grouped")
        guard result.heads % result.keyHeads == 0 else {
            throw failure(
                .incompatible, "\(result.heads) linear value heads cannot share \(result.keyHeads) key heads evenly")
        }
        guard result.heads * result.valueDimension <= Self.maximumSize,
            result.keyHeads * result.keyDimension <= Self.maximumSize
        else {
            throw failure(.malformed, "\(result.heads) linear heads of \(result.valueDimension): no model is like that")
        }
        return result
    }

    func mamba() throws -> DecoderConfiguration.Mamba {
        let (least, most) = try stepLimits()
        let result = DecoderConfiguration.Mamba(
            kernel: try kernel("conv_kernel"), heads: try size("mamba_heads"),
            headDimension: try size("mamba_head_dim"), groups: try size("mamba_groups"),
            state: try size("mamba_state"), leastStep: least, mostStep: most)
        guard result.heads % result.groups == 0 else {
            throw failure(
                .incompatible, "\(result.heads) Mamba heads cannot share \(result.groups) groups of keys evenly")
        }
        guard result.inner <= Self.maximumSize, result.groups * result.state <= Self.maximumSize else {
            throw failure(
                .malformed, "\(result.heads) Mamba heads of \(result.headDimension) values: no model is like that")
        }
        return result
    }

    private func stepLimits() throws -> (least: Float, most: Float) {
        let key = "time_step_limit"
        guard let value = try description.config.value(key, description.architecture) else { return (0, .infinity) }
        guard let limits = value.array, limits.count == 2 else {
            throw failure(.malformed, "\(key) must be two numbers, found \(escaped(value.serialized()))")
        }
        // Infinity is no number in JSON, and transformers writes {"__float__": "Infinity"} for it.
        let isInfinite = limits[1].object?["__float__"]?.string == "Infinity"
        guard let least = limits[0].double, let most = isInfinite ? Double.infinity : limits[1].double, least >= 0,
            least <= most
        else {
            throw failure(
                .malformed,
                "\(key) must be two numbers, the first not above the second, found "
                    + escaped(value.serialized()))
        }
        return (Float(least), Float(most))
    }

    /// The tokens that a convolution sees.
    private func kernel(_ symbol: String) throws -> Int {
        let value = try size(symbol)
        guard value <= 64 else {
            throw failure(.malformed, "\(symbol) is \(value), and no convolution of a model is as long")
        }
        return value
    }
}
