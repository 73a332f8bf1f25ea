import Checkpoints
import Glibc
package import Models
import Numerics
public import Safetensors
import Tokenizers

/// Questions with a choice of answers, scored by what a model makes of each answer, as EleutherAI's lm-evaluation-harness
/// counts them.
///
/// What is scored is what lm-evaluation-harness 0.4.13 scores with transformers: a choice follows the context after a
/// delimiter; spaces at the end of the context belong to the choice; context and choice are encoded together, with what the
/// tokenizer's template puts around a text unless the text begins with the first token's own, and the choice's tokens are
/// those after as many as the context has by itself; an empty context is the token that begins documents; and of what is too
/// long for the model the beginning is left out.
///
/// `acc` counts the questions whose answer has the highest score, `acc_norm` those whose answer has the highest score
/// divided by the choice's characters, `acc_bytes` by its bytes.
package struct MultipleChoice {
    /// A question.
    package struct Question: Sendable, Hashable {
        package let context: String
        package let choices: [String]
        /// The index of the right choice.
        package let answer: Int

        package init(context: String, choices: [String], answer: Int) {
            self.context = context
            self.choices = choices
            self.answer = answer
        }
    }

    /// The scores of a question's choices, in nats.
    package struct Scores: Sendable, Hashable {
        package let logLikelihoods: [Double]

        package init(logLikelihoods: [Double]) { self.logLikelihoods = logLikelihoods }
    }

    private let decoder: Decoder
    private let encoder: TextEncoder
    private let delimiter: String
    /// The token that stands for an empty context, and the text that it is.
    private let start: (id: Int32, text: String)?
    private let maximumLength: Int
    /// Rows of a batch times its length: enough for the matrix products.
    private let tokensAtOnce: Int

    /// - Parameter delimiter: what is between context and choice: the harness' `target_delimiter`.
    package init(
        _ decoder: Decoder, _ encoder: TextEncoder, delimiter: String = " ", tokensAtOnce: Int = 2048
    ) throws {
        self.tokensAtOnce = tokensAtOnce
        self.decoder = decoder
        self.encoder = encoder
        self.delimiter = delimiter
        if case .tokenizer(let tokenizer) = encoder.kind {
            start = (tokenizer.beginning ?? tokenizer.end ?? encoder.documentStart).map { id in
                (id, tokenizer.decode([id], skipsSpecialTokens: false))
            }
        } else {
            start = encoder.documentStart.map { ($0, "") }
        }
        let description = decoder.checkpoint.description
        maximumLength = try description.positions ?? 2048
        if case .none = encoder.kind {
            throw CheckpointError(
                .incompatible, file: description.config.file,
                message: "there is no tokenizer.json beside the model to encode questions with")
        }
    }

    /// A choice after its context.
    struct Request {
        let question: Int
        let choice: Int
        /// Everything that is read: all tokens but the last.
        var input: [Int32]
        /// What is scored: the last of all tokens.
        let continuation: [Int32]
    }

    /// The choices' scores, question by question.
    ///
    /// - Parameter progress: called with how many choices are done, of how many.
    /// - Throws: `.incompatible` for tokens that the model does not know, and a context that is empty where no token
    ///   begins documents.
    package func score(_ questions: [Question], progress: (Int, Int) throws -> Void = { _, _ in }) throws -> [Scores] {
        var requests: [Request] = []
        for (index, question) in questions.enumerated() {
            for choice in question.choices.indices { requests.append(try request(question, choice, index: index)) }
        }
        // The longest first: batches of like lengths, and memory runs out at the beginning or not at all.
        requests.sort { ($1.input.count, $0.question, $0.choice) < ($0.input.count, $1.question, $1.choice) }
        var values = questions.map { [Double](repeating: 0, count: $0.choices.count) }
        var first = 0
        while first < requests.count {
            let length = max(requests[first].input.count, 1)
            let batch = requests[first..<min(requests.count, first + max(tokensAtOnce / length, 1))]
            for (request, value) in zip(batch, try logLikelihoods(Array(batch), length: length)) {
                values[request.question][request.choice] = value
            }
            first = batch.endIndex
            try progress(first, requests.count)
        }
        return values.map { Scores(logLikelihoods: $0) }
    }

    func request(_ question: Question, _ choice: Int, index: Int) throws -> Request {
        let place = "question \(index + 1), choice \(choice + 1)"
        func failure(_ message: String) -> CheckpointError { CheckpointError(.incompatible, message: place + message) }
        var context = question.context.unicodeScalars[...]
        var continuation = String.UnicodeScalarView(delimiter.unicodeScalars)
        continuation.append(contentsOf: question.choices[choice].unicodeScalars)
        let spaces = context.reversed().prefix(while: Self.isSpace).reversed()
        continuation.insert(contentsOf: spaces, at: continuation.startIndex)
        context.removeLast(spaces.count)
        let before: [Int32]
        var scored: [Int32]
        if question.context.isEmpty {
            guard let start else {
                throw failure(": there is no context, and the model has no token that begins a text")
            }
            scored = try encode(String(continuation), addsSpecialTokens: false)
            if scored.first == start.id { scored.removeFirst() }
            before = [start.id]
        } else {
            before = try encode(String(context))
            scored = Array(try encode(String(context) + String(continuation)).dropFirst(before.count))
        }
        guard !before.isEmpty else { throw failure(": the context has no token: leave it empty, or give it text") }
        guard !scored.isEmpty else { throw failure(": the choice has no token of its own after the context") }
        guard scored.count <= maximumLength else {
            throw failure(" has \(scored.count) tokens, and the model reads at most \(maximumLength)")
        }
        let whole = before + scored
        try encoder.check(whole[...], place: place)
        let kept = whole.suffix(maximumLength + 1)
        return Request(question: index, choice: choice, input: Array(kept.dropLast()), continuation: scored)
    }

    /// White space as Python strips it.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    private func encode(_ text: String) throws -> [Int32] {
        let isBegun = start.map { text.utf8.starts(with: $0.text.utf8) } ?? false
        return try encode(text, addsSpecialTokens: !isBegun)
    }

    private func encode(_ text: String, addsSpecialTokens: Bool) throws -> [Int32] {
        guard case .tokenizer(let tokenizer) = encoder.kind else { return text.utf8.map { Int32($0) } }
        return try tokenizer.encode(text, addsSpecialTokens: addsSpecialTokens)
    }

    /// Sequences are filled up at the end, which no token before it sees.
    private func logLikelihoods(_ requests: [Request], length: Int) throws -> [Double] {
        var ids: [Int32] = []
        for request in requests {
            ids += request.input
            ids += repeatElement(request.input.last ?? 0, count: length - request.input.count)
        }
        let states = try decoder.forward(TokenBatch(ids: ids, length: length))
        var targets: [(row: Int, request: Int, id: Int32)] = []
        for (index, request) in requests.enumerated() {
            let start = index * length + request.input.count - request.continuation.count
            for (offset, id) in request.continuation.enumerated() { targets.append((start + offset, index, id)) }
        }
        var result = [Double](repeating: 0, count: requests.count)
        var first = 0
        while first < targets.count {
            let part = targets[first..<min(targets.count, first + decoder.logitRows)]
            let rows = Matrix(rows: part.count, columns: states.columns)
            for (index, target) in part.enumerated() {
                rows.row(index).update(from: states.row(target.row), count: states.columns)
            }
            let logits = try decoder.logits(rows.span)
            for (index, target) in part.enumerated() {
                let values = UnsafeBufferPointer(start: logits.row(index), count: logits.columns)
                result[target.request] += Double(values[Int(target.id)]) - logSum(values)
            }
            first = part.endIndex
        }
        return result
    }
}

