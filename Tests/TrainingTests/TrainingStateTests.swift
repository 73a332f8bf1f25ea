import Checkpoints
import Foundation
import Numerics
import Safetensors
import TestSupport
import Testing
import Training

@Suite("Training state")
struct TrainingStateTests {
    private let folder: TemporaryFolder
    private var path: String { folder.path + "/out.state" }

    init() throws { folder = try TemporaryFolder() }

    private static let options: JSONObject = ["lr": .number("0.001"), "train": "router", "steps": 200]

    private func state(step: Int = 41) -> TrainingState {
        TrainingState(
            step: step, position: [3, 0, 1 << 40], seed: .max, bestLoss: 0.1 + 0.2, evaluationsSinceBest: 2,
            options: Self.options)
    }

    /// An optimiser over two parameters, with a few steps behind it.
    private func optimizer(seed: UInt64, steps: Int) -> AdamW {
        let sizes = [("a", 3, 7), ("b", 1, 5)]
        let random = KeyedRandom(seed: seed, tensor: "state", purpose: "test")
        let optimizer = AdamW(
            sizes.map { OptimizedParameter(name: $0.0, values: Matrix(rows: $0.1, columns: $0.2), decays: true) },
            AdamWOptions())
        for parameter in optimizer.parameters { random.fillNormal(parameter.values.buffer, from: 0) }
        for step in 0..<steps { self.step(optimizer, step) }
        return optimizer
    }

    private func step(_ optimizer: AdamW, _ step: Int) {
        let gradients = optimizer.parameters.map { parameter in
            let gradient = Matrix(rows: parameter.values.rows, columns: parameter.values.columns)
            KeyedRandom(seed: 9, tensor: parameter.name, purpose: "step \(step)").fillNormal(gradient.buffer, from: 0)
            return gradient
        }
        optimizer.step(gradients, learningRate: 1e-2, Workers(threads: 1))
    }

    private func bits(_ optimizer: AdamW) -> [[UInt32]] {
        (optimizer.parameters.map(\.values) + optimizer.firstMoments + optimizer.secondMoments).map {
            $0.array.map(\.bitPattern)
        }
    }

    @Test("What is restored is what was saved, to the bit, and goes on the same")
    func roundTrip() throws {
        let first = optimizer(seed: 1, steps: 5)
        // Bits that a conversion would lose.
        first.parameters[0].values.values[0] = Float(bitPattern: 0x7FC0_1234)
        first.parameters[0].values.values[1] = -0.0
        first.parameters[0].values.values[2] = Float(bitPattern: 1)
        let bias = Matrix(rows: 1, columns: 4, [1, -2, 3, 0.1])
        try state().save(to: path, first, extras: [NamedMatrix(name: "bias", matrix: bias)])
        #expect(folder.names == ["out.state"])

        let saved = try SavedTrainingState(at: path)
        #expect(saved.state == state())
        let second = optimizer(seed: 2, steps: 0)
        let restored = Matrix(zeros: 1, 4)
        try saved.restore(second, extras: [NamedMatrix(name: "bias", matrix: restored)])
        #expect(bits(second) == bits(first))
        #expect(second.stepCount == 5)
        #expect(restored.array == bias.array)
        step(first, 5)
        step(second, 5)
        #expect(bits(second) == bits(first))
    }

    @Test("A state that is saved anew takes the old one's place")
    func replaced() throws {
        let optimizer = optimizer(seed: 1, steps: 1)
        for step in 1...3 { try state(step: step).save(to: path, optimizer) }
        #expect(try SavedTrainingState(at: path).state.step == 3)
        #expect(folder.names == ["out.state"])
    }

    @Test("A save that fails leaves the state before it")
    func failedSave() throws {
        let optimizer = optimizer(seed: 1, steps: 1)
        try state(step: 1).save(to: path, optimizer)
        let before = try contents(path)
        // A folder where the new state would grow cannot be replaced.
        try FileManager.default.createDirectory(atPath: PosixFile.growingPath(path), withIntermediateDirectories: false)
        let error = #expect(throws: CheckpointError.self) { try state(step: 2).save(to: path, optimizer) }
        #expect(error?.code == .io)
        #expect(try contents(path) == before)
    }

