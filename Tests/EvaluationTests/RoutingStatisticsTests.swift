import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

/// Against numpy's sums over what transformers' blocks saw (`Tests/Fixtures/statistics/make.py`).
@Suite struct RoutingStatisticsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Both sequences of a fixture as domains of their own.
    private func statistics(_ name: String, threads: Int = 2) throws -> (RoutingStatistics, Decoder) {
        let (decoder, batch) = try fixture(name, threads: threads)
        let observer = try #require(
            RoutingObserver(
                decoder.configuration, domains: ["a", "b"], measuresOutputs: true, decoder.workers))
        for (domain, sequence) in batch.sequences.enumerated() {
            observer.domain = domain
            _ = try decoder.forward(sequence, observer: observer)
        }
        return (observer.statistics, decoder)
    }

    @Test(arguments: ["mixtral", "qwen2-moe"])
    func fileHasTheReferencesNumbers(_ name: String) throws {
        let (statistics, decoder) = try statistics(name)
        let path = folder.path + "/stats.safetensors"
        try statistics.file(layerCount: decoder.configuration.layers, length: 64).write(to: path)
        let found = try SafetensorsFile(path: path)
        let expected = try SafetensorsFile(path: Fixtures.file("statistics/\(name).safetensors"))
        #expect(Set(found.header.tensors.map(\.name)) == Set(expected.header.tensors.map(\.name)))
        for tensor in expected.header.tensors {
            let info = try #require(found.info(tensor.name))
            #expect(info.shape == tensor.shape, "\(tensor.name)")
            let difference = zip(try found.doubles(info), try expected.doubles(tensor)).map { abs($0 - $1) }.max()
            // The sums over logits are of the order of 100.
            #expect((difference ?? 0) <= (tensor.name.hasSuffix("gram") ? 1e-3 : 1e-4), "\(tensor.name)")
        }
    }

    @Test(arguments: ["mixtral", "qwen2-moe"])
    func measuresAreTheReferences(_ name: String) throws {
        let (statistics, _) = try statistics(name)
        let path = Fixtures.file("statistics/measures.json")
        let all = try JSON(parsing: contents(path), file: path).object?[name]?.object
        for (number, layer) in statistics.layers {
            let expected = try #require(all?["\(number)"]?.object)
            let found = layer.measures
            for (key, value) in [
                ("entropy_of_mean_gate", found.entropyOfMeanGate), ("mean_entropy_of_gate", found.meanEntropyOfGate),
                ("entropy_of_load", found.entropyOfLoad), ("load_cv", found.loadVariation),
                ("max_violation", found.maxViolation),
            ] {
                #expect(abs(value - (expected[key]?.double ?? .nan)) <= 1e-5, "\(key) of layer \(number)")
            }
            #expect(found.deadExperts == expected["dead_experts"]?.array?.compactMap(\.int))
        }
    }

    @Test func readerGivesWhatTransformsTake() throws {
        let (statistics, decoder) = try statistics("qwen2-moe")
        let path = folder.path + "/stats.safetensors"
        try statistics.file(layerCount: decoder.configuration.layers, length: 64).write(to: path)
        let file = try ExpertStatisticsFile(path: path)
        #expect(file.domains == ["a", "b"])
        #expect(file.layers == [0, 1])
        #expect(file.experts == 6 && file.topK == 2 && file.layerCount == 2)
        // The reference's: qwen2-moe.safetensors, layers.0.frequency and gate_sum.
        #expect(try file.expertStatistics()[0]?.frequency == [10, 3, 14, 16, 32, 21])
        #expect(abs(try file.gateSums()[0] - 0.749_749_72) < 1e-5)
        #expect(abs(try file.sharedGates()[0] - 0.664_135_1) < 1e-5)
        #expect(try file.meanOutputs()[1]?.count == 6)
        #expect(try file.meanInputs()[1]?.map(\.count) == [32, 32])
        let similarity = try #require(try file.similarity()[0])
        for i in 0..<6 {
            #expect(abs(similarity[i][i] - 1) < 1e-12)
            for j in 0..<6 { #expect(similarity[i][j] == similarity[j][i] && abs(similarity[i][j]) <= 1) }
        }
    }

    @Test func anotherFileIsRefusedByName() throws {
        #expect(throws: SafetensorsError.self) {
            try ExpertStatisticsFile(path: Fixtures.model("mixtral") + "/model.safetensors")
        }
    }

    @Test func threadsChangeNoBit() throws {
        let one = try statistics("mixtral", threads: 1).0.json
        #expect(try statistics("mixtral", threads: 3).0.json == one)
    }

    @Test func aDenseModelHasNone() throws {
        let (decoder, _) = try fixture("llama")
        #expect(RoutingObserver(decoder.configuration, domains: ["a"], decoder.workers) == nil)
    }

    /// Four slots of two experts of four: by hand.
    @Test func measuresByHand() {
        var tally = RoutingTally(experts: 4, hidden: 0)
        tally.add(tokens: 2, routed: [3, 1, 0, 0])
        let measures = RoutingMeasures(tally)
        #expect(measures.share == [1.5, 0.5, 0, 0])
        #expect(measures.maxViolation == 2)
        // Loads 3/4, 1/4, 0, 0: deviation sqrt((1/4 + 0 + 1/16 + 1/16) / 4) over a mean of 1/4.
        #expect(abs(measures.loadVariation - (1.5).squareRoot()) < 1e-12)
        #expect(measures.deadExperts == [2, 3])
        #expect(abs(measures.entropyOfLoad - (0.75 * log(4.0 / 3) + 0.25 * log(4.0))) < 1e-12)
    }
}

/// A fixture's model, and the ids that transformers ran it on.
func fixture(_ name: String, threads: Int = 2, topK: Int? = nil) throws -> (Decoder, TokenBatch) {
    let decoder = try Decoder(
        Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: threads), topK: topK)
    let file = try SafetensorsFile(path: Fixtures.model(name) + "/expected.safetensors")
    let ids = try file.bytes("input_ids").withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }
    return (decoder, TokenBatch(ids: ids.map { Int32($0) }, length: 24))
}

extension TokenBatch {
    /// Each sequence as a batch of its own.
    var sequences: [TokenBatch] {
        (0..<count).map { TokenBatch(ids: Array(ids[$0 * length..<($0 + 1) * length]), length: length) }
    }
}

extension SafetensorsFile {
    /// The values of a tensor of F64, F32 or I64.
    func doubles(_ info: TensorInfo) throws -> [Double] {
        let bytes = try bytes(info.name)
        return bytes.withUnsafeBytes { raw in
            switch info.dtype {
            case .f32:
                (0..<raw.count / 4).map { Double(raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) }
            case .i64:
                (0..<raw.count / 8).map { Double(raw.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)) }
            default: (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
            }
        }
    }
}
