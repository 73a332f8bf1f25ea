package import Checkpoints
import Numerics
import Safetensors

/// All tokens of a domain, cut into windows as `WindowReader` cuts them.
///
/// In memory: 2 bytes a token for a vocabulary of at most 65,536 ids, else 4.
package struct TrainingDomain: Sendable {
    package let name: String
    package let length: Int
    /// What was read.
    package let summary: DataSummary
    private var narrow: [UInt16] = []
    private var wide: [Int32] = []

    /// Reads a source whole.
    ///
    /// - Throws: as `WindowReader`.
    package init(_ source: DataSource, length: Int, options: DataOptions, encoder: TextEncoder) throws {
        try checkWindowLength(length)
        let stream = try TokenStream(source, options: options, encoder: encoder)
        let isNarrow = encoder.vocabularySize <= 1 << 16
        var (narrow, wide): ([UInt16], [Int32]) = ([], [])
        while try stream.next({ run in
            if isNarrow {
                narrow += run.ids.lazy.map { UInt16(truncatingIfNeeded: $0) }
            } else {
                wide += run.ids
            }
        }) {}
        guard stream.summary.tokens >= length else {
            throw tooShort(source, tokens: stream.summary.tokens, length: length)
        }
        name = source.name
        self.length = length
        summary = stream.summary
        (self.narrow, self.wide) = (narrow, wide)
    }

    /// Adds the name and all tokens, in the order of the documents.
    package func add(to identity: inout RunIdentity) {
        identity.add(name)
        identity.add(values: narrow)
        identity.add(values: wide)
    }

    /// How many windows there are, at least one.
    package var windowCount: Int { max(narrow.count, wide.count) / length }

    /// Takes the last windows out, so that they are not trained on, and gives them.
    ///
    /// - Parameters:
    ///   - share: of all windows, at least one of them.
    ///   - limit: tokens that are given at most; nil for all.
    /// - Throws: `.usage` where no window would be left to train on.
    package mutating func holdOut(_ share: Double, limit: Int?) throws -> DomainText {
        let count = max(1, Int((share * Double(windowCount)).rounded()))
        guard count < windowCount else {
            throw CheckpointError(
                .usage,
                message:
                    "\(escaped(name)) has \(windowCount) windows of \(length) tokens: too few to hold some of them out")
        }
        let first = windowCount - count
        var ids: [Int32] = []
        for window in first..<first + min(count, max(1, (limit ?? .max) / length)) { append(window, to: &ids) }
        if wide.isEmpty { narrow.removeLast(narrow.count - first * length) }
        if narrow.isEmpty { wide.removeLast(wide.count - first * length) }
        return DomainText(name, length: length, ids: ids, summary: summary)
    }

    /// Appends the tokens of a window, `[length]`.
    package func append(_ window: Int, to ids: inout [Int32]) {
        let range = window * length..<(window + 1) * length
        if wide.isEmpty {
            ids += narrow[range].lazy.map { Int32($0) }
        } else {
            ids += wide[range]
        }
    }
}

