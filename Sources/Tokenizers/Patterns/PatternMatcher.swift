import Glibc
import Safetensors

/// Finds the matches of a pattern in one text, the leftmost first and of those the one that its order of branches prefers.
///
/// It tries one way after another, as Oniguruma does. Where that takes more steps than a text of its length should, it goes
/// on with remembering which instruction failed at which position, and what a look-ahead found there: nothing is tried
/// twice, so that time grows with the text alone, whatever the pattern.
final class PatternMatcher {
    private struct Frame {
        enum Kind: UInt8 { case choice, greedy, lazy, lazyLoop }

        var pc: Int32
        var kind: Kind
        /// For lazy ones: how many more characters may be taken; -1 without bound.
        var left: Int32
        var position: Int
        /// For greedy ones: where the shortest run ends.
        var limit: Int
        var trail: Int
    }

    private static let failed = -1
    private static let exhausted = -2
    private static let interrupted = -3
    private static let stepsBetweenChecks = 1 << 22

    private let program: PatternProgram
    private let text: UnsafeBufferPointer<UInt8>
    private let count: Int
    private let code: UnsafeBufferPointer<PatternProgram.Instruction>
    private let places: UnsafeBufferPointer<UInt16>
    private let words: UnsafeBufferPointer<UInt64>
    private let firstBytes: UnsafeBufferPointer<UInt8>

    private var stack: [Frame] = []
    /// Steps until a signal is asked for, and those that may be taken without remembering.
    private var steps = 0
    private var budget: Int
    private var memory: PatternMemory?

    private init(
        _ program: PatternProgram, _ text: UnsafeBufferPointer<UInt8>,
        _ code: UnsafeBufferPointer<PatternProgram.Instruction>, _ places: UnsafeBufferPointer<UInt16>,
        _ words: UnsafeBufferPointer<UInt64>, _ firstBytes: UnsafeBufferPointer<UInt8>
    ) {
        (self.program, self.text, count) = (program, text, text.count)
        (self.code, self.places, self.words, self.firstBytes) = (code, places, words, firstBytes)
        budget = (1 << 16) + 32 * text.count
    }

    /// Calls `body` with each match, as Oniguruma's iterator finds them: one of nothing is not where the last one ended.
    ///
    /// - Throws: `InterruptionError` where a signal asked for the end; `PatternError` for a text that takes too much memory.
    static func forEachMatch(
        _ program: PatternProgram, in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void
    ) throws {
        try withMatcher(program, text) { try $0.forEachMatch(body) }
    }

    /// Where the match ends that begins where the text begins; nil where none does.
    static func endOfMatch(_ program: PatternProgram, atStartOf text: UnsafeBufferPointer<UInt8>) throws -> Int? {
        try withMatcher(program, text) { try $0.match(0) }
    }

    private static func withMatcher<R>(
        _ program: PatternProgram, _ text: UnsafeBufferPointer<UInt8>, _ body: (PatternMatcher) throws -> R
    ) throws -> R {
        try program.code.withUnsafeBufferPointer { code in
            try program.tables.places.withUnsafeBufferPointer { places in
                try program.tables.words.withUnsafeBufferPointer { words in
                    try program.tables.firstBytes.withUnsafeBufferPointer { firstBytes in
                        let matcher = PatternMatcher(program, text, code, places, words, firstBytes)
                        if program.hasEmptyLoop { try matcher.remember() }
                        return try body(matcher)
                    }
                }
            }
        }
    }

    private func remember() throws { memory = try PatternMemory(states: program.stateCount, positions: count + 1) }

    private func forEachMatch(_ body: (Range<Int>) throws -> Void) throws {
        var (position, last) = (0, -1)
        while position <= count, let match = try search(position) {
            if match.isEmpty, match.upperBound == last {
                position = position < count ? position + length(position) : count + 1
                continue
            }
            try body(match)
            position = match.upperBound
            last = position
        }
    }

    private func search(_ start: Int) throws -> Range<Int>? {
        var position = start
        while true {
            if let end = try match(position) { return position..<end }
            guard position < count else { return nil }
            position += length(position)
            steps -= 1
        }
    }

