import Safetensors
import TestSupport
import Testing

/// What packagers put beside the program.
@Suite("The manual page")
struct ManualTests {
    @Test("it has every command, its options, and nothing that man would take for a request of its own")
    func page() throws {
        let result = try Tool.run("manual")
        #expect(result.code == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(lines.first?.hasPrefix(".TH MOE\\-TOOL 1") == true || lines.first?.hasPrefix(".TH MOE-TOOL 1") == true)
        for command in ["upcycle", "merge", "densify", "prune", "inspect", "convert", "compare", "finetune", "train"] {
            #expect(lines.contains(".SH \"\(command.uppercased())\""), "\(command)")
        }
        #expect(lines.contains(".SH \"PLAN COST\""))
        #expect(lines.contains { $0.contains("\\fB\\-\\-granularity\\fR") })
        let requests: Set<String> = [".TH", ".SH", ".B", ".I", ".PP", ".TP", ".nf", ".fi"]
        let others = lines.filter { $0.hasPrefix(".") && !requests.contains(String($0.prefix { $0 != " " })) }
        #expect(others.isEmpty, "\(others)")
        // A command that is for packagers is not among those that users are shown.
        #expect(!lines.contains(".SH \"MANUAL\""))
        #expect(try !Tool.run("--help").output.contains("manual"))
    }

    @Test("messages of the library name flags as the command line spells them")
    func flags() throws {
        let model = Fixtures.model("llama")
        for (arguments, flag) in [
            (["upcycle", "--experts", "0", model], "--experts 0"),
            (["evaluate", model, "--data", "a=\(model)/none.txt", "--top-k", "1"], "--top-k: there is no mixture"),
        ] {
            let result = try Tool.run(list: arguments + ["-n"].filter { _ in arguments[0] == "upcycle" })
            #expect(result.code != 0)
            #expect(result.errors.contains(flag), "\(result.errors)")
            #expect(!result.errors.contains("`"), "\(result.errors)")
        }
    }
}
