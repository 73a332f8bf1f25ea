package import Checkpoints
import Models
import Numerics
package import Safetensors

/// Compares what a checkpoint computes with what it was made from computes, on tokens drawn from the vocabulary.
///
/// The tokens are the same in every run. Where the function is to be the same and nothing but the order of sums differs, the
/// root mean square of the logits' differences may be 1/10,000 of the logits' spread. Where weights were rounded, that of
/// the token in the middle may be 16 units of the dtype's last place (2⁻⁴ for BF16, 2⁻⁷ for F16), and of 8-bit types 4
/// (2⁻² for F8_E4M3, 2⁻¹ for F8_E5M2), far below the distance of two models: the middle, since a
/// router with two experts that are nearly the same to it may choose the other one after rounding. Wrong names, layouts or
/// settings give differences of the size of the spread itself for all tokens.
package struct FunctionCheck: Sendable {
    /// What is accepted.
    package enum Tolerance: Sendable, Hashable {
        /// Any numbers: the function is not meant to be the same, and logits that are none are still a fault.
        case finite
        /// `OutputComparison.relativeDifference` up to this.
        case relative(Double)
        /// `OutputComparison.medianRelativeDifference` up to this.
        case median(Double)
        /// `OutputComparison.maximumDifference` up to this.
        case absolute(Double)

        /// What rounding to a dtype does to the outputs at most.
        package static func rounding(to dtype: DType) -> Tolerance {
            switch dtype {
            case .f64, .f32: .relative(1e-4)
            case .f16: .median(0x1p-7)
            case .bf16: .median(0x1p-4)
            case .f8E4M3: .median(0x1p-2)
            case .f8E5M2: .median(0x1p-1)
            default: .finite
            }
        }
    }

    private let original: Checkpoint
    package let tolerance: Tolerance
    private let memory: Int
    private let threads: Int

    static let windows = 4
    static let length = 64

    /// - Parameter memory: bytes of the process.
    package init(against original: Checkpoint, tolerance: Tolerance, memory: Int, threads: Int) {
        self.original = original
        self.tolerance = tolerance
        self.memory = memory
        self.threads = threads
    }

    /// - Throws: `.verification` where the outputs are further apart than the tolerance; `.incompatible` for a model that
    ///   is not computed.
    package func run(_ made: Checkpoint) throws -> OutputComparison {
        let workers = Workers(threads: threads)
        let plan = try planner(made).prepared()
        let a = try Decoder(original, workers: workers, placement: plan.placements.first)
        let b = try Decoder(made, workers: workers, placement: plan.placements.last)
        var comparison = OutputComparison()
        for window in 0..<Self.windows {
            try comparison.add(a, b, Self.batch(window, vocabulary: a.configuration.vocabulary))
        }
        guard accepts(comparison) else {
            throw CheckpointError(
                .verification,
                message:
                    "what was made does not compute what \(original.name) does: on \(comparison.tokens) tokens the "
                    + "logits differ by at most \(numberText(comparison.maximumDifference)) "
                    + "(\(toleranceText(comparison))), KL \(numberText(comparison.meanDivergence)) nats; nothing was "
                    + "written")
        }
        return comparison
    }

    /// Refuses what the check has no memory for, before anything is made.
    ///
    /// - Throws: `.usage`, naming the least it takes; `.incompatible` for a model that is not computed.
    package func checkMemory(_ made: Checkpoint) throws { _ = try planner(made).plan(advice: "leave out `verify`") }

    private func planner(_ made: Checkpoint) throws -> MemoryPlanner {
        var planner = MemoryPlanner(
            memory: memory, threads: threads,
            models: [try ModelMemory(original, .forward(slots: 0)), try ModelMemory(made, .forward(slots: 0))],
            length: Self.length)
        planner.tokens = Self.length
        planner.isExact = true
        return planner
    }

    private func accepts(_ comparison: OutputComparison) -> Bool {
        switch tolerance {
        case .finite: comparison.maximumDifference.isFinite
        case .relative(let limit): comparison.relativeDifference <= limit
        case .median(let limit): comparison.medianRelativeDifference <= limit
        case .absolute(let limit): comparison.maximumDifference <= limit
        }
    }

    private func toleranceText(_ comparison: OutputComparison) -> String {
        switch tolerance {
        case .finite: return "any that is a number is accepted"
        case .relative(let limit):
            return "\(numberText(comparison.relativeDifference)) of their spread, and \(numberText(limit)) is accepted"
        case .median(let limit):
            return "the middle token's by \(numberText(comparison.medianRelativeDifference)) of their spread, and "
                + "\(numberText(limit)) is accepted"
        case .absolute(let limit): return "and \(numberText(limit)) is accepted"
        }
    }

    /// Tokens that depend on the window and the vocabulary alone.
    static func batch(_ window: Int, vocabulary: Int) -> TokenBatch {
        let key = KeyedRandom(seed: 0, tensor: "tokens", purpose: "verify")
        let ids = withUnsafeTemporaryAllocation(of: Float.self, capacity: length) { draws in
            key.fillUniform(draws, from: window * length)
            return draws.map { Int32(clamping: min(Int($0 * Float(vocabulary)), vocabulary - 1)) }
        }
        return TokenBatch(ids: ids, length: length)
    }
}