    /// Where the match ends that begins at a position; nil where none does.
    private func match(_ position: Int) throws -> Int? {
        var mask = program.masks[position < count ? Int(text[position]) : 256]
        while mask != 0 {
            let branch = program.branches[mask.trailingZeroBitCount]
            mask &= mask - 1
            var end = memory == nil ? run(branch, position) : runRemembering(branch, position)
            if end == Self.exhausted {
                try remember()
                end = runRemembering(branch, position)
            }
            if end == Self.interrupted { throw InterruptionError() }
            if end >= 0 { return end }
        }
        return nil
    }

    // MARK: - Characters

    @inline(__always)
    private func length(_ position: Int) -> Int {
        let byte = text[position]
        return byte < 0x80 ? 1 : min(byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4, count - position)
    }

    /// Where the character before a position begins.
    @inline(__always)
    private func before(_ position: Int) -> Int {
        var start = position - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return start
    }

    @inline(__always)
    private func contains(_ set: Int, _ value: UInt32) -> Bool {
        let place = Int(places[set * ScalarTable.pages + Int(value >> 8)])
        return words[place << 2 | Int(value >> 6 & 3)] >> UInt64(value & 63) & 1 == 1
    }

    /// Where the character at a position ends; -1 where it is not of the set.
    @inline(__always)
    private func advanced(_ position: Int, _ set: Int) -> Int {
        guard position < count else { return -1 }
        let known = firstBytes[set << 8 | Int(text[position])]
        if known < 2 { return known == 1 ? position + 1 : -1 }
        let (value, length) = scalar(text, at: position)
        return contains(set, value) ? position + length : -1
    }

    private func isWord(_ position: Int) -> Bool { advanced(position, Int(program.wordSet)) >= 0 }

    private func holds(_ assertion: Int32, _ position: Int) -> Bool {
        switch PatternNode.Assertion(rawValue: assertion) {
        case .lineStart: position == 0 || (position < count && text[position - 1] == 0x0A)
        case .lineEnd: position == count || text[position] == 0x0A
        case .textStart: position == 0
        case .textEnd: position == count
        case .textEndOrLineEnd: position == count || (position == count - 1 && text[position] == 0x0A)
        case .wordBoundary: (position > 0 && isWord(before(position))) != isWord(position)
        case .notWordBoundary: (position > 0 && isWord(before(position))) == isWord(position)
        case nil: false
        }
    }

    /// So many characters back; -1 where there are not so many.
    private func moved(_ position: Int, back characters: Int32) -> Int {
        var position = position
        for _ in 0..<characters {
            guard position > 0 else { return -1 }
            position = before(position)
        }
        return position
    }

    // MARK: - Trying

    /// Whether steps are left; asks for signals now and then.
    private func refill() -> Int {
        if Interruption.isRequested { return Self.interrupted }
        if memory == nil {
            guard budget > 0 else { return Self.exhausted }
            steps = min(budget, Self.stepsBetweenChecks)
            budget -= steps
        } else {
            steps = Self.stepsBetweenChecks
        }
        return 0
    }

    /// Where a match of a program ends that begins at a position, or why there is none.
    private func run(_ start: Int, _ position: Int) -> Int {
        let base = stack.count
        var (pc, p) = (start, position)
        while true {
            steps -= 1
            if steps < 0 {
                let problem = refill()
                if problem < 0 {
                    stack.removeLast(stack.count - base)
                    return problem
                }
            }
            let step = code[pc]
            var hasFailed = true
            switch step.operation {
            case .loop:
                let end = loop(step, pc, p)
                if end >= 0 { (p, pc, hasFailed) = (end, pc + 1, false) }
            case .split:
                push(Int(step.b), p)
                (pc, hasFailed) = (Int(step.a), false)
            case .accept:
                stack.removeLast(stack.count - base)
                return p
            case .look, .atomic:
                let end = run(Int(step.a), p)
                if end < Self.failed {
                    stack.removeLast(stack.count - base)
                    return end
                }
                hasFailed = !leave(step, end, &pc, &p)
            default: hasFailed = !take(step, &pc, &p)
            }
            if hasFailed, !resume(base, &pc, &p) { return Self.failed }
        }
    }

