/// What a configuration says of a model beyond its sizes, whatever its keys are called.
extension ModelDescription {
    /// Whether embedding and head are one matrix.
    ///
    /// - Throws: `CheckpointError` where two spellings contradict one another.
    package var isTied: Bool {
        get throws { try config.holds("tie_word_embeddings", architecture) }
    }

    /// The number of tokens that the model was made for; nil where the configuration does not say.
    ///
    /// - Throws: `CheckpointError` for what is no whole number.
    package var positions: Int? {
        get throws { try config.int("max_position_embeddings", architecture) }
    }
}
