/// The merges of a vocabulary that has an order of its tokens and none of merges, as tiktoken's and SentencePiece's: two
/// tokens that make a third one are joined by the rank of that.
func rankedMerges(_ tokens: [(bytes: [UInt8], id: Int32, rank: UInt32)]) -> [UInt64: UInt64] {
    var ids: [ArraySlice<UInt8>: Int32] = [:]
    ids.reserveCapacity(tokens.count)
    for token in tokens { ids[token.bytes[...]] = token.id }
    var merges: [UInt64: UInt64] = [:]
    for token in tokens where token.bytes.count > 1 {
        for place in 1..<token.bytes.count {
            guard let left = ids[token.bytes[..<place]], let right = ids[token.bytes[place...]] else { continue }
            merges[BytePairModel.pair(left, right)] = UInt64(token.rank) << 32 | UInt64(UInt32(bitPattern: token.id))
        }
    }
    return merges
}
