import Checkpoints
import Numerics
import Safetensors

/// How models are computed within an amount of memory, decided before any of them is loaded.
///
/// The amount is the peak of the whole process: the program and what it keeps of the text, the weights, the activations of
/// the tokens that go through at once, the attention's scores, the logits, and what a training keeps. Where all of it does
/// not fit, the logits come in smaller blocks, fewer tokens go through at once, weights stay on disk a layer at a time, and
/// then a block of rows at a time.
package struct MemoryPlan: Sendable, Hashable {
    /// Where the models' weights are, in the order they were given.
    package var placements: [WeightPlacement]
    /// Tokens that go through at once.
    package var tokens: Int
    /// What the plan takes at most, in bytes of the process.
    package var bytes: Int
    /// How slow it is: the number of the first way that fits.
    package var rank: Int
}

/// Something that is kept within a part of the memory.
package struct MemoryShare: Sendable, Hashable {
    /// One of so many parts of the memory.
    private let part: Int
    private let most: Int

    /// Text read for a pass over it.
    package static let text = MemoryShare(part: 16, most: 64 << 20)
    /// Samples of what routers see, in F32 and while a layer's are grouped in F64.
    package static let samples = MemoryShare(part: 8, most: 1 << 40)

    /// How much that is, in bytes.
    package func bytes(of memory: Int) -> Int { min(most, memory / part) }
}

