import Checkpoints
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// The checkpoints under Tests/Fixtures/models with what transformers computes for them in F32 (`expected.safetensors`).
@Suite struct GoldenTests {
    @Test(arguments: Fixtures.dense + Fixtures.mixtures)
    func forwardPassGivesTransformersNumbers(_ name: String) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 2))
        try golden.check(decoder)
    }

    @Test(arguments: Fixtures.dense + Fixtures.mixtures)
    func streamedWeightsGiveTheSame(_ name: String) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 1), memory: 1)
        #expect(decoder.isStreamed)
        try golden.check(decoder)
    }

    @Test(arguments: Fixtures.dense + Fixtures.mixtures, [false, true])
    func backwardPassGivesTransformersGradients(_ name: String, checkpoints: Bool) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 2))
        let parameters = try decoder.train { !$0.kind.isUntrained }
        let tape = try decoder.forwardKeeping(golden.batch, checkpoints: checkpoints)
        let predictions = golden.batch.count * (golden.batch.length - 1)
        let (_, slope) = try decoder.lossesBackward(tape.states, golden.batch, scale: 1 / Float(predictions))
        try decoder.backward(tape, slope)
        let gradients = try decoder.namedGradients(parameters)
        let names = Set(gradients.map(\.name))
        var compared = 0
        for name in golden.names where name.hasPrefix("grad.") {
            // A correction bias has no gradient; where a family calls it otherwise, the file has the bias itself. An
            // indexer that selects everything has none either.
            if Self.hasNoGradient(name) { continue }
            #expect(names.contains(String(name.dropFirst(5))))
        }
        for (name, _, values) in gradients {
            // transformers' models have no biases that their configuration does not ask for.
            guard let expected = try golden.values("grad.\(name)") else { continue }
            #expect(relativeDifference(values, expected) <= golden.gradientTolerance, "\(name)")
            compared += 1
        }
        let stated = golden.names.count {
            $0.hasPrefix("grad.") && !Self.hasNoGradient($0)
        }
        #expect(compared > 0 && compared >= stated)
    }

    private static func hasNoGradient(_ name: String) -> Bool {
        name.hasSuffix(".expert_bias") || name.contains(".indexer.") || name.hasSuffix(".layer_scalar")
    }

    /// The same gradients, one parameter at a time, by central differences of the loss in F64 sums.
    @Test(arguments: ["llama", "gemma2", "gpt-oss", "deepseek-v3", "qwen2-moe"])
    func gradientsAreTheSlopesOfTheLoss(_ name: String) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 1))
        let parameters = try decoder.train { $0.kind != .routerCorrectionBias }
        let tape = try decoder.forwardKeeping(golden.batch)
        let (_, slope) = try decoder.lossesBackward(tape.states, golden.batch, scale: 1)
        try decoder.backward(tape, slope)
        func loss() throws -> Double {
            try decoder.losses(decoder.forward(golden.batch), golden.batch).reduce(0) { $0 + Double($1) }
        }
        var generator = SeededGenerator(seed: 1)
        for parameter in parameters where parameter.role.kind.rawValue.contains("o") || parameter.count < 100 {
            let largest = (0..<parameter.count).max {
                abs(parameter.gradient.values[$0]) < abs(parameter.gradient.values[$1])
            }
            guard let index = largest, abs(parameter.gradient.values[index]) > 0.5, generator.next() % 3 == 0 else {
                continue
            }
            let value = parameter.values.values[index]
            let step: Float = 2e-3
            parameter.values.values[index] = value + step
            let above = try loss()
            parameter.values.values[index] = value - step
            let below = try loss()
            parameter.values.values[index] = value
            let slope = (above - below) / Double(2 * step)
            let found = Double(parameter.gradient.values[index])
            #expect(abs(slope - found) <= 0.05 * abs(found) + 0.05, "\(parameter.role) \(index)")
        }
    }

    @Test func resultsDoNotDependOnThreads() throws {
        let golden = try Golden("mixtral")
        var found: [[Float]] = []
        for threads in [1, 2, 3] {
            let decoder = try Decoder(
                Checkpoint(at: Fixtures.model("mixtral")), workers: Workers(threads: threads))
            found.append(try decoder.forward(golden.batch).array)
        }
        #expect(found[0] == found[1])
        #expect(found[0] == found[2])
    }
}

/// What transformers computed for a fixture.
struct Golden {
    private let file: SafetensorsFile
    let batch: TokenBatch
    /// How far outputs may be from transformers' F32 numbers, where the largest is above one of it.
    let tolerance: Float = 1e-4
    let gradientTolerance: Double

    init(_ name: String) throws {
        gradientTolerance = Fixtures.gradientTolerance(name)
        file = try SafetensorsFile(path: Fixtures.model(name) + "/expected.safetensors")
        let ids = try file.bytes("input_ids").withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }
        batch = TokenBatch(ids: ids.map { Int32($0) }, length: 24)
    }

    var names: [String] { file.header.tensors.map(\.name) }

    func values(_ name: String) throws -> [Float]? {
        guard file.info(name) != nil else { return nil }
        return try file.bytes(name).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    /// The largest difference, divided by the largest value where that is above one.
    private func difference(_ found: [Float], _ expected: [Float]?) -> Float {
        largestDifference(found, expected) / max(1, expected?.map(abs).max() ?? 1)
    }

    func check(_ decoder: Decoder) throws {
        let recorder = Recorder()
        let states = try decoder.forward(batch, observer: recorder)
        #expect(try decoder.forward(batch).array == states.array, "nobody watching changes nothing")
        #expect(recorder.streams.count == names.count { $0.hasPrefix("hidden.") } - 1)
        #expect(recorder.routers.count >= names.count { $0.hasPrefix("router_logits.") })
        for (layer, stream) in recorder.streams.enumerated() {
            #expect(difference(stream, try values("hidden.\(layer)")) <= tolerance, "hidden.\(layer)")
        }
        #expect(difference(states.array, try values("hidden.final")) <= tolerance, "hidden.final")
        for (index, logits) in recorder.routers.enumerated() {
            guard let expected = try values("router_logits.\(index)") else { continue }
            #expect(difference(logits, expected) <= tolerance, "router_logits.\(index)")
        }
        let logits = try decoder.logits(states.span)
        #expect(difference(logits.array, try values("logits")) <= tolerance, "logits")
        let losses = try decoder.losses(states, batch)
        let loss = losses.reduce(0, +) / Float(losses.count)
        #expect(difference([loss], try values("loss")) <= tolerance, "loss")
    }
}

private final class Recorder: ForwardObserver {
    var streams: [[Float]] = []
    var routers: [[Float]] = []

    func enters(_ layer: Int, _ stream: Matrix) { streams.append(stream.array) }
    func routed(_ record: MixtureRecord) { routers.append(record.decision.logits.array) }
}
