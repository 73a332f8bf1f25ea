import Foundation
import Safetensors
import TestSupport
import Testing

/// `--report` over the command line.
@Suite struct ReportTests {
    private let folder: TemporaryFolder
    private let data: [String]

    init() throws {
        folder = try TemporaryFolder()
        let ids = try folder.write("ids.bin", (0..<96).flatMap { [UInt8($0 * 37 % 96), 0] })
        data = ["--data", "a=\(ids):uint16", "--data", "b=\(ids):uint16"]
    }

    private var page: String { folder.path + "/page.html" }

    private func titles(_ arguments: [String]) throws -> [String] {
        let result = try Tool.run(list: arguments + ["--report", page, "-q"])
        // Warnings are said whatever else is not.
        let errors = result.errors.split(separator: "\n").filter { !$0.hasPrefix("warning: ") }
        #expect(result.code == 0 && errors.isEmpty, "\(result.errors)")
        let html = String(decoding: try contents(page), as: UTF8.self)
        #expect(html.hasPrefix("<!DOCTYPE html>") && html.contains("<code>moe-tool \(arguments[0])"))
        let json = try JSON(parsing: contents(folder.path + "/page.json"), file: "page.json").object
        return (json?["figures"]?.array ?? []).compactMap { $0.object?["title"]?.string }
    }

