import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Safetensors

/// The tasks that `--tasks` names, read before anything is computed.
struct TaskList {
    private let tasks: [(name: String, questions: [MultipleChoice.Question])]
    private let delimiter: String

    /// - Parameter delimiter: what is between context and choice.
    /// - Throws: `CheckpointError` for two tasks of one name and for files that are not questions.
    init(_ arguments: [String], delimiter: String) throws {
        self.delimiter = delimiter
        var tasks: [(name: String, questions: [MultipleChoice.Question])] = []
        for argument in arguments {
            var (name, path) = ("", argument)
            if let equals = argument.firstIndex(of: "="), !argument[..<equals].contains("/") {
                (name, path) = (String(argument[..<equals]), String(argument[argument.index(after: equals)...]))
            } else {
                let file = argument.split(separator: "/").last.map(String.init) ?? argument
                name = file.firstIndex(of: ".").map { String(file[..<$0]) } ?? file
            }
            guard !name.isEmpty, !path.isEmpty else {
                throw ValidationError("--tasks \(argument): expected NAME=FILE or FILE")
            }
            guard !tasks.contains(where: { $0.name == name }) else {
                throw ValidationError("two tasks are named \(name): name them by --tasks NAME=FILE")
            }
            tasks.append((name, try QuestionFile.questions(path)))
        }
        self.tasks = tasks
    }

    /// How many questions a model answers.
    ///
    /// - Parameter progress: told the task, and how many of its choices are done.
    func results(
        _ decoder: Decoder, _ encoder: TextEncoder, tokensAtOnce: Int,
        _ progress: (_ name: String, _ done: Int, _ total: Int) throws -> Void
    ) throws -> [(name: String, result: MultipleChoiceResult)] {
        guard !tasks.isEmpty else { return [] }
        let scorer = try MultipleChoice(decoder, encoder, delimiter: delimiter, tokensAtOnce: tokensAtOnce)
        return try tasks.map { name, questions in
            let scores = try scorer.score(questions) { try progress(name, $0, $1) }
            return (name, MultipleChoiceResult(questions, scores))
        }
    }

    /// A row for each model and task; empty where there are none.
    static func table(_ rows: [(model: String, tasks: [(name: String, result: MultipleChoiceResult)])]) -> String {
        guard rows.contains(where: { !$0.tasks.isEmpty }) else { return "" }
        var table = TextTable([.left, .left, .right, .right, .right])
        table.add("", "task", "questions", "acc", "acc_norm")
        for (model, tasks) in rows {
            for (name, result) in tasks {
                table.add(
                    escaped(model), escaped(name), "\(result.questions)", fixedText(result.accuracy, digits: 4),
                    fixedText(result.normalizedAccuracy, digits: 4))
            }
        }
        return table.text
    }
}