/// Draws windows of several domains for training, in an order that the seed fixes.
///
/// Every epoch of a domain goes through all its windows once, in a permutation keyed by (seed, domain's name, epoch).
/// Domains take turns by their weights: each draw goes to the one that is furthest behind its share, the first of those
/// that are equally so. Among any first n draws a domain of share p (its weight over the sum) so has n·p of them but for
/// less than the number of domains, and equal weights take strict turns. Nothing depends on how draws are batched.
package struct TrainingStream: Sendable {
    /// Where a stream is: what it takes to go on from there.
    package struct State: Sendable, Hashable {
        /// Windows drawn so far.
        package var draws: Int
        /// For each domain, how often it has been gone through.
        package var epochs: [Int]
        /// For each domain, the windows drawn in the current epoch.
        package var positions: [Int]

        package init(draws: Int, epochs: [Int], positions: [Int]) {
            self.draws = draws
            self.epochs = epochs
            self.positions = positions
        }
    }

    package let domains: [TrainingDomain]
    /// For each domain, its part of the draws; they add up to 1.
    package let shares: [Double]
    private let seed: UInt64
    private var orders: [[Int]]
    /// Where the stream is now.
    package private(set) var state: State

    /// - Parameter weights: one for each domain; equal ones where there are none.
    /// - Throws: `.usage` without domains, for domains of one name or of several lengths, and for weights that are not one
    ///   positive number for each.
    package init(_ domains: [TrainingDomain], weights: [Double]? = nil, seed: UInt64) throws(CheckpointError) {
        let weights = weights ?? domains.map { _ in 1 }
        guard !domains.isEmpty else { throw CheckpointError(.usage, message: "there is no data to train on") }
        guard Set(domains.map(\.name)).count == domains.count, Set(domains.map(\.length)).count == 1 else {
            throw CheckpointError(.usage, message: "the domains must have different names and windows of one length")
        }
        let sum = weights.reduce(0, +)
        guard weights.count == domains.count, weights.allSatisfy({ $0 > 0 && ($0 / sum).isNormal }), sum.isFinite else {
            throw CheckpointError(
                .usage,
                message: "expected a positive weight for each of the \(domains.count) domains, found \(weights.count): "
                    + weights.map { numberText($0) }.joined(separator: ", "))
        }
        self.domains = domains
        self.seed = seed
        shares = weights.map { $0 / sum }
        orders = domains.map { Self.order(of: $0, seed: seed, epoch: 0) }
        let zeros = domains.map { _ in 0 }
        state = State(draws: 0, epochs: zeros, positions: zeros)
    }

    private static func order(of domain: TrainingDomain, seed: UInt64, epoch: Int) -> [Int] {
        KeyedRandom(seed: seed, tensor: domain.name, purpose: "windows of epoch \(epoch)")
            .permutation(of: domain.windowCount)
    }

    /// Appends the next window's tokens, `[length]`, and gives the index of its domain.
    package mutating func next(appendingTo ids: inout [Int32]) -> Int {
        var (chosen, furthest) = (0, -Double.infinity)
        for index in domains.indices {
            let drawn = state.epochs[index] * domains[index].windowCount + state.positions[index]
            let behind = shares[index] * Double(state.draws + 1) - Double(drawn)
            if behind > furthest { (chosen, furthest) = (index, behind) }
        }
        domains[chosen].append(orders[chosen][state.positions[chosen]], to: &ids)
        state.draws += 1
        state.positions[chosen] += 1
        if state.positions[chosen] == domains[chosen].windowCount {
            state.positions[chosen] = 0
            state.epochs[chosen] += 1
            orders[chosen] = Self.order(of: domains[chosen], seed: seed, epoch: state.epochs[chosen])
        }
        return chosen
    }

    /// Goes to where another stream over the same data, weights and seed was.
    ///
    /// - Throws: `.incompatible` for a state that no stream over these domains can have.
    package mutating func restore(_ saved: State) throws(CheckpointError) {
        guard saved.epochs.count == domains.count, saved.positions.count == domains.count, isPossible(saved) else {
            throw CheckpointError(
                .incompatible, message: "the saved position in the data is of other data: it has changed since")
        }
        state = saved
        orders = domains.indices.map { Self.order(of: domains[$0], seed: seed, epoch: saved.epochs[$0]) }
    }

    private func isPossible(_ saved: State) -> Bool {
        var total = 0
        for (index, domain) in domains.enumerated() {
            guard saved.epochs[index] >= 0, (0..<domain.windowCount).contains(saved.positions[index]) else {
                return false
            }
            let (whole, overflow) = saved.epochs[index].multipliedReportingOverflow(by: domain.windowCount)
            let (drawn, carry) = whole.addingReportingOverflow(saved.positions[index])
            let (sum, excess) = total.addingReportingOverflow(drawn)
            guard !overflow, !carry, !excess else { return false }
            total = sum
        }
        return total == saved.draws
    }
}