    /// Does an instruction that has one way on; false where it fails.
    @inline(__always)
    private func take(_ step: PatternProgram.Instruction, _ pc: inout Int, _ p: inout Int) -> Bool {
        switch step.operation {
        case .byte:
            guard p < count, text[p] == UInt8(truncatingIfNeeded: step.a) else { return false }
            p += 1
        case .scalar:
            guard p < count, text[p] >= 0x80 else { return false }
            let (value, length) = scalar(text, at: p)
            guard value == UInt32(bitPattern: step.a) else { return false }
            p += length
        case .set:
            let end = advanced(p, Int(step.a))
            guard end >= 0 else { return false }
            p = end
        case .back:
            let start = moved(p, back: step.a)
            guard start >= 0 else { return false }
            p = start
        case .assertion: guard holds(step.a, p) else { return false }
        case .jump:
            pc = Int(step.a)
            return true
        case .loop, .split, .accept, .look, .atomic: return false
        }
        pc += 1
        return true
    }

    /// Goes on after a look or an atomic group that ended at `end`, or failed; false where that is a failure here.
    @inline(__always)
    private func leave(_ step: PatternProgram.Instruction, _ end: Int, _ pc: inout Int, _ p: inout Int) -> Bool {
        if step.operation == .atomic {
            guard end >= 0 else { return false }
            p = end
        } else {
            guard (end >= 0) == (step.kind == 0) else { return false }
        }
        pc = Int(step.b)
        return true
    }

    @inline(__always)
    private func push(_ pc: Int, _ position: Int, trail: Int = 0) {
        stack.append(
            Frame(pc: Int32(truncatingIfNeeded: pc), kind: .choice, left: 0, position: position, limit: 0, trail: trail)
        )
    }

    /// Takes characters of a set and says where they end; -1 where there are too few.
    @inline(__always)
    private func loop(_ step: PatternProgram.Instruction, _ pc: Int, _ position: Int, trail: Int = 0) -> Int {
        var (end, taken) = (position, Int32(0))
        while taken < step.b {
            let next = advanced(end, Int(step.a))
            guard next >= 0 else { return -1 }
            end = next
            taken += 1
        }
        let limit = end
        if step.kind == PatternProgram.lazy {
            if step.c < 0 || taken < step.c {
                stack.append(
                    Frame(
                        pc: Int32(truncatingIfNeeded: pc), kind: .lazy, left: step.c < 0 ? -1 : step.c - taken,
                        position: end, limit: 0, trail: trail))
            }
            return end
        }
        while step.c < 0 || taken < step.c {
            let next = advanced(end, Int(step.a))
            guard next >= 0 else { break }
            end = next
            taken &+= 1
        }
        steps -= (end - position) >> 1
        if step.kind == PatternProgram.greedy, end > limit {
            stack.append(
                Frame(
                    pc: Int32(truncatingIfNeeded: pc + 1), kind: .greedy, left: 0, position: end, limit: limit,
                    trail: trail))
        }
        return end
    }

    /// Goes to the last choice that is left above `base`; false where none is.
    @inline(__always)
    private func resume(_ base: Int, _ pc: inout Int, _ p: inout Int) -> Bool {
        while stack.count > base {
            let top = stack.count - 1
            let frame = stack[top]
            memory?.forget(to: frame.trail)
            switch frame.kind {
            case .choice:
                stack.removeLast()
                (pc, p) = (Int(frame.pc), frame.position)
                return true
            case .greedy:
                p = before(frame.position)
                if p > frame.limit { stack[top].position = p } else { stack.removeLast() }
                pc = Int(frame.pc)
                return true
            case .lazy:
                p = advanced(frame.position, Int(code[Int(frame.pc)].a))
                guard p >= 0 else {
                    stack.removeLast()
                    continue
                }
                if frame.left == 1 {
                    stack.removeLast()
                } else {
                    stack[top].position = p
                    if frame.left > 0 { stack[top].left -= 1 }
                }
                pc = Int(frame.pc) + 1
                return true
            case .lazyLoop:
                stack.removeLast()
                p = advanced(frame.position, Int(code[Int(frame.pc)].a))
                guard p >= 0 else { continue }
                // A negative place is the inside of the loop there.
                pc = -1 - Int(frame.pc)
                return true
            }
        }
        return false
    }

