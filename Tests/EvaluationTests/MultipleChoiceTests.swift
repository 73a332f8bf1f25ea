import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Tokenizers

/// Questions, a model and the harness' scores: Tests/Fixtures/tasks/make.py.
@Suite("Multiple-choice questions")
struct MultipleChoiceTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("Scores and shares are the harness'", arguments: ["gpt2-style", "mistral-style", "begins"], [" ", ""])
    func scores(_ tokenizer: String, _ delimiter: String) throws {
        let path = Fixtures.file("tasks/expected.json")
        let name = tokenizer + (delimiter.isEmpty ? ", no delimiter" : "")
        let expected = try #require(try JSON(parsing: contents(path), file: path).object?[name]?.object)
        let decoder = try Decoder(Checkpoint(at: Fixtures.file("tasks")), workers: Workers(threads: 2))
        let encoder = try TextEncoder(
            .tokenizer(
                Tokenizer(
                    contentsOf: Fixtures.file(
                        tokenizer == "begins" ? "tasks/begins.json" : "tokenizers/\(tokenizer)/tokenizer.json"))),
            vocabularySize: 1300, beginning: 1, end: 2)
        let questions = try QuestionFile.questions(Fixtures.file("tasks/questions.jsonl"))
        #expect(questions.map(\.answer) == [0, 1, 1, 2, 2, 0, 3, 0, 1, 0, 1])
        let scores = try MultipleChoice(decoder, encoder, delimiter: delimiter).score(questions)
        let results = try #require(expected["results"]?.array)
        #expect(results.count == scores.count)
        for (index, (result, score)) in zip(results, scores).enumerated() {
            let values = (result.object?["lls"]?.array ?? []).compactMap(\.double)
            #expect(values.count == score.logLikelihoods.count)
            for (a, b) in zip(score.logLikelihoods, values) {
                #expect(abs(a - b) < 1e-3, "question \(index): \(a) \(b)")
            }
        }
        let result = MultipleChoiceResult(questions, scores)
        #expect(result.accuracy == expected["acc"]?.double)
        #expect(result.normalizedAccuracy == expected["acc_norm"]?.double)
    }

    @Test("Characters and bytes are divided by where they differ; the first of equal scores counts")
    func normalisation() {
        let question = MultipleChoice.Question(context: "c", choices: ["日本", "abc"], answer: 0)
        // -6 over 2 characters or 6 bytes, -6.6 over 3 or 3.
        let scores = MultipleChoice.Scores(logLikelihoods: [-6, -6.6])
        let result = MultipleChoiceResult([question], [scores])
        #expect(result.accuracy == 1)
        #expect(result.normalizedAccuracy == 0)
        #expect(result.byteAccuracy == 1)
        let equal = MultipleChoiceResult([question], [MultipleChoice.Scores(logLikelihoods: [-1, -1])])
        #expect(equal.accuracy == 1)
        // Of four questions one is right: the sample's variance is 1/4 * 3/4 * 4/3.
        let some = MultipleChoiceResult(
            [MultipleChoice.Question](repeating: question, count: 4),
            [scores] + [MultipleChoice.Scores](repeating: .init(logLikelihoods: [-2, -1]), count: 3))
        #expect(abs((some.json["acc_stderr"]?.double ?? 0) - 0.25) < 1e-12)
    }

    @Test(
        "What is no question is refused with file and line",
        arguments: [
            #"{"choices": ["a", "b"], "answer": 0}"#, #"{"context": "c", "choices": ["a"], "answer": 0}"#,
            #"{"context": "c", "choices": ["a", ""], "answer": 0}"#,
            #"{"context": "c", "choices": ["a", 1], "answer": 0}"#,
            #"{"context": "c", "choices": ["a", "b"], "answer": 2}"#,
            #"{"context": "c", "choices": ["a", "b"], "answer": -1}"#,
            #"{"context": "c", "choices": ["a", "b"], "answer": "d"}"#, #"{"context": "c", "choices": ["a", "b"]}"#,
            "[]", "{",
        ])
    func refusals(_ line: String) throws {
        let good = #"{"context": "c", "choices": ["a", "b"], "answer": "b"}"#
        let path = try folder.write("q.jsonl", Array("\(good)\n\n\(line)\n".utf8))
        let error = #expect(throws: CheckpointError.self) { try QuestionFile.questions(path) }
        #expect(error?.code == .malformed)
        #expect(error?.description.contains("q.jsonl, line 3") == true)
        let fine = try folder.write("g.jsonl", Array(good.utf8))
        #expect(try QuestionFile.questions(fine) == [.init(context: "c", choices: ["a", "b"], answer: 1)])
        #expect(throws: CheckpointError.self) { try QuestionFile.questions(try folder.write("e.jsonl", [])) }
        #expect(throws: CheckpointError.self) { try QuestionFile.questions(try folder.write("q.txt", Array("x".utf8))) }
    }
}
