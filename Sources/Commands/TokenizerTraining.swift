import ArgumentParser
import Checkpoints
import Evaluation
import Safetensors
import Tokenizers

/// `tokenizer train`.
struct TokenizerTraining: ParsableCommand {
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

    private var specialTokens: [String] { special.isEmpty ? ["<|endoftext|>"] : special }

    func validate() throws {
        if let problem = BytePairVocabulary.problem(size: vocabSize, specialTokens: specialTokens) {
            throw ValidationError(problem)
        }
        guard (1...1_000_000_000).contains(minFrequency) else {
            throw ValidationError("--min-frequency \(minFrequency): give 1 to 1000000000")
        }
    }

    func run() throws {
        let work = try OutputFolder(output, .tokenizer, overwrite: force)
        var options = DataOptions()
        options.textField = textField
        options.skipsBad = skipBad
        var trainer = BytePairTrainer(words)
        var skipped = 0
        for source in try DataSource.parse(data) {
            let reader = try DocumentReader(source, options: options)
            while let document = try reader.next() { trainer.add(document.text) }
            skipped += reader.skippedCount
        }
        guard trainer.byteCount > 0 else { throw usage("there is no text in --data") }
        let vocabulary = try trainer.vocabulary(
            size: vocabSize, minimumFrequency: minFrequency, specialTokens: specialTokens)

        let end = JSON.string(specialTokens[0])
        let settings: JSONObject = [
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end,
            "model_max_length": .number("1000000000000000019884624838656"), "clean_up_tokenization_spaces": false,
        ]
        func text(_ json: JSON) -> [UInt8] { Array((json.serialized() + "\n").utf8) }
        for remark in try work.write([
            ("tokenizer.json", text(vocabulary.json)), ("tokenizer_config.json", text(.object(settings))),
        ]) { standardError("warning: \(remark)\n") }
        try report(vocabulary, trainer.byteCount, skipped)
    }

    private func report(_ vocabulary: BytePairVocabulary, _ bytes: Int, _ skipped: Int) throws {
        let perToken = Double(bytes) / Double(max(vocabulary.tokenCount, 1))
        if common.json {
            try standardOutput(
                JSON.object([
                    "output": .string(output), "tokens": JSON(vocabulary.tokens.count),
                    "special_tokens": .strings(specialTokens), "merges": JSON(vocabulary.merges.count),
                    "text_bytes": JSON(bytes), "text_tokens": JSON(vocabulary.tokenCount),
                    "bytes_per_token": JSON(perToken), "skipped": JSON(skipped),
                ]).serialized())
            return
        }
        guard !common.quiet else { return }
        var table = TextTable([.left, .left])
        table.add("tokens", "\(vocabulary.tokens.count), of which \(vocabulary.merges.count) merged")
        table.add("text", "\(byteText(bytes)), \(fixedText(perToken, digits: 2)) bytes a token")
        if skipped > 0 { table.add("left out", "\(skipped) broken") }
        table.add("output", escaped(output))
        try standardOutput(table.text, terminator: "")
        if vocabulary.tokens.count < vocabSize {
            standardError("note: no other pair occurs \(minFrequency) times: the text has no more tokens\n")
        }
    }
}

extension BytePairTrainer.Words: ExpressibleByArgument {}
