import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Two models' outputs")
struct OutputComparisonTests {
    private let workers = Workers(threads: 2)

    @Test("Differences, divergence and agreement are those of the definition")
    func definition() {
        // Probabilities 1/4, 3/4 and 1/2, 1/2; then the same with A's and B's likeliest apart.
        let ln3: Float = 1.098_612_3
        let a = Matrix(rows: 2, columns: 2, [0, ln3, 1, 2])
        let b = Matrix(rows: 2, columns: 2, [0, 0, 2, 1])
        var found = OutputComparison()
        found.add(a, b, workers)
        #expect(found.tokens == 2)
        #expect(abs(found.maximumDifference - 1.098_612_3) < 1e-6)
        #expect(abs(found.meanDifference - (1.098_612_3 + 2) / 4) < 1e-6)
        // KL of the first: 1/4 ln(1/2) + 3/4 ln(3/2) = 0.130812; of the second tanh(1/2) = 0.462117.
        #expect(abs(found.meanDivergence - (0.130_812 + 0.462_117) / 2) < 1e-5)
        // Of the first row, B's first and second logit are equal, and the first counts.
        #expect(found.agreement == 0)
        // Squared differences ln3^2, 1, 1; A's about their means 2 (ln3/2)^2, 2 (1/2)^2.
        let expected = ((1.206_949 + 2) / (0.603_474 + 0.5)).squareRoot()
        #expect(abs(found.relativeDifference - expected) < 1e-5)
        // The middle of two is the larger: root mean squares ln3 / sqrt 2 and 1.
        let middle = (1 / ((0.603_474 + 0.5) / 4)).squareRoot()
        #expect(abs(found.medianRelativeDifference - middle) < 1e-5)
        var both = OutputComparison()
        both.add(found)
        both.add(found)
        #expect(both.tokens == 4)
        #expect(abs(both.meanDivergence - found.meanDivergence) < 1e-12)
    }

    @Test("Logits that are no numbers are a difference without bound")
    func notNumbers() {
        for value in [Float.nan, .infinity] {
            var found = OutputComparison()
            found.add(Matrix(rows: 1, columns: 2, [0, 1]), Matrix(rows: 1, columns: 2, [0, value]), workers)
            #expect(found.maximumDifference == .infinity)
            #expect(found.json["maximum_difference"] == .null)
        }
    }

    @Test("A model says what it says; an upcycled one what its parent does")
    func sameFunction() throws {
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        let moe = try dense.upcycled(experts: 4, topK: 2)
        let same = try check(dense, dense, .absolute(0))
        #expect(same.maximumDifference == 0)
        #expect(same.agreement == 1)
        #expect(same.tokens == 256)
        let upcycled = try check(dense, moe, .relative(1e-4))
        #expect(upcycled.maximumDifference < 1e-4)
        #expect(upcycled.meanDivergence < 1e-6)
    }

    @Test("BF16 is within its tolerance, another model within none")
    func tolerances() throws {
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        let rounded = try dense.converted(to: .bf16)
        let found = try check(dense, rounded, .rounding(to: .bf16))
        #expect(found.maximumDifference > 0)
        for (model, tolerance) in [
            (rounded, .absolute(0)), (rounded, .relative(1e-4)),
            (try Checkpoint(at: Fixtures.model("llama")), .rounding(to: .bf16)),
        ] as [(Checkpoint, FunctionCheck.Tolerance)] {
            let error = #expect(throws: CheckpointError.self) { try check(dense, model, tolerance) }
            #expect(error?.code == .verification)
        }
        _ = try check(dense, Checkpoint(at: Fixtures.model("llama")), .finite)
    }

    @Test(
        "Rounding a mixture may change what routers choose, and is still rounding",
        // The norms of a Gated DeltaNet divide by what may be next to nothing: rounding is not small there.
        arguments: Fixtures.mixtures.filter { $0 != "qwen3-5-moe-text" })
    func roundedMixtures(_ name: String) throws {
        let model = try Checkpoint(at: Fixtures.model(name))
        _ = try check(model, model.converted(to: .bf16), .rounding(to: .bf16))
        _ = try check(model, model.converted(to: .f16), .rounding(to: .f16))
    }

    @Test(
        "A tolerance for 8 bits passes what rounding does, and not another model", arguments: [DType.f8E4M3, .f8E5M2])
    func eightBits(_ dtype: DType) throws {
        let seed = try Checkpoint(at: Seed.path)
        let found = try check(seed, seed.converted(to: dtype), .rounding(to: dtype))
        #expect(found.medianRelativeDifference > 0)
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        let other = try Checkpoint(at: Fixtures.model("llama"))
        #expect(throws: CheckpointError.self) { try check(dense, other, .rounding(to: dtype)) }
    }

    private func check(
        _ a: Checkpoint, _ b: Checkpoint, _ tolerance: FunctionCheck.Tolerance
    ) throws -> OutputComparison {
        try FunctionCheck(against: a, tolerance: tolerance, memory: 1 << 30, threads: 2).run(b)
    }

    @Test("What the check of a written checkpoint throws keeps it from appearing")
    func inspection() async throws {
        let folder = try TemporaryFolder()
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        var options = WriteOptions()
        options.inspect = { made in
            #expect(made.description.layerCount == dense.description.layerCount)
            throw CheckpointError(.verification, message: "no")
        }
        let error = await #expect(throws: CheckpointError.self) {
            try await dense.write(to: folder.path + "/out", options: options)
        }
        #expect(error?.code == .verification)
        #expect(folder.names.isEmpty)
        options.inspect = { _ in }
        try await dense.write(to: folder.path + "/out", options: options)
        #expect(folder.names == ["out"])
    }
}
