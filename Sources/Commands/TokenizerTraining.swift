public import ArgumentParser
public import MoEToolkit
import Safetensors

/// `tokenizer train`.
struct TokenizerTraining: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Make a byte-level BPE tokenizer of text.",
        discussion: """
            Writes tokenizer.json, which the Hugging Face library reads and encodes with identically, and \
            tokenizer_config.json. The vocabulary is special tokens, 256 bytes and merges, the most frequent pair first. \
            A preset of `train` takes the folder as --tokenizer-from.

              moe-tool tokenizer train --data texts/ --vocab-size 4096 -o tokenizer
            """)

    @Option(help: "Text: a file, or a folder of files; repeatable.", completion: .file())
    var data: [String]

    @Option(help: "Tokens, special ones and the 256 bytes included.")
    var vocabSize = 4096

    @Option(help: "How often a pair must occur to become a token.")
    var minFrequency = 2

    @Option(
        help: """
            How text is cut into words that tokens do not cross: as of gpt2, llama3 (up to three digits together) or qwen2 \
            (each digit alone).
            """)
    var words: BytePairTrainer.Words = .gpt2

    @Option(
        help: ArgumentHelp(
            "Special tokens, the end of text first; repeatable. By default <|endoftext|>.", valueName: "token"))
    var special: [String] = []

    @Option(help: "The key of a document's text in a line of JSON.")
    var textField = "text"

    @Flag(help: "Leave out, and count, documents and files that are broken instead of stopping.")
    var skipBad = false

    @Option(
        name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "folder"), completion: .directory)
    var output: String

    @Flag(help: "Replace a tokenizer that exists.")
    var force = false

    @OptionGroup var common: CommonOptions

    private var options: TokenizerTrainingOptions {
        var options = TokenizerTrainingOptions(data: data)
        options.vocabularySize = vocabSize
        options.minimumFrequency = minFrequency
        options.words = words
        if !special.isEmpty { options.specialTokens = special }
        options.text.textField = textField
        options.text.skipsBad = skipBad
        options.overwrite = force
        return options
    }

    func validate() throws {
        if let problem = options.problem { throw ValidationError(problem) }
        guard (1...1_000_000_000).contains(minFrequency) else {
            throw ValidationError("--min-frequency \(minFrequency): give 1 to 1000000000")
        }
    }

    func run() async throws {
        let result = try await TokenizerTrainingSession(options).run(output: output)
        for remark in result.warnings { standardError("warning: \(remark)\n") }
        if common.json {
            try standardOutput(result.jsonText)
            return
        }
        guard !common.quiet else { return }
        var table = TextTable([.left, .left])
        table.add("tokens", "\(result.tokens), of which \(result.merges) merged")
        table.add("text", "\(byteText(result.textBytes)), \(fixedText(result.bytesPerToken, digits: 2)) bytes a token")
        if result.skipped > 0 { table.add("left out", "\(result.skipped) broken") }
        table.add("output", escaped(output))
        try standardOutput(table.text, terminator: "")
        if result.tokens < vocabSize {
            standardError("note: no other pair occurs \(minFrequency) times: the text has no more tokens\n")
        }
    }
}

extension BytePairTrainer.Words: ExpressibleByArgument {}
