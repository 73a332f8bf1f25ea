import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Tokenizers
import Transforms

/// Rows of routers measured on text and prompts. The model is Tests/Fixtures/tasks, with a byte-level tokenizer of as many
/// tokens; mergekit's rows are checked against mergekit itself in Tests/Interop/gates.py.
@Suite("Router rows measured with a model")
struct RouterRowsTests {
    private let folder: TemporaryFolder
    private let model: String
    private let workers = Workers(threads: 2)

    init() throws {
        folder = try TemporaryFolder()
        model = try folder.copy(Fixtures.file("tasks"), as: "m")
        try folder.write("m/tokenizer.json", contents(Fixtures.file("tokenizers/gpt2-style/tokenizer.json")))
    }

    private func rows(_ recipe: MergeRecipe, _ text: String) throws -> [Int: [Float]] {
        let measurement = try #require(try RouterMeasurement(text: text))
        return try RouterRowMeasurement(recipe, measurement, workers: workers, memory: 1 << 30).rows().experts
    }

    private func recipe(_ models: Int) -> MergeRecipe {
        var recipe = MergeRecipe(models: [String](repeating: model, count: models))
        recipe.options.average = .linear
        // The models have one name, and the domains others.
        recipe.takesDomainsInOrder = true
        return recipe
    }

