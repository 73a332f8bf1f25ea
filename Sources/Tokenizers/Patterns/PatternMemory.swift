import Glibc

/// What became of each instruction at each position of a text.
final class PatternMemory {
    /// What is entered: a match by itself, whose success is of no use again; a look-around; a group that is not entered again.
    enum Group { case match, look, atomic }

    enum Answer {
        case new
        case failed
        case succeeded(Int)
    }

    private static let largest = 1 << 35

    private let states: Int
    private let positions: Int
    /// A bit for each state at each position: entered, and of those that are still in `trail` nothing is known.
    private let entered: UnsafeMutablePointer<UInt64>
    /// Of those in a look-around that succeeded.
    private var succeeded: UnsafeMutablePointer<UInt64>?
    /// For a state, one more than where it ends at each position; 0 where that is not known.
    private var ends: [UnsafeMutablePointer<Int32>?]
    /// What was entered on the way to here.
    private var trail: [Int] = []

    /// - Throws: `PatternError` where that takes too much memory.
    init(states: Int, positions: Int) throws {
        let (bits, overflows) = states.multipliedReportingOverflow(by: positions)
        guard !overflows, bits <= Self.largest, positions < Int32.max,
            let memory = calloc(bits / 64 + 1, 8)?.assumingMemoryBound(to: UInt64.self)
        else {
            throw PatternError(
                message: "a text of \(positions - 1) bytes on which it goes back and forth: cut it into parts")
        }
        (self.states, self.positions, entered) = (states, positions, memory)
        ends = [UnsafeMutablePointer<Int32>?](repeating: nil, count: states)
    }

    deinit {
        free(entered)
        free(succeeded)
        for end in ends { free(end) }
    }

    var trailLength: Int { trail.count }

    /// What was entered since then has failed.
    func forget(to length: Int) { if trail.count > length { trail.removeLast(trail.count - length) } }

    func enter(_ state: Int, _ position: Int, _ group: Group) -> Answer {
        let index = position * states + state
        let bit: UInt64 = 1 << UInt64(index & 63)
        if group == .look, let succeeded, succeeded[index >> 6] & bit != 0 { return .succeeded(position) }
        if group == .atomic, let end = end(state, position) { return .succeeded(end) }
        if entered[index >> 6] & bit != 0 { return .failed }
        entered[index >> 6] |= bit
        trail.append(index)
        return .new
    }

    /// What is on the way has succeeded, with an end.
    func succeed(from length: Int, _ end: Int, _ group: Group) {
        for index in trail[length...] {
            let bit: UInt64 = 1 << UInt64(index & 63)
            entered[index >> 6] &= ~bit
            switch group {
            case .match: break
            case .look:
                if succeeded == nil {
                    succeeded = calloc(states * positions / 64 + 1, 8)?.assumingMemoryBound(to: UInt64.self)
                }
                succeeded?[index >> 6] |= bit
            case .atomic: setEnd(index % states, index / states, end)
            }
        }
        trail.removeLast(trail.count - length)
    }

    func end(_ state: Int, _ position: Int) -> Int? {
        guard let ends = ends[state], ends[position] > 0 else { return nil }
        return Int(ends[position]) - 1
    }

    func setEnd(_ state: Int, _ position: Int, _ end: Int) {
        if ends[state] == nil { ends[state] = calloc(positions, 4)?.assumingMemoryBound(to: Int32.self) }
        ends[state]?[position] = Int32(truncatingIfNeeded: end + 1)
    }
}
