import Checkpoints
import Safetensors
import Tokenizers

/// What is wrong with a checkpoint's tokenizer for text that its model is to read.
func tokenizerWarnings(_ inspection: Inspection, _ folder: String) throws -> [String] {
    guard let model = inspection.model, fileExists(folder + "/tokenizer.json") else { return [] }
    let tokenizer: Tokenizer
    do {
        tokenizer = try Tokenizer(inFolder: folder)
    } catch let error as TokenizerError {
        return [error.description]
    } catch let error as SafetensorsError {
        return [error.description]
    }
    guard tokenizer.vocabularySize > model.vocabulary else { return [] }
    return [
        "\(escaped(folder))/tokenizer.json has \(tokenizer.vocabularySize) ids and the embedding \(model.vocabulary) rows: text "
            + "with a token from \(model.vocabulary) on cannot be read; resize the embedding with transformers' "
            + "resize_token_embeddings, or take the tokenizer that the model was trained with"
    ]
}