    /// Copies of one model are that model, whatever the gates: what a router sees is the model's own stream after the
    /// layer's norm, which is computed here from the stream that leaves the layers before.
    @Test("Domain rows are the centred means of what the routers see")
    func domain() throws {
        let texts = ["a": "Hello world, this is text. ", "b": "def f(x): return x + 1\n"]
        for (name, text) in texts {
            try folder.write("\(name).txt", Array(String(repeating: text, count: 40).utf8))
        }
        let found = try rows(recipe(2), "domain:a=\(folder.path)/a.txt,b=\(folder.path)/b.txt")
        let checkpoint = try Checkpoint(at: model)
        let moe = try Decoder(checkpoint.upcycled(experts: 2, topK: 2), workers: workers)
        let encoder = try TextEncoder(for: checkpoint)
        var means: [Int: [[Double]]] = [:]
        for name in ["a", "b"] {
            let source = DataSource(name: name, path: "\(folder.path)/\(name).txt")
            let reader = try WindowReader(source, length: 64, options: DataOptions(), encoder: encoder)
            let windows = try #require(try reader.next(atMost: 1000))
            let recorder = InputRecorder()
            _ = try moe.forward(TokenBatch(ids: windows.ids, length: 64), observer: recorder)
            for (layer, rows) in recorder.inputs {
                means[layer, default: []].append(
                    (0..<16).map { column in rows.reduce(0) { $0 + Double($1[column]) } / Double(rows.count) })
            }
        }
        #expect(found.keys.sorted() == [0, 1])
        for (layer, rows) in found {
            let expected = RouterValues.domain(means: try #require(means[layer]), logitStandardDeviation: 1)
            #expect(rows.count == 32)
            for (a, b) in zip(rows, expected) { #expect(abs(a - b) < 1e-3 * max(1, abs(b)), "\(layer)") }
        }
    }

    @Test("Domains are given to the experts by the models' names, and otherwise refused")
    func names() throws {
        let second = try folder.copy(model, as: "a")
        for (name, text) in ["a": "Hello world, this is text. ", "m": "def f(x): return x + 1\n"] {
            try folder.write("\(name).txt", Array(String(repeating: text, count: 40).utf8))
        }
        var recipe = MergeRecipe(models: [model, second])
        let byName = try rows(recipe, "domain:a=\(folder.path)/a.txt,m=\(folder.path)/m.txt")
        let inOrder = try rows(recipe, "domain:m=\(folder.path)/m.txt,a=\(folder.path)/a.txt")
        #expect(byName == inOrder)
        let others = "domain:x=\(folder.path)/a.txt,y=\(folder.path)/m.txt"
        let error = #expect(throws: CheckpointError.self) { try rows(recipe, others) }
        #expect(error?.description.contains("no expert came from a model named x") == true)
        recipe.takesDomainsInOrder = true
        #expect(try rows(recipe, others) != inOrder)
        recipe.takesDomainsInOrder = false
        recipe.logitDeviation = 2
        let wide = try rows(recipe, "domain:m=\(folder.path)/m.txt,a=\(folder.path)/a.txt")
        for (a, b) in zip(wide[0] ?? [], inOrder[0] ?? []) { #expect(abs(a - 2 * b) < 1e-5) }
    }

    /// With one domain a cluster is sought for no expert in particular; with as many as experts each gets its domain's.
    @Test("Clusters of domains that lie apart are the domains")
    func centroids() throws {
        try folder.write("a.txt", Array(String(repeating: "a", count: 2000).utf8))
        // One letter each: a domain of two kinds of tokens need not be one cluster.
        try folder.write("b.txt", Array(String(repeating: "9", count: 2000).utf8))
        let data = "a=\(folder.path)/a.txt,b=\(folder.path)/b.txt"
        let domain = try rows(recipe(2), "domain:\(data)")
        let clusters = try rows(recipe(2), "centroids:\(data)")
        for (layer, own) in domain {
            let other = try #require(clusters[layer])
            let dot = zip(own, other).reduce(0) { $0 + $1.0 * $1.1 }
            let norms = own.reduce(0) { $0 + $1 * $1 } * other.reduce(0) { $0 + $1 * $1 }
            #expect(dot / norms.squareRoot() > 0.7, "\(layer)")
        }
        #expect(try rows(recipe(2), "centroids:\(folder.path)/a.txt").count == 2)
    }

    /// `cheap_embed` and `embed` from the embedding's rows, added up here.
    @Test("Embeddings of prompts are summed as mergekit does, or averaged and centred")
    func embeddings() throws {
        let yaml = """
            experts:
            - positive_prompts: [Hello, world]
              negative_prompts: ["def f"]
            - positive_prompts: ["9 9"]
            """
        let prompts = try folder.write("prompts.yaml", Array(yaml.utf8))
        let checkpoint = try Checkpoint(at: model)
        let decoder = try Decoder(checkpoint, workers: workers)
        guard case .tokenizer(let tokenizer) = try TextEncoder(for: checkpoint).kind else { return }
        func sum(_ texts: [String]) throws -> (sum: [Double], count: Int) {
            var sum = [Double](repeating: 0, count: 16)
            var count = 0
            for text in texts {
                let embedded = try decoder.embed(tokenizer.encode(text))
                for row in 0..<embedded.rows { for i in 0..<16 { sum[i] += Double(embedded[row, i]) } }
                count += embedded.rows
            }
            return (sum, count)
        }
        let (first, away, second) = (try sum(["Hello", "world"]), try sum(["def f"]), try sum(["9 9"]))
        let cheap = try rows(recipe(2), "cheap_embed:\(prompts)")
        let expected = RouterValues.mergekitCheapEmbed(
            positive: [first.sum, second.sum], negative: [away.sum, nil])
        for layer in [0, 1] { for (a, b) in zip(cheap[layer] ?? [], expected) { #expect(abs(a - b) < 1e-6) } }
        let embed = try rows(recipe(2), "embed:\(prompts)")
        func mean(_ value: (sum: [Double], count: Int)) -> [Double] { value.sum.map { $0 / Double(value.count) } }
        let towards = zip(mean(first), mean(away)).map { $0 - $1 }
        let centred = RouterValues.domain(means: [towards, mean(second)], logitStandardDeviation: 1)
        for (a, b) in zip(embed[1] ?? [], centred) { #expect(abs(a - b) < 1e-5) }
    }

    @Test(
        "What cannot be measured is refused",
        arguments: [
            ("domain:%/a.txt", "there are 1 domains (a) and 2 experts"), ("hidden:%/one.yaml", "prompts for 1 experts"),
            ("hidden_last:%/none.yaml", "expert 1 has no positive_prompts"),
        ])
    func refusals(_ text: String, _ message: String) throws {
        try folder.write("a.txt", Array("Hello".utf8))
        try folder.write("one.yaml", Array("experts: [{positive_prompts: [a]}]".utf8))
        try folder.write("none.yaml", Array("experts: [{positive_prompts: [a]}, {negative_prompts: [b]}]".utf8))
        let error = #expect(throws: CheckpointError.self) {
            try rows(recipe(2), text.replacingOccurrences(of: "%", with: folder.path))
        }
        #expect(error?.description.contains(message) == true, "\(String(describing: error))")
        var dense = recipe(2)
        dense.isDense = true
        #expect(throws: CheckpointError.self) { try rows(dense, "domain:\(folder.path)/a.txt") }
        #expect(try RouterMeasurement(text: "domains:x") == nil)
        #expect(throws: CheckpointError.self) { try RouterMeasurement(text: "domain:") }
    }
}

private final class InputRecorder: ForwardObserver {
    var inputs: [Int: [[Float]]] = [:]

    func routed(_ record: MixtureRecord) {
        inputs[record.layer] = (0..<record.input.rows).map {
            Array(UnsafeBufferPointer(start: record.input.row($0), count: record.input.columns))
        }
    }
}
