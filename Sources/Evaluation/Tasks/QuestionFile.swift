import Checkpoints
import Safetensors

/// A file of questions: on each line a JSON object with `context`, `choices` and `answer`.
package enum QuestionFile {
    /// A line is a question, and no question is longer.
    private static let lineLimit = 16 << 20

    /// Reads a .jsonl or .jsonl.zst file.
    ///
    /// `answer` is the right choice's index, counted from 0, or its text.
    ///
    /// - Throws: `.malformed` with file and line for what is no question, `.usage` for a file of another kind,
    ///   `SafetensorsError` where it cannot be read.
    package static func questions(_ path: String) throws -> [MultipleChoice.Question] {
        let file = try DataFile(path)
        guard file.kind == .lines else {
            throw CheckpointError(.usage, file: path, message: "expected questions as .jsonl or .jsonl.zst")
        }
        var lines = LineReader(try file.open(), file: path, limit: lineLimit)
        var questions: [MultipleChoice.Question] = []
        while let line = try lines.next() {
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            questions.append(try question(line, place: "\(path), line \(lines.lineNumber)"))
        }
        guard !questions.isEmpty else {
            throw CheckpointError(.malformed, file: path, message: "empty: there is no question in it")
        }
        return questions
    }

    private static func question(_ line: [UInt8], place: String) throws -> MultipleChoice.Question {
        func failure(_ message: String) -> CheckpointError {
            CheckpointError(.malformed, file: place, message: message)
        }
        let value: JSON
        do {
            value = try JSON(parsing: line, file: place)
        } catch {
            throw failure(error.message)
        }
        guard let object = value.object, let context = object["context"]?.string else {
            throw failure("expected an object with a context, which is a string, choices and an answer")
        }
        let list = object["choices"]?.array ?? []
        let choices = list.compactMap(\.string)
        guard choices.count == list.count, choices.count >= 2, choices.allSatisfy({ !$0.isEmpty }) else {
            throw failure("choices should be a list of two or more strings that are not empty")
        }
        let answer: Int?
        if let index = object["answer"]?.int {
            answer = choices.indices.contains(index) ? index : nil
        } else {
            answer = object["answer"]?.string.flatMap { choices.firstIndex(of: $0) }
        }
        guard let answer else {
            throw failure("answer should be the index of one of the \(choices.count) choices, from 0, or its text")
        }
        return MultipleChoice.Question(context: context, choices: choices, answer: answer)
    }
}