/// What is to be done within an amount of memory.
package struct MemoryPlanner: Sendable {
    /// Bytes of the process.
    package var memory: Int
    package var threads: Int
    package var models: [ModelMemory]
    /// What else is kept: statistics, a tokenizer.
    package var other = 0
    /// What is kept more of the more memory there is: text, samples.
    package var shares: [MemoryShare] = []
    /// What another part of the work takes when the passes are over.
    package var floor = 0
    /// Tokens of a window: at least so many go through at once.
    package var length: Int
    /// Tokens that attend to one another, where those before have gone through already.
    package var positions: Int?
    /// As many go through as fit up to this many.
    package var tokens = 4096
    /// The same where weights are read anew in each pass, and few passes are better.
    package var streamedTokens = 64 << 10
    /// What else a token takes.
    package var tokenExtra = 0
    /// Whether all weights must be in memory.
    package var isResident = false
    /// Whether exactly `tokens` go through at once, whatever they take.
    package var isExact = false

    package init(memory: Int, threads: Int, models: [ModelMemory], length: Int) {
        self.memory = memory
        self.threads = threads
        self.models = models
        self.length = length
    }

    /// The program, its libraries, and blocks of weights on their way from the disk.
    package static let process = 40 << 20
    /// What BLAS packs for each thread.
    private static let packing = 2 << 20
    private static let mebibyte = 1 << 20

    /// Results are the same for any number of threads up to this: fewer do not let more tokens through.
    private static let plannedThreads = 4

    /// Without the shares.
    private var base: Int {
        Self.process + Self.packing * max(threads, Self.plannedThreads) + other
            + models.map { $0.window(attended, threads: max(threads, Self.plannedThreads)) }.reduce(0, max)
    }

    /// Tokens of a sequence; beyond any that could be planned, so that nothing overflows.
    private var attended: Int { min(positions ?? length, 1 << 40) }

    private var perToken: Int {
        let tokens = models.map { $0.token(length: attended) }
        // Two models take turns, and what the first said is kept meanwhile. Memory comes in steps of an eighth.
        let own = tokens.reduce(0, max) + (tokens.first ?? 0) / 8 * (tokens.count - 1)
        return own + own / 8 + tokenExtra + 64
    }

    private func fixed(_ placements: [WeightPlacement]) -> Int {
        base + zip(models, placements).reduce(0) { $0 + $1.0.fixed($1.1) }
    }

    /// The ways to compute, the quickest first, and how many tokens must fit for each to be worth it.
    private var ways: [(placements: [WeightPlacement], enough: Int, limit: Int)] {
        func way(_ weights: [WeightPlacement.Weights], _ block: Int, _ enough: Int)
            -> (placements: [WeightPlacement], enough: Int, limit: Int)
        {
            let placements = weights.map { kind in
                var placement = WeightPlacement(weights: kind)
                placement.blockBytes = block * Self.mebibyte
                placement.logitBytes = block * Self.mebibyte
                return placement
            }
            let isResident = weights.allSatisfy { $0 == .resident }
            return (placements, max(enough, length), isResident || isExact ? tokens : streamedTokens)
        }
        let count = models.count
        func all(_ kind: WeightPlacement.Weights) -> [WeightPlacement.Weights] { .init(repeating: kind, count: count) }
        if isResident { return [(64, tokens), (8, length), (1, length)].map { way(all(.resident), $0.0, $0.1) } }
        var result = [way(all(.resident), 64, tokens), way(all(.resident), 8, min(tokens, 1024))]
        if count > 1 {
            // One of them in memory, the last or the first.
            for index in [count - 1, 0] {
                var kinds = all(.layers)
                kinds[index] = .resident
                result.append(way(kinds, 16, min(tokens, 1024)))
            }
        }
        result += [
            way(all(.layers), 64, min(tokens, 2048)), way(all(.layers), 8, min(tokens, 1024)),
            way(all(.rows), 16, min(tokens, 1024)), way(all(.layers), 4, length), way(all(.rows), 4, length),
            way(all(.rows), 1, length),
        ]
        return result
    }

    /// - Parameter advice: what else than more memory helps, for the refusal.
    /// - Throws: `CheckpointError` of `.usage` where it cannot be done, naming the least that it takes.
    package func plan(advice: String? = nil) throws -> MemoryPlan {
        var least = Int.max
        let shared = shared(of: memory)
        for (rank, way) in ways.enumerated() {
            let own = fixed(way.placements)
            let needed = isExact ? max(tokens, length) : length
            least = min(least, adding(own, multiplied(needed, perToken)))
            let room = (memory - own - shared) / perToken
            guard room >= (isExact ? needed : way.enough) else { continue }
            let count = isExact ? needed : min(room, max(way.limit, length))
            return MemoryPlan(
                placements: way.placements, tokens: count, bytes: own + shared + count * perToken, rank: rank)
        }
        least = max(self.least(beside: least), floor)
        let mebibytes = least >= Int.max - Self.mebibyte ? Int.max >> 20 : (least + Self.mebibyte - 1) / Self.mebibyte
        throw CheckpointError(
            .usage,
            message:
                "`memory` \(memoryText(memory)): \(models.map { escaped($0.name) }.joined(separator: " and ")) with "
                + "\(isExact ? tokens : length) tokens at once takes \(mebibytes) MiB at least"
                + ": give `memory` \(mebibytes)MiB" + (advice.map { ", or \($0)" } ?? ""))
    }

    /// Makes the plan, and lets no more memory of matrices be kept than it allows.
    ///
    /// - Throws: as `plan`.
    package func prepared(advice: String? = nil) throws -> MemoryPlan {
        let plan = try plan(advice: advice)
        limitKeptMemory()
        return plan
    }

    /// Lets no more memory of matrices be kept than the plan allows.
    package func limitKeptMemory() {
        MatrixMemory.limit(
            to: max(memory - Self.process - Self.packing * threads - other - shared(of: memory), 0))
    }

    private func shared(of memory: Int) -> Int { shares.reduce(0) { $0 + $1.bytes(of: memory) } }

    /// The least memory that leaves so many bytes beside the shares of it.
    private func least(beside bytes: Int) -> Int {
        var memory = bytes
        // Each turn adds the shares of what the turn before added, which are a small part of it.
        while memory < Int.max >> 2 {
            let needed = bytes + shared(of: memory)
            if needed <= memory { return memory }
            memory = needed
        }
        return bytes
    }

    private func memoryText(_ bytes: Int) -> String {
        bytes % Self.mebibyte == 0 ? "\(bytes >> 20)MiB" : byteText(bytes)
    }

    private func multiplied(_ a: Int, _ b: Int) -> Int {
        let (value, overflows) = a.multipliedReportingOverflow(by: b)
        return overflows ? .max : value
    }

    private func adding(_ a: Int, _ b: Int) -> Int {
        let (value, overflows) = a.addingReportingOverflow(b)
        return overflows ? .max : value
    }
}
