/// Bytes with a few random changes: a byte overwritten, or up to `longest` removed, doubled or put elsewhere as well.
public func mutated(_ bytes: [UInt8], longest: Int = 24, using generator: inout SeededGenerator) -> [UInt8] {
    var result = bytes
    for _ in 0..<Int.random(in: 1...3, using: &generator) {
        guard !result.isEmpty else { return result }
        let start = Int.random(in: 0..<result.count, using: &generator)
        let end = min(start + Int.random(in: 1...longest, using: &generator), result.count)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: result[start] = UInt8.random(in: 0...255, using: &generator)
        case 1: result.removeSubrange(start..<end)
        case 2: result.insert(contentsOf: Array(result[start..<end]), at: end)
        default:
            let part = Array(result[start..<end])
            result.insert(contentsOf: part, at: Int.random(in: 0...result.count, using: &generator))
        }
    }
    return result
}
