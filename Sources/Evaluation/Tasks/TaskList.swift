import Checkpoints
import Models

/// Files of questions, read before anything is computed.
struct TaskList {
    private let tasks: [(name: String, questions: [MultipleChoice.Question])]
    private let delimiter: String

    /// - Parameters:
    ///   - arguments: `NAME=FILE`, or `FILE`, which is named for its name up to the first dot.
    ///   - delimiter: what is between context and choice.
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
                throw CheckpointError(.usage, message: "`tasks` \(argument): expected NAME=FILE or FILE")
            }
            guard !tasks.contains(where: { $0.name == name }) else {
                throw CheckpointError(
                    .usage, message: "two tasks are named \(name): name them by `tasks` NAME=FILE")
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
    ) throws -> [EvaluationResult.Task] {
        guard !tasks.isEmpty else { return [] }
        let scorer = try MultipleChoice(decoder, encoder, delimiter: delimiter, tokensAtOnce: tokensAtOnce)
        return try tasks.map { name, questions in
            let scores = try scorer.score(questions) { try progress(name, $0, $1) }
            return EvaluationResult.Task(name: name, result: MultipleChoiceResult(questions, scores))
        }
    }
}