    // MARK: - Remembering

    /// What `run` does, each instruction that branches once at a position.
    private func runRemembering(_ start: Int, _ position: Int, _ group: PatternMemory.Group = .match) -> Int {
        guard let memory else { return Self.failed }
        let base = stack.count
        let trail = memory.trailLength
        var (pc, p) = (start, position)
        /// Ends in success, which is kept for the groups that look here again.
        func succeed(_ end: Int) -> Int {
            stack.removeLast(stack.count - base)
            memory.succeed(from: trail, end, group)
            return end
        }
        while true {
            steps -= 1
            if steps < 0 {
                let problem = refill()
                if problem < 0 {
                    stack.removeLast(stack.count - base)
                    return problem
                }
            }
            let isInside = pc < 0
            if isInside { pc = -1 - pc }
            let step = code[pc]
            var hasFailed = true
            if step.state >= 0 {
                // A loop without a least number is inside from its beginning.
                let state = Int(step.state) + (step.operation == .loop && (isInside || step.b == 0) ? 1 : 0)
                switch memory.enter(state, p, group) {
                case .new: hasFailed = false
                case .failed: break
                case .succeeded(let end): return succeed(end)
                }
                if hasFailed {
                    guard resume(base, &pc, &p) else { return Self.failed }
                    continue
                }
                hasFailed = true
            }
            switch step.operation {
            case .loop where step.c >= 0:
                let end = loop(step, pc, p, trail: memory.trailLength)
                if end >= 0 { (p, pc, hasFailed) = (end, pc + 1, false) }
            case .loop:
                if !isInside, step.b > 0 {
                    // The least number first, then the loop by itself.
                    var (end, taken) = (p, Int32(0))
                    while taken < step.b, end >= 0 {
                        end = advanced(end, Int(step.a))
                        taken += 1
                    }
                    if end >= 0 { (p, pc, hasFailed) = (end, -1 - pc, false) }
                } else if step.kind == PatternProgram.possessive {
                    (p, pc, hasFailed) = (runEnd(step, p), pc + 1, false)
                } else if step.kind == PatternProgram.lazy {
                    stack.append(
                        Frame(
                            pc: Int32(truncatingIfNeeded: pc), kind: .lazyLoop, left: -1, position: p, limit: 0,
                            trail: memory.trailLength))
                    (pc, hasFailed) = (pc + 1, false)
                } else {
                    let end = advanced(p, Int(step.a))
                    if end >= 0 {
                        push(pc + 1, p, trail: memory.trailLength)
                        (p, pc) = (end, -1 - pc)
                    } else {
                        pc += 1
                    }
                    hasFailed = false
                }
            case .split:
                push(Int(step.b), p, trail: memory.trailLength)
                (pc, hasFailed) = (Int(step.a), false)
            case .accept: return succeed(p)
            case .look, .atomic:
                let end = runRemembering(Int(step.a), p, step.operation == .look ? .look : .atomic)
                if end < Self.failed {
                    stack.removeLast(stack.count - base)
                    return end
                }
                hasFailed = !leave(step, end, &pc, &p)
            default: hasFailed = !take(step, &pc, &p)
            }
            if hasFailed, !resume(base, &pc, &p) { return Self.failed }
        }
    }

    /// Where the run of a set's characters ends: each is gone over once.
    private func runEnd(_ step: PatternProgram.Instruction, _ position: Int) -> Int {
        guard let memory else { return position }
        let state = Int(step.state)
        if let end = memory.end(state, position) { return end }
        var end = position
        while true {
            let next = advanced(end, Int(step.a))
            guard next >= 0 else { break }
            end = next
        }
        var place = position
        while place <= end {
            memory.setEnd(state, place, end)
            place = place < end ? place + length(place) : end + 1
        }
        return end
    }
}