/// What share of questions a model answers.
public struct MultipleChoiceResult: JSONResult {
    /// How many questions there are.
    public let questions: Int
    /// The answer has the highest score.
    public let accuracy: Double
    /// The answer has the highest score over its characters.
    public let normalizedAccuracy: Double
    /// The answer has the highest score over its bytes.
    public let byteAccuracy: Double

    package init(_ questions: [MultipleChoice.Question], _ scores: [MultipleChoice.Scores]) {
        var counts = (plain: 0, characters: 0, bytes: 0)
        for (question, scores) in zip(questions, scores) {
            /// The first of equal ones, as numpy has it.
            func best(_ size: (String) -> Int) -> Int? {
                let values = zip(scores.logLikelihoods, question.choices).map { $0 / Double(max(size($1), 1)) }
                return values.indices.max { values[$0] < values[$1] || (values[$0] == values[$1] && $0 > $1) }
            }
            counts.plain += best { _ in 1 } == question.answer ? 1 : 0
            counts.characters += best { $0.unicodeScalars.count } == question.answer ? 1 : 0
            counts.bytes += best { $0.utf8.count } == question.answer ? 1 : 0
        }
        let total = Double(max(questions.count, 1))
        self.questions = questions.count
        accuracy = Double(counts.plain) / total
        normalizedAccuracy = Double(counts.characters) / total
        byteAccuracy = Double(counts.bytes) / total
    }

    /// The standard error of the mean of a share, as the harness has it: from the sample's variance.
    private func standardError(_ share: Double) -> Double {
        questions > 1 ? (share * (1 - share) / Double(questions - 1)).squareRoot() : 0
    }

    /// The result under the harness' names.
    public var json: JSONObject {
        [
            "questions": JSON(questions), "acc": JSON(accuracy), "acc_stderr": JSON(standardError(accuracy)),
            "acc_norm": JSON(normalizedAccuracy), "acc_norm_stderr": JSON(standardError(normalizedAccuracy)),
            "acc_bytes": JSON(byteAccuracy),
        ]
    }
}
