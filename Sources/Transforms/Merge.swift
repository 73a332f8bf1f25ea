public import Checkpoints

extension Checkpoint {
    /// A mixture whose experts are the models' feed-forward networks, everything else combined (Branch-Train-MiX,
    /// Sukhbaatar et al. 2024, 2403.07816).
    ///
    /// ```swift
    /// let moe = try Checkpoint.merging([code, law, math], base: seed)
    /// ```
    ///
    /// Experts are numbered in the order of the models; those of a model that is a mixture itself join in their order.
    ///
    /// - Parameter base: where the models branched from; its tokenizer and configuration are the result's.
    /// - Throws: `CheckpointError`: `incompatible` with a table where the models do not fit together, `usage` for options
    ///   that contradict each other.
    public static func merging(
        _ models: [Checkpoint], base: Checkpoint? = nil, options: MergeOptions = MergeOptions()
    ) throws -> Checkpoint {
        try MixtureMerge(models, base: base, options).run()
    }

    /// One model of the same family and sizes as the models: an ordinary merge, such as a model soup.
    public static func mergingDense(
        _ models: [Checkpoint], base: Checkpoint? = nil, options: MergeOptions = MergeOptions()
    ) throws -> Checkpoint {
        try DenseMerge(models, base: base, options).run()
    }

    /// This mixture with the models' networks as new experts; everything outside of the new experts and the new rows of
    /// the routers stays as it is.
    public func adding(_ models: [Checkpoint], options: MergeOptions = MergeOptions()) throws -> Checkpoint {
        try ExpertAddition(self, models, options).run()
    }
}
