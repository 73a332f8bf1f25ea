import ArgumentParser
import MoEToolkit

/// How text is read, for every command that reads some.
struct DataArguments: ParsableArguments {
    @Option(help: "The key of a document's text in a line of JSON.")
    var textField = "text"

    @Flag(help: "Leave out, and count, documents and files that are broken instead of stopping.")
    var skipBad = false

    @OptionGroup var text: TokenizerArguments

    /// How text is read.
    ///
    /// - Parameter tokenLimit: tokens of each domain at most.
    func options(tokenLimit: Int?) -> TextOptions {
        var options = TextOptions()
        options.textField = textField
        options.skipsBad = skipBad
        options.tokenizer = text.tokenization
        options.tokenLimit = tokenLimit
        return options
    }
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

    var tokenization: TextOptions.Tokenization { TextOptions.Tokenization(rawValue: tokenizer) ?? .auto }
}
