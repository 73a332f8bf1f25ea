/// A regular expression as instructions, one program for each of its branches.
struct PatternProgram: Sendable {
    enum Operation: UInt8, Sendable {
        /// `a`: a byte.
        case byte
        /// `a`: a scalar.
        case scalar
        /// `a`: a set.
        case set
        /// `a`: a set, `b` to `c` times (-1: without bound), by `kind`.
        case loop
        /// On at `a`, and where that fails at `b`.
        case split
        case jump
        case accept
        /// The program at `a` must match here, or must not where `kind` is 1; on at `b`.
        case look
        /// The program at `a`, and on at `b` from where it ends.
        case atomic
        /// `a` characters back.
        case back
        /// `a`: an assertion.
        case assertion
    }

    struct Instruction: Sendable {
        var operation: Operation
        var kind: UInt8 = 0
        var a: Int32 = 0
        var b: Int32 = 0
        var c: Int32 = 0
        /// The number by which is remembered what became of it; -1 for one that does not branch.
        var state: Int32 = -1
    }

    static let greedy: UInt8 = 0
    static let lazy: UInt8 = 1
    static let possessive: UInt8 = 2
    static let mostInstructions = 1 << 16
    static let mostSets = 1000
    /// Each position of a text is looked at this many times at most by one bounded repetition.
    static let mostCounted = 1000

    private(set) var code: [Instruction] = []
    private(set) var tables = ScalarTable()
    /// Where each branch begins.
    private(set) var branches: [Int] = []
    /// For each first byte (256: the end of the text) the branches that can match there, as bits.
    private(set) var masks = [UInt64](repeating: 0, count: 257)
    private(set) var stateCount = 0
    /// Whether a repeated element can match nothing: it ends by what is remembered alone.
    private(set) var hasEmptyLoop = false
    private(set) var wordSet: Int32 = -1

    init(_ node: PatternNode) throws(PatternError) {
        let nodes: [PatternNode]
        if case .alternation(let list) = node, list.count <= 64 { nodes = list } else { nodes = [node] }
        for (index, node) in nodes.enumerated() {
            branches.append(code.count)
            try emit(node)
            try add(Instruction(operation: .accept))
            let first = node.first
            for byte in 0..<257 {
                let can =
                    first.isNullable || (byte < 0x80 && first.ascii >> UInt128(byte) & 1 == 1)
                    || (byte >= 0x80 && byte < 256 && first.hasOthers)
                if can { masks[byte] |= 1 << UInt64(index) }
            }
        }
    }

    private mutating func add(_ instruction: Instruction) throws(PatternError) {
        guard code.count < Self.mostInstructions else {
            throw PatternError(
                message: "a pattern whose repetitions make it longer than \(Self.mostInstructions) steps")
        }
        code.append(instruction)
    }

    private mutating func newStates(_ count: Int) -> Int32 {
        defer { stateCount += count }
        return Int32(stateCount)
    }

    private mutating func table(_ set: ScalarSet) throws(PatternError) -> Int32 {
        guard tables.sets.count < Self.mostSets else {
            throw PatternError(message: "a pattern with more than \(Self.mostSets) different classes")
        }
        return Int32(tables.add(set))
    }

    private mutating func emit(_ node: PatternNode) throws(PatternError) {
        switch node {
        case .set(let set):
            if let single = set.single {
                try add(Instruction(operation: single < 0x80 ? .byte : .scalar, a: Int32(single)))
            } else {
                try add(Instruction(operation: .set, a: table(set)))
            }
        case .sequence(let nodes):
            for node in nodes { try emit(node) }
        case .alternation(let nodes):
            try emitBranches(nodes) { program, node throws(PatternError) in try program.emit(node) }
        case .repetition(let node, let repetition): try emit(node, repetition)
        case .atomic(let node):
            try emitGroup(.atomic, 0) { program throws(PatternError) in try program.emit(node) }
        case .look(let node, let isAhead, let isNegative):
            try emitGroup(.look, isNegative ? 1 : 0) { program throws(PatternError) in
                guard !isAhead else { return try program.emit(node) }
                let branches = if case .alternation(let list) = node { list } else { [node] }
                try program.emitBranches(branches) { program, node throws(PatternError) in
                    try program.add(Instruction(operation: .back, a: Int32(node.fixedLength ?? 0)))
                    try program.emit(node)
                }
            }
        case .assertion(let assertion):
            if assertion == .wordBoundary || assertion == .notWordBoundary { wordSet = try table(UnicodeData.word) }
            try add(Instruction(operation: .assertion, a: assertion.rawValue))
        }
    }

