import Tokenizers

/// Shows what a checkpoint is, and anything wrong with it or with its tokenizer. Weights are not read, only headers.
///
/// - Parameter path: a folder, one .safetensors or .mtz file, or `org/name[@revision]` in the local Hugging Face cache.
/// - Throws: `SafetensorsError` for files that are malformed, unsafe or missing; `CheckpointError` for a family that is not
///   known. That tensors and configuration do not fit together is found in `Inspection.problems`.
public func inspect(_ path: String) throws -> Inspection {
    var inspection = try Inspection(of: path)
    for warning in try tokenizerWarnings(inspection, resolveModelPath(path)) { inspection.warn(warning) }
    return inspection
}

/// What is wrong with a checkpoint's tokenizer for text that its model is to read.
private func tokenizerWarnings(_ inspection: Inspection, _ folder: String) throws -> [String] {
    guard let model = inspection.model, try fileExists(folder + "/tokenizer.json") else { return [] }
    let tokenizer: Tokenizer
    do {
        tokenizer = try Tokenizer(inFolder: folder)
    } catch let error as TokenizerError {
        return [error.description]
    } catch let error as SafetensorsError where !isFailureOfSystem(error) {
        return [error.description]
    }
    guard tokenizer.vocabularySize > model.vocabulary else { return [] }
    return [
        "\(escaped(folder))/tokenizer.json has \(tokenizer.vocabularySize) ids and the embedding \(model.vocabulary) rows: text "
            + "with a token from \(model.vocabulary) on cannot be read; resize the embedding with transformers' "
            + "resize_token_embeddings, or take the tokenizer that the model was trained with"
    ]
}