    /// MOE_TOOL_SMALL_DISK names a folder on a file system with less than a megabyte, for a run by hand:
    /// `unshare -m sh -c 'mount -t tmpfs -o size=300k tmpfs /mnt && MOE_TOOL_SMALL_DISK=/mnt swift test ...'`.
    @Test(
        "A full disk is an error of I/O, and the state before stays",
        .enabled(if: ProcessInfo.processInfo.environment["MOE_TOOL_SMALL_DISK"] != nil))
    func fullDisk() throws {
        let disk = try #require(ProcessInfo.processInfo.environment["MOE_TOOL_SMALL_DISK"])
        let target = disk + "/out.state"
        let small = AdamW([OptimizedParameter(name: "a", values: Matrix(zeros: 8, 8), decays: true)], AdamWOptions())
        try state(step: 1).save(to: target, small)
        let before = try contents(target)
        let large = AdamW(
            [OptimizedParameter(name: "a", values: Matrix(zeros: 512, 512), decays: true)], AdamWOptions())
        let error = #expect(throws: CheckpointError.self) { try state(step: 2).save(to: target, large) }
        #expect(error?.code == .io)
        #expect(error?.description.contains("No space left on device") == true)
        #expect(try contents(target) == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: disk) == ["out.state"])
    }

    @Test("What a killed save left does not disturb the next")
    func leftover() throws {
        try folder.write(".out.state.moe-tool-partial", [1, 2, 3])
        try state().save(to: path, optimizer(seed: 1, steps: 1))
        #expect(folder.names == ["out.state"])
    }

    @Test("A file that was cut short is refused", arguments: [0, 7, 100, 400, -1])
    func truncated(_ length: Int) throws {
        try state().save(to: path, optimizer(seed: 1, steps: 1))
        let all = try contents(path)
        try folder.write("cut", Array(all.prefix(length < 0 ? all.count + length : length)))
        let error = #expect(throws: CheckpointError.self) { try SavedTrainingState(at: folder.path + "/cut") }
        #expect(error?.code == .malformed)
        #expect(error?.file == folder.path + "/cut")
    }

    @Test("A file of another kind, or with a damaged document, is refused")
    func otherFiles() throws {
        let shape = try Shape([1])
        let documents = [
            nil, "{}", "no JSON", #"{"format": "moe-tool training state 9"}"#,
            #"{"format": "moe-tool training state 1", "step": -1}"#,
            #"{"format": "moe-tool training state 1", "step": 1, "optimizer_steps": 1, "position": ["x"], "seed": 1, "#
                + #""options": {}}"#,
        ]
        for document in documents {
            try writeSafetensors(
                [("weight.a", .f32, shape, [0, 0, 0, 0])],
                metadata: document.map { ["training_state": $0] } ?? [:], to: path)
            let error = #expect(throws: CheckpointError.self) { try SavedTrainingState(at: path) }
            #expect(error?.code == .malformed, "\(document ?? "none")")
        }
    }

    @Test("A state of other parameters is refused, and changes nothing")
    func otherParameters() throws {
        let first = optimizer(seed: 1, steps: 2)
        try state().save(to: path, first)
        let saved = try SavedTrainingState(at: path)
        func refusal(_ parameters: [OptimizedParameter], extras: [NamedMatrix] = []) -> CheckpointError? {
            let other = AdamW(parameters, AdamWOptions())
            let before = bits(other)
            let error = #expect(throws: CheckpointError.self) { try saved.restore(other, extras: extras) }
            #expect(bits(other) == before)
            #expect(error?.code == .incompatible)
            return error
        }
        let (a, b) = (first.parameters[0], first.parameters[1])
        let wide = OptimizedParameter(name: "b", values: Matrix(zeros: 5, 1), decays: false)
        #expect(refusal([a])?.tensor?.hasSuffix(".b") == true)
        #expect(refusal([a, wide])?.description.contains("[5, 1]") == true)
        #expect(
            refusal([a, b, OptimizedParameter(name: "c", values: Matrix(zeros: 1, 1), decays: true)])?.tensor
                == "weight.c")
        #expect(refusal([a, b], extras: [NamedMatrix(name: "x", matrix: Matrix(zeros: 1, 1))])?.tensor == "extra.x")
    }

    @Test("Other options are refused by name, with both values")
    func otherOptions() throws {
        try state().require(options: Self.options, file: "f")
        var other = Self.options
        other["lr"] = .number("0.002")
        other["steps"] = nil
        other["clip"] = .number("1")
        let error = #expect(throws: CheckpointError.self) { try state().require(options: other, file: "f") }
        #expect(error?.code == .usage)
        let text = try #require(error?.description)
        #expect(text.contains("lr was 0.001 and is 0.002"))
        #expect(text.contains("steps was 200 and is not given"))
        #expect(text.contains("clip was not given and is 1"))
        #expect(!text.contains("train"))
    }
}
