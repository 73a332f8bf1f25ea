import Checkpoints
import Glibc
import Safetensors

/// What serving a model costs, by the model of Yun et al. 2024 (2404.02852, section 5).
///
///     b = (G M₀ − N_m) / ((2p + n) h l)            the largest batch, all in the same unit
///     t = L_prefill(b / n, G) + L_decode(b, G)     an iteration: b / n new requests, and a token for each of b
///     T = b / t                                    tokens a second
///     C = G C₀ / T                                 dollars a token; the model's is that of the cheapest G
package struct ServingPlan: Sendable {
    package let hardware: Hardware
    /// Measured latencies; nil for a roofline.
    package let latencies: LatencyTable?
    /// The largest G.
    package let largestDeviceCount: Int
    /// The largest b that the server is given.
    package let largestBatch: Double?

    package init(
        hardware: Hardware, latencies: LatencyTable? = nil, largestDeviceCount: Int = 8, largestBatch: Double? = nil
    ) {
        self.hardware = hardware
        self.latencies = latencies
        self.largestDeviceCount = largestDeviceCount
        self.largestBatch = largestBatch
    }

    /// One number of devices.
    package struct Estimate: Sendable, Hashable {
        package let devices: Int
        /// b.
        package let batch: Double
        /// Of an iteration, the part that reads prompts and the part that makes tokens.
        package let prefillSeconds: Double
        package let decodeSeconds: Double
        /// Of both, what devices spend on sending to one another; nil where latencies are measured, and hold it.
        package let communicationSeconds: Double?
        /// Until the first token of a request that comes alone.
        package let firstTokenSeconds: Double
        /// T, of all devices.
        package let tokensPerSecond: Double
        package let dollarsPerMillionTokens: Double
        /// What the memory of all devices holds.
        package let memoryBytes: Double
        package let keyValueBytes: Double
    }

    /// The numbers of devices on which the model fits, and for which there are latencies.
    package func estimates(_ model: ServedModel) -> [Estimate] {
        guard largestDeviceCount >= 1 else { return [] }
        let latency: any LatencyModel =
            latencies?.of(parameters: model.sizes.total) ?? Roofline(hardware: hardware, model: model)
        return (1...largestDeviceCount).compactMap { estimate(model, latency, devices: $0) }
    }

    private func estimate(_ model: ServedModel, _ latency: any LatencyModel, devices: Int) -> Estimate? {
        let memory = Double(devices) * hardware.memoryBytes * hardware.memoryShare
        var batch = ((memory - model.weightBytes) / model.requestBytes).rounded(.down)
        batch = min(batch, latency.largestBatch(devices: devices), largestBatch ?? .infinity)
        guard batch >= 1, batch.isFinite else { return nil }
        guard let prefill = latency.prefill(requests: batch / model.outputTokens, devices: devices),
            let decode = latency.decode(batch: batch, devices: devices),
            let first = latency.prefill(requests: 1, devices: devices)
        else { return nil }
        let throughput = batch / (prefill + decode)
        let communication = (latency as? Roofline).map { roofline in
            roofline.communication(tokens: batch, devices: devices)
                + roofline.communication(
                    tokens: max(batch / model.outputTokens, 1) * model.promptTokens, devices: devices)
                * min(batch / model.outputTokens, 1)
        }
        return Estimate(
            devices: devices, batch: batch, prefillSeconds: prefill, decodeSeconds: decode,
            communicationSeconds: communication, firstTokenSeconds: first,
            tokensPerSecond: throughput,
            dollarsPerMillionTokens: Double(devices) * hardware.dollarsPerHour / 3600 / throughput * 1e6,
            memoryBytes: memory, keyValueBytes: batch * model.requestBytes)
    }

    /// The cheapest number of devices; nil where none will do.
    package func cheapest(_ model: ServedModel) -> Estimate? { Self.cheapest(estimates(model)) }

    /// The cheapest of some estimates: of those that cost the same, that with the fewest devices.
    package static func cheapest(_ estimates: [Estimate]) -> Estimate? {
        guard let least = estimates.map(\.dollarsPerMillionTokens).min() else { return nil }
        return estimates.filter { $0.dollarsPerMillionTokens <= least * (1 + 1e-9) }.min { $0.devices < $1.devices }
    }
}
