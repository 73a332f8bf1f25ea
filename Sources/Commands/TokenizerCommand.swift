import ArgumentParser
import Checkpoints
import Glibc
import Safetensors
import Tokenizers

struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Encode and decode text with a checkpoint's own tokenizer, or train one.",
        subcommands: [Encode.self, Decode.self, TokenizerTraining.self])

    struct Encode: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Text on standard input to token ids, as a JSON list.",
            discussion: """
                  echo -n "Hello" | moe-tool tokenizer encode mistral-7b
                  moe-tool tokenizer encode --lines mistral-7b < texts.jsonl     # a list for each line
                """)

        @Argument(
            help: "A checkpoint's folder, a tokenizer.json, a tekken.json or a tokenizer.model.", completion: .file())
        var model: String

        @Flag(help: "Add the special tokens that the tokenizer's template asks for.")
        var special = false

        @Flag(help: "Each line of the input is a JSON string, or an object with a text.")
        var lines = false

        @OptionGroup var common: CommonOptions

        func run() throws {
            let tokenizer = try open(model)
            let input = try standardInput()
            var texts: [JSON] = []
            func give(_ ids: [Int32]) throws {
                if common.json {
                    texts.append(.object(["ids": .array(ids.map { JSON(Int($0)) })]))
                } else {
                    try standardOutput(list(ids))
                }
            }
            if lines {
                try encodeLines(input, tokenizer, give)
            } else {
                try give(tokenizer.encode(input, addsSpecialTokens: special))
            }
            if common.json { try standardOutput(content: JSON.object(["texts": .array(texts)]).line) }
        }

        private func encodeLines(
            _ input: [UInt8], _ tokenizer: Tokenizer, _ give: ([Int32]) throws -> Void
        ) throws {
            for (number, line) in numberedLines(input) {
                try checkSignals()
                // An empty line keeps its place, so that lines of input and output belong together.
                guard !line.isEmpty else {
                    try give([])
                    continue
                }
                let place = "standard input, line \(number)"
                let json = try JSON(parsing: Array(line), file: place)
                guard let text = json.string ?? json.object?["text"]?.string else {
                    throw SafetensorsError(
                        .malformed, file: place,
                        message: "expected a JSON string, or an object with a text")
                }
                try give(tokenizer.encode(text, addsSpecialTokens: special))
            }
        }

        private func list(_ ids: [Int32]) -> String {
            var text = "["
            for (index, id) in ids.enumerated() {
                if index > 0 { text += ", " }
                text += String(id)
            }
            return text + "]"
        }
    }

    struct Decode: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists of token ids on standard input, one a line, to text.",
            discussion: "Prints each text as a JSON string on a line of its own; with --raw, as it is.")

        @Argument(
            help: "A checkpoint's folder, a tokenizer.json, a tekken.json or a tokenizer.model.", completion: .file())
        var model: String

        @Flag(help: "Keep special tokens.")
        var special = false

        @Flag(help: "Print the texts as they are, without quotes or line feeds.")
        var raw = false

        @OptionGroup var common: CommonOptions

        func validate() throws {
            if raw, common.json { throw ValidationError("--raw and --json are two ways to print: give one of them") }
        }

        func run() throws {
            let tokenizer = try open(model)
            var texts: [JSON] = []
            func give(_ text: String) throws {
                if common.json {
                    texts.append(.object(["text": .string(text)]))
                } else {
                    try standardOutput(content: raw ? text : quoted(text), terminator: raw ? "" : "\n")
                }
            }
            for (number, line) in numberedLines(try standardInput()) {
                try checkSignals()
                guard !line.isEmpty else {
                    try give("")
                    continue
                }
                let place = "standard input, line \(number)"
                let json = try JSON(parsing: Array(line), file: place)
                guard let ids = json.array, ids.allSatisfy({ $0.int.flatMap { Int32(exactly: $0) } != nil }) else {
                    throw SafetensorsError(.malformed, file: place, message: "expected a JSON list of token ids")
                }
                try give(
                    tokenizer.decode(
                        ids.compactMap { $0.int.flatMap { Int32(exactly: $0) } }, skipsSpecialTokens: !special))
            }
            if common.json { try standardOutput(content: JSON.object(["texts": .array(texts)]).line) }
        }
    }
}

private func open(_ model: String) throws -> Tokenizer {
    if model.hasSuffix(".json") || Tokenizer.isSentencePiece(model) { return try Tokenizer(contentsOf: model) }
    let folder = try resolveModelPath(model)
    guard try Tokenizer.fileNames.contains(where: { try fileExists(folder + "/" + $0) }) else {
        throw CheckpointError(
            .incompatible, file: model,
            message:
                "there is no tokenizer.json, tekken.json or tokenizer.model: transformers' save_pretrained of a fast "
                + "tokenizer writes a tokenizer.json")
    }
    return try Tokenizer(inFolder: folder)
}

/// The lines of an input, each with its number; what follows the last line feed is one where it is not empty.
private func numberedLines(_ input: [UInt8]) -> [(number: Int, line: ArraySlice<UInt8>)] {
    var lines = input.split(separator: 0x0A, omittingEmptySubsequences: false)
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    return lines.enumerated().map { index, line in (index + 1, line.last == 0x0D ? line.dropLast() : line) }
}

/// Ends the command where a signal asked for it.
private func checkSignals() throws {
    if receivedSignal != 0 { throw ExitStatus(code: 128 + receivedSignal) }
}

/// All of standard input.
private func standardInput() throws -> [UInt8] {
    var result: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        // The call that reads is started again after a signal: what waits is asked first.
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        let ready = poll(&input, 1, 200)
        try checkSignals()
        if ready == 0 || (ready < 0 && errno == EINTR) { continue }
        let count = buffer.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else {
            throw SafetensorsError(
                .io, file: "standard input", message: "cannot be read: \(String(cString: strerror(errno)))")
        }
        if count == 0 { return result }
        result += buffer[0..<count]
    }
}
