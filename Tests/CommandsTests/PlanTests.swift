import Safetensors
import TestSupport
import Testing

@Suite("moe-tool plan")
struct PlanTests {
    @Test("A loss, in text and in JSON")
    func loss() throws {
        let text = try Tool.run("plan", "loss", "-N", "1e9", "-D", "1e10", "-E", "8")
        #expect(text.code == 0, "\(text.errors)")
        // 2502.05172's formula and constants in Python.
        #expect(text.output.contains("2.5910"))
        #expect(text.errors.isEmpty)
        let json = try Tool.run("plan", "loss", "-N", "70B", "-D", "1e10", "-E", "8", "--json")
        let object = try JSON(parsing: Array(json.output.utf8), file: "stdout").object
        #expect(object?["parameters"]?.double == 7e10)
        #expect(object?["warnings"]?.array?.count == 1)
        #expect(json.errors.isEmpty)
    }

    @Test("The base of the logarithm is said", arguments: [("10", "0.1335"), ("e", "0.1704")])
    func base(_ base: String, _ expected: String) throws {
        let result = try Tool.run(
            "plan", "loss", "--law", "yun", "--plain-experts", "--log-base", base, "-N", "1e9", "-D", "1e10", "-E", "8",
            "--constants", "A=0.01,alpha=0.5,B=0.02,beta=0.3,C=0.05,gamma=0.7,F=0.1,d=0.01")
        #expect(result.output.contains(expected), "\(result.output)\(result.errors)")
    }

    @Test("A fitted law serves the other commands")
    func fit() throws {
        let folder = try TemporaryFolder()
        let law = folder.path + "/law.json"
        let runs = Fixtures.file("planning/chinchilla.csv")
        let fit = try Tool.run(
            "plan", "fit", "--runs", runs, "--law", "chinchilla", "--bootstrap", "5", "--starts", "4", "-o", law)
        #expect(fit.code == 0, "\(fit.errors)")
        #expect(fit.output.contains("held out"))
        let again = try Tool.run("plan", "fit", "--runs", runs, "--law", "chinchilla", "-o", law)
        #expect(again.code == 2)
        let optimal = try Tool.run("plan", "optimal", "--law", law, "--flops", "1e21", "--json")
        #expect(optimal.code == 0, "\(optimal.errors)")
        let models = try JSON(parsing: Array(optimal.output.utf8), file: "stdout").object?["models"]?.array
        #expect(models?.count == 1)
    }

    @Test("Cost, overtraining and upcycling have both forms")
    func others() throws {
        let mistral = Fixtures.model("mistral")
        for arguments in [
            ["plan", "cost", "-N", "1e9", "-E", "8"], ["plan", "cost", mistral, "--hardware", "CPU"],
            ["plan", "overtrain", "--flops", "1e21"], ["plan", "optimal", "--flops", "1e20", "--memory", "80GB"],
            ["plan", "upcycle", mistral, "--experts", "8", "--tokens", "1e9", "--sunk-tokens", "1e10"],
        ] {
            let text = try Tool.run(list: arguments)
            #expect(text.code == 0, "\(arguments) \(text.errors)")
            let json = try Tool.run(list: arguments + ["--json"])
            #expect(try JSON(parsing: Array(json.output.utf8), file: "stdout").object != nil)
        }
    }

    @Test(
        "What makes no sense exits 2 and says what is right",
        arguments: [
            (["loss", "-N", "0", "-D", "1e10"], "from 1 to"), (["loss", "-N=-5", "-D", "1e10"], "from 1 to"),
            (["loss", "-N", "1e9", "-D", "1e10", "-E", "0.5"], "E is 0.5"),
            (["loss", "-N", "1e9", "-D", "0"], "D is 0"), (["loss", "-N", "1e9"], "-D"),
            (["loss", "-N", "x", "-D", "1"], "-N"), (["loss", "--law", "mine", "-N", "1e9", "-D", "1e9"], "joint"),
            (["loss", "--law", "yun", "-N", "1e9", "-D", "1e9"], "prints no constants"),
            (["loss", "--law", "chinchilla", "-N", "1e9", "-D", "1e9", "-E", "8"], "dense models only"),
            (["loss", "-N", "1e9", "-D", "1e9", "--log-base", "10"], "--constants"),
            (["optimal", "--flops", "1"], "one token"), (["optimal", "--flops", "0"], "above 0"),
            (["optimal", "--flops=-1e20"], "above 0"),
            (["optimal", "--flops", "1e20", "--experts", "0"], "E is 0"),
            (["optimal", "--flops", "1e20", "--memory", "1kB"], "--memory"),
            (["optimal", "--flops", "1e20", "--law", "clark-hash"], "tokens"),
            (["optimal", "--flops", "1e20", "--top-k", "0"], "--top-k"), (["cost"], "checkpoint"),
            (["cost", "-N", "1e9", "--hardware", "abacus"], "H100"), (["cost", "-N", "1e15"], "--devices"),
            (["cost", "-N", "1e9", "--prompt-tokens", "0"], "from 1 to"),
            (["overtrain", "--flops", "1e21", "--law", "chinchilla"], "number of experts"),
            (["fit", "--runs", "r.csv", "--law", "no"], "joint"),
            (["fit", "--runs", "r.csv", "--delta", "0"], "--delta"),
        ])
    func usage(_ arguments: [String], _ expected: String) throws {
        let result = try Tool.run(list: ["plan"] + arguments)
        #expect(result.code == 2, "\(arguments): \(result.code) \(result.output) \(result.errors)")
        #expect(result.errors.contains(expected), "\(result.errors)")
    }
}
