/// Where a model's weights are while it computes, and how much of what it does is in memory at a time.
package struct WeightPlacement: Sendable, Hashable {
    package enum Weights: Sendable, Hashable {
        /// In memory, in F32.
        case resident
        /// On disk, but for the layer that is computed.
        case layers
        /// On disk, but for the block of rows that is multiplied.
        case rows
    }
    package var weights: Weights
    /// Bytes of a block of rows of a matrix that is on disk.
    package var blockBytes = 64 << 20
    /// Bytes of logits that are made at a time.
    package var logitBytes = 64 << 20

    package init(weights: Weights) { self.weights = weights }

    /// Rows of a matrix on disk that are in memory at a time: whole tiles of a product where there is room for them.
    func blockRows(columns: Int) -> Int {
        let rows = max(1, blockBytes / (4 * max(columns, 1)))
        return rows >= 64 ? rows / 16 * 16 : rows
    }

    /// Rows of logits that are made at a time.
    func logitRows(vocabulary: Int) -> Int { min(max(1, logitBytes / (4 * max(vocabulary, 1))), 4096) }
}