    @Test func evaluateDrawsScoresAndRouting() throws {
        let models = [Fixtures.model("mistral"), Fixtures.model("mixtral")]
        let found = try titles(["evaluate"] + models + data + ["--length", "24"])
        #expect(
            found == [
                "Loss by model and domain", "Models side by side", "Expert load", "Expert load on a",
                "Expert load on b", "Gate entropy by layer", "Gate entropy by domain", "Balance by layer",
                "Co-activation in layer 0", "Co-activation in layer 1",
            ])
        let json = try JSON(parsing: contents(folder.path + "/page.json"), file: "page.json").object
        let values = json?["figures"]?.array?.first?.object?["values"]?.array
        let mean = json?["result"]?.object?["models"]?.array?[1].object?["mean"]?.object?["loss"]
        #expect(values?[1].array?.last == mean, "the document's numbers are the command's")
    }

    @Test func aReportIsReplacedWhenAsked() throws {
        let arguments = ["inspect", Fixtures.model("mixtral"), "--report", page]
        #expect(try Tool.run(list: arguments).code == 0)
        let second = try Tool.run(list: arguments)
        #expect(second.code == 2 && second.errors.contains("--force"))
        #expect(try Tool.run(list: arguments + ["--force"]).code == 0)
        #expect(try Tool.run("inspect", Fixtures.model("mixtral"), "--report", "page").code == 2)
        #expect(try Tool.run("inspect", Fixtures.model("mixtral"), "--report", folder.path + "/no/a.html").code == 5)
    }

    @Test func trainingDrawsItsCurves() throws {
        let found = try titles(
            ["finetune", Fixtures.model("mixtral"), "-o", folder.path + "/tuned", "--steps", "4", "--length", "24"]
                + data
                + ["--batch-tokens", "48", "--eval-every", "2", "--balance", "switch:0.01"]
                + data.map { $0 == "--data" ? "--heldout" : $0 })
        #expect(
            found == [
                "Loss", "Held-out loss before and after", "Learning rate", "Gradient norm", "Balancing loss",
                "Router z-loss", "Expert load on a at the end", "Expert load on b at the end",
            ])
        let json = try JSON(parsing: contents(folder.path + "/page.json"), file: "page.json").object
        let series = json?["figures"]?.array?.first?.object?["series"]?.array ?? []
        // Before the first of four updates, after two and after all; the steps themselves are before theirs.
        #expect(series.first?.object?["x"] == .array(["0.0", "1.0", "2.0", "3.0"].map { .number($0) }))
        #expect(series.last?.object?["x"] == .array(["0.0", "2.0", "4.0"].map { .number($0) }))
    }

    @Test func otherCommandsDraw() throws {
        let (dense, moe) = (Fixtures.model("mistral"), Fixtures.model("mixtral"))
        #expect(
            try titles(["inspect", moe]) == [
                "Size by dtype", "Size by part", "Size by layer", "Parameters in all and active",
            ])
        #expect(
            try titles(["compare", dense, Fixtures.model("llama"), "--force"]) == [
                "Tensors of both", "Tensors that differ most",
            ])
        #expect(
            try titles(["compare", dense, moe, "--force"]) == ["Tensors by group", "Largest difference by group"])
        #expect(try titles(["compare", dense, moe, "--force", "--length", "24", "--tokens", "48"] + data).count == 4)
        #expect(
            try titles(
                ["prune", moe, "--experts", "2", "--criterion", "random", "--force", "-o", folder.path + "/pruned"])
                == ["Parameters by part", "Experts that are left"])
    }

    @Test func plansDraw() throws {
        let runs = Fixtures.file("planning/chinchilla.csv")
        let plans: [([String], [String])] = [
            (
                ["plan", "optimal", "--flops", "1e21"],
                ["Loss over size at 1e21 FLOPs", "Parameters of the best models", "Tokens of the best models"]
            ),
            (
                ["plan", "overtrain", "--flops", "1e21", "--force"],
                ["Cost of inference over loss at 1e21 FLOPs of training"]
            ),
            (["plan", "cost", "-N", "7e9", "-E", "8", "--force"], ["Cost over devices", "Latency", "Throughput"]),
            (
                ["plan", "fit", "--runs", runs, "--law", "chinchilla", "--bootstrap", "0", "--starts", "4", "--force"],
                ["Predicted and measured loss", "Errors over size"]
            ),
            (
                ["plan", "upcycle", Fixtures.model("mistral"), "--experts", "8", "--tokens", "1e9", "--force"],
                ["Parameters", "Memory"]
            ),
        ]
        for (arguments, expected) in plans {
            #expect(try titles(arguments) == expected)
        }
    }

    @Test func theCurvesOfAPlanEndAtItsOptima() throws {
        _ = try titles(["plan", "optimal", "--flops", "1e21", "--experts", "1,8"])
        let json = try JSON(parsing: contents(folder.path + "/page.json"), file: "page.json").object
        let series = (json?["figures"]?.array?.first?.object?["series"]?.array ?? []).map { line in
            (line.object?["y"]?.array ?? []).compactMap(\.double)
        }
        #expect(series.count == 3)
        for (curve, best) in zip(series, series.last ?? []) {
            #expect(try #require(curve.min()) >= best && #require(curve.min()) < best + 1e-3)
            #expect(try #require(curve.max()) > best + 0.1, "a curve, and no level")
        }
    }

    @Test func anEvaluationDrawsEnsemblesAndTraining() throws {
        let models = ["mistral", "llama", "mixtral"].map(Fixtures.model)
        let tuned = folder.path + "/tuned"
        let training = try Tool.run(
            list: ["finetune", models[2], "-o", tuned, "--steps", "2", "--length", "24", "--batch-tokens", "48", "-q"]
                + data)
        #expect(training.code == 0, "\(training.errors)")
        let evaluation = ["evaluate"] + models + data + ["--length", "24"]
        let found = try titles(
            evaluation + [
                "--ensemble-of", models[0], "--ensemble-of", models[1], "--metrics", tuned + ".metrics.jsonl",
            ])
        #expect(found.last == "Training of tuned")
        let json = try JSON(parsing: contents(folder.path + "/page.json"), file: "page.json").object
        let rows = json?["result"]?.object?["models"]?.array ?? []
        #expect(rows.count == 5)
        #expect(rows.last?.object?["members"]?.array == models.prefix(2).map { .string($0) })
        #expect(try Tool.run(list: evaluation + ["--metrics", tuned + ".metrics.jsonl"]).code == 2)
        #expect(try Tool.run(list: evaluation + ["--ensemble-of", models[0], "--ensemble-of", "other"]).code == 2)
        #expect(try Tool.run(list: evaluation + ["--ensemble-of", models[0]]).code == 2)
        let mixed = try Tool.run(list: evaluation + ["--ensemble-of", models[0], "--ensemble-of", models[2]])
        #expect(mixed.code == 4 && mixed.errors.contains("mixture"), "\(mixed.code) \(mixed.errors)")
    }
}
