import Glibc

/// How long a model takes on a number of devices.
package protocol LatencyModel: Sendable {
    /// Seconds in which the prompts of so many requests are read; nil where it is not known.
    func prefill(requests: Double, devices: Int) -> Double?
    /// Seconds in which so many requests get their next token.
    func decode(batch: Double, devices: Int) -> Double?
    /// The largest batch there is a latency for.
    func largestBatch(devices: Int) -> Double
}

/// What a served model and its requests are.
package struct ServedModel: Sendable, Hashable {
    package var sizes: ModelSizes
    package var bytesPerParameter: Double
    /// Bytes of keys and values of a token.
    package var keyValueBytes: Double
    /// p: tokens of a prompt, on average.
    package var promptTokens: Double
    /// n: tokens of an answer, on average.
    package var outputTokens: Double

    package init(
        sizes: ModelSizes, bytesPerParameter: Double = 2, keyValueBytes: Double? = nil, promptTokens: Double,
        outputTokens: Double
    ) {
        self.sizes = sizes
        self.bytesPerParameter = bytesPerParameter
        self.keyValueBytes = keyValueBytes ?? sizes.keyValueElements * bytesPerParameter
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
    }

    package var weightBytes: Double { sizes.total * bytesPerParameter }

    /// Keys and values of a request, on average over the time it is served: (p + n/2) tokens of them, 2 h l elements each,
    /// which is (2p + n) h l; and what layers without attention keep of it.
    package var requestBytes: Double {
        (promptTokens + outputTokens / 2) * keyValueBytes + sizes.stateElements * bytesPerParameter
    }
}

/// The time that the slower of memory and arithmetic takes, where nothing is measured.
///
/// Weights are spread over the devices and read once in a step, of experts those that the batch is expected to use; the
/// keys and values of every request are read too. The devices add up what each has of every attention and every dense
/// feed-forward network (an all-reduce of the tokens' states: tensor parallelism) and send tokens to the experts that they
/// are routed to and back (two all-to-alls of K states a token: expert parallelism), after the work and not during it.
package struct Roofline: LatencyModel {
    package let hardware: Hardware
    package let model: ServedModel

    package init(hardware: Hardware, model: ServedModel) {
        self.hardware = hardware
        self.model = model
    }

    package func prefill(requests: Double, devices: Int) -> Double? {
        // Less than a request a step is one every few steps.
        let whole = max(requests, 1)
        let tokens = whole * model.promptTokens
        let bytes = model.sizes.parametersRead(tokens: tokens) * model.bytesPerParameter
        return seconds(bytes: bytes, tokens: tokens, devices: devices) * min(requests, 1)
    }

    package func decode(batch: Double, devices: Int) -> Double? {
        let weights = model.sizes.parametersRead(tokens: batch) * model.bytesPerParameter
        return seconds(bytes: weights + batch * model.requestBytes, tokens: batch, devices: devices)
    }

    package func largestBatch(devices: Int) -> Double { .infinity }

    private func seconds(bytes: Double, tokens: Double, devices count: Int) -> Double {
        let devices = Double(count)
        let reading = bytes / (hardware.bytesPerSecond * hardware.bandwidthShare * devices)
        let arithmetic =
            tokens * model.sizes.inferenceFLOPs / (hardware.flopsPerSecond * hardware.flopsShare * devices)
        return max(reading, arithmetic) + communication(tokens: tokens, devices: count)
    }

    /// Seconds in which the devices exchange the states of a step's tokens.
    package func communication(tokens: Double, devices: Int) -> Double {
        let sizes = model.sizes
        let states = tokens * sizes.width * Self.stateBytes
        let sums = 2 * sizes.layers - sizes.mixtureLayers
        return sums * hardware.links.allReduce(bytes: states, devices: devices)
            + 2 * sizes.mixtureLayers * hardware.links.allToAll(bytes: states * sizes.selected, devices: devices)
    }

    /// Of a number of a token's state, which stays in 16 bits where weights have fewer.
    private static let stateBytes = 2.0
}
