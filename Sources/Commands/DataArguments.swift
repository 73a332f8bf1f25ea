import ArgumentParser
import Checkpoints
import Evaluation
import Safetensors

/// How text is read, for every command that reads some.
struct DataArguments: ParsableArguments {
    @Option(help: "The key of a document's text in a line of JSON.")
    var textField = "text"

    @Flag(help: "Leave out, and count, documents and files that are broken instead of stopping.")
    var skipBad = false

    @OptionGroup var text: TokenizerArguments

    var tokenizer: String { text.tokenizer }

    var options: DataOptions {
        var options = DataOptions()
        options.textField = textField
        options.skipsBad = skipBad
        return options
    }

    /// What encodes text for a model.
    func encoder(_ path: String, _ checkpoint: Checkpoint) throws -> TextEncoder { try text.encoder(path, checkpoint) }
}

/// How domains find their experts.
struct DomainArguments: ParsableArguments {
    @Flag(
        help:
            "Domains are the experts' in their order. Otherwise each goes to the expert that came from the model of its name."
    )
    var domainsInOrder = false
}

/// What makes tokens of text.
struct TokenizerArguments: ParsableArguments {
    @Option(
        help: "What makes tokens of text: auto, the tokenizer.json beside the model; or bytes, a token for each byte.",
        completion: .list(["auto", "bytes"]))
    var tokenizer = "auto"

    func validate() throws {
        guard ["auto", "bytes"].contains(tokenizer) else {
            throw ValidationError("--tokenizer \(tokenizer): give auto or bytes")
        }
    }

    /// What encodes text for a model.
    ///
    /// - Parameter path: the folder that the tokenizer is in.
    func encoder(_ path: String, _ checkpoint: Checkpoint) throws -> TextEncoder {
        let kind: TextEncoder.Kind =
            tokenizer == "bytes" ? .bytes : try .tokenizer(inFolder: resolveModelPath(path)) ?? .none
        return try TextEncoder(kind, for: checkpoint.description)
    }
}
