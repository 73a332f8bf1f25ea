extension ModelDescription {
    /// Refuses a configuration that no program can run: numbers that are missing or contradict one another. What only this
    /// program does not compute passes.
    ///
    /// - Throws: `CheckpointError` that names the key.
    package func checkRunnable() throws {
        do {
            _ = try DecoderConfiguration(self)
        } catch let error as CheckpointError where error.code == .uncomputed {
            return
        }
    }

    /// What the router makes of its logits.
    ///
    /// - Throws: `CheckpointError` for a dense family, and numbers that contradict one another.
    package func routerConfiguration() throws -> DecoderConfiguration.Router {
        try ConfigurationReader(self).mixture().router
    }

    /// The factor on the shared expert's output.
    ///
    /// - Throws: as `routerConfiguration`.
    package func sharedScale() throws -> Float { try ConfigurationReader(self).mixture().sharedScale }

    /// Refuses a result whose configuration cannot say what its source's says.
    ///
    /// - Parameter exceptVocabulary: the vocabulary may have become another.
    /// - Throws: `CheckpointError` with what would differ.
    package func checkFunction(of source: ModelDescription, exceptVocabulary: Bool = false) throws {
        let disagreements = try FunctionTraits(source).disagreements(
            with: FunctionTraits(self), in: [.sizes, .network]
        ).filter { !exceptVocabulary || $0.name != "vocabulary" }
        guard disagreements.isEmpty else {
            throw CheckpointError(
                .incompatible, file: source.config.file,
                message: "a \(architecture.modelType) cannot say what this \(source.architecture.modelType) computes: "
                    + disagreements.map(\.description).joined(separator: "; "))
        }
    }
}
