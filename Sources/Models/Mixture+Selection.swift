import Checkpoints

extension DecoderConfiguration.Mixture {
    /// The experts that a token is routed to.
    ///
    /// - Parameter chosen: as many as somebody asks for; nil for as the configuration says.
    /// - Throws: `CheckpointError` of `usage` for a number that the mixture cannot route to.
    func selected(_ chosen: Int?) throws -> Int {
        guard let chosen else { return topK }
        guard chosen >= 1, chosen <= experts else {
            throw CheckpointError(.usage, message: "`topK` \(chosen): there are \(experts) experts")
        }
        if case .sparseMixer = router.score, chosen != topK {
            throw CheckpointError(.usage, message: "`topK` \(chosen): a sparse mixer selects 2 experts")
        }
        return chosen
    }
}