    private mutating func emitBranches(
        _ nodes: [PatternNode], _ emit: (inout PatternProgram, PatternNode) throws(PatternError) -> Void
    ) throws(PatternError) {
        var ends: [Int] = []
        for (index, node) in nodes.enumerated() {
            guard index + 1 < nodes.count else {
                try emit(&self, node)
                break
            }
            let split = code.count
            try add(Instruction(operation: .split, a: Int32(split + 1), state: newStates(1)))
            try emit(&self, node)
            ends.append(code.count)
            try add(Instruction(operation: .jump))
            code[split].b = Int32(code.count)
        }
        for end in ends { code[end].a = Int32(code.count) }
    }

    private mutating func emitGroup(
        _ operation: Operation, _ kind: UInt8, _ emit: (inout PatternProgram) throws(PatternError) -> Void
    ) throws(PatternError) {
        let start = code.count
        try add(Instruction(operation: operation, kind: kind, a: Int32(start + 1), state: newStates(1)))
        try emit(&self)
        try add(Instruction(operation: .accept))
        code[start].b = Int32(code.count)
    }

    private mutating func emit(
        _ node: PatternNode, _ repetition: PatternNode.Repetition
    ) throws(PatternError) {
        let (least, most) = (repetition.least, repetition.most)
        if case .set(let set) = node {
            guard least <= Self.mostCounted, most ?? 0 <= Self.mostCounted else {
                throw PatternError(message: "more than \(Self.mostCounted) repetitions of a character")
            }
            if most == 0 { return }
            if least == 1, most == 1 { return try emit(node) }
            let kind =
                switch repetition.kind {
                case .greedy: Self.greedy
                case .lazy: Self.lazy
                case .possessive: Self.possessive
                }
            return try add(
                Instruction(
                    operation: .loop, kind: kind, a: table(set), b: Int32(least), c: Int32(most ?? -1),
                    state: newStates(2)))
        }
        guard repetition.kind != .possessive else {
            return try emit(.atomic(.repetition(node, .init(least: least, most: most, kind: .greedy))))
        }
        func addSplit(_ program: inout PatternProgram, to first: Int) throws(PatternError) -> Int {
            try program.add(Instruction(operation: .split, a: Int32(first), state: program.newStates(1)))
            return program.code.count - 1
        }
        /// Sets where a split leaves the repetition.
        func leave(_ program: inout PatternProgram, _ splits: [Int]) {
            for split in splits {
                let inside = program.code[split].a
                let outside = Int32(program.code.count)
                program.code[split].a = repetition.kind == .lazy ? outside : inside
                program.code[split].b = repetition.kind == .lazy ? inside : outside
            }
        }
        let copies = most == nil ? max(least - 1, 0) : least
        for _ in 0..<copies {
            let before = code.count
            try emit(node)
            if code.count == before { return }
        }
        guard let most else {
            var splits: [Int] = []
            if least == 0 {
                if !node.isNullable {
                    let split = try addSplit(&self, to: code.count + 1)
                    try emit(node)
                    try add(Instruction(operation: .jump, a: Int32(split)))
                    return leave(&self, [split])
                }
                splits.append(try addSplit(&self, to: code.count + 1))
            }
            // What can match nothing is entered at least once, so that it can leave with nothing as in Perl.
            if node.isNullable { hasEmptyLoop = true }
            let start = code.count
            try emit(node)
            splits.append(try addSplit(&self, to: start))
            return leave(&self, splits)
        }
        var splits: [Int] = []
        for _ in least..<max(most, least) {
            splits.append(try addSplit(&self, to: code.count + 1))
            let before = code.count
            try emit(node)
            if code.count == before { break }
        }
        leave(&self, splits)
    }
}
