import Foundation
import Safetensors
import TestSupport
import Testing

/// What a shell offers: paths where a path is meant, and the values where there are few.
@Suite struct CompletionTests {
    /// An option or an argument of a command, as the description of the commands has it.
    private struct Argument {
        let command: String
        let name: String
        let valueName: String
        let values: [String]
        let offers: JSONObject?

        var offersPaths: Bool { offers?["file"] != nil || offers?["directory"] != nil }
        var offeredValues: [String] { offers?["list"]?.object?["values"]?.array?.compactMap(\.string) ?? [] }
    }

    private let arguments: [Argument]

    init() throws {
        let text = try Tool.run("--experimental-dump-help").output
        let root = try #require(JSON(parsing: Array(text.utf8), file: "help").object?["command"]?.object)
        var found: [Argument] = []
        func walk(_ command: JSONObject, _ path: String) {
            for subcommand in command["subcommands"]?.array?.compactMap(\.object) ?? [] {
                let name = subcommand["commandName"]?.string ?? ""
                if name != "help" { walk(subcommand, path.isEmpty ? name : "\(path) \(name)") }
            }
            for argument in command["arguments"]?.array?.compactMap(\.object) ?? []
            where argument["kind"]?.string != "flag" {
                let valueName = argument["valueName"]?.string ?? ""
                found.append(
                    Argument(
                        command: path, name: argument["preferredName"]?.object?["name"]?.string ?? valueName,
                        valueName: valueName, values: argument["allValues"]?.array?.compactMap(\.string) ?? [],
                        offers: argument["completionKind"]?.object))
            }
        }
        walk(root, "")
        arguments = found
    }

    @Test func pathsWherePathsAreMeant() {
        let names: Set = [
            "base", "batches", "checkpoint", "config", "data", "ensemble-of", "first", "heldout", "input", "inputs",
            "into", "latencies", "metrics", "model", "models", "output", "path", "report", "runs", "second", "stats",
            "student", "tasks", "teacher", "tensorboard", "tokenizer-from",
        ]
        let meant = arguments.filter {
            names.contains($0.name) && !($0.command.hasPrefix("plan") && $0.name == "base")
                || ($0.valueName.contains(".") && !$0.valueName.contains("..."))
                || ["path", "folder", "file", "name=path"].contains($0.valueName)
        }
        #expect(meant.count > 60)
        for argument in meant { #expect(argument.offersPaths, "\(argument.command) \(argument.name)") }
    }

    @Test func valuesWhereThereAreFew() {
        let names: Set = [
            "align", "average", "balance", "criterion", "dtype", "gating", "hardware", "init", "law", "layers",
            "layout", "local", "log-base", "merge", "method", "norm-topk", "normalize", "preset", "rescale", "router",
            "router-init", "schedule", "target", "tokenizer", "train", "vocab", "words",
        ]
        let meant = arguments.filter { names.contains($0.name) || !$0.values.isEmpty }
        #expect(meant.count > 60)
        for argument in meant {
            #expect(!argument.offeredValues.isEmpty, "\(argument.command) \(argument.name)")
            #expect(Set(argument.values).isSubset(of: argument.offeredValues), "\(argument.command) \(argument.name)")
        }
    }

    @Test("Each offered value that is whole is taken by its option")
    func whatIsOfferedIsTaken() throws {
        for argument in arguments where ["dtype", "layout", "schedule", "balance", "train"].contains(argument.name) {
            for value in argument.offeredValues where !value.hasSuffix(":") {
                let result = try Tool.run(
                    list: argument.command.split(separator: " ").map(String.init) + ["--\(argument.name)", value])
                #expect(!result.errors.contains("--\(argument.name) \(value):"), "\(result.errors)")
                #expect(!result.errors.contains("'\(value)' is invalid"), "\(result.errors)")
            }
        }
    }

    @Test("The script of each shell is made", arguments: ["bash", "zsh", "fish"])
    func scripts(_ shell: String) throws {
        let result = try Tool.run("--generate-completion-script", shell)
        #expect(result.code == 0 && result.output.contains("upcycle") && result.output.contains("per-expert"))
    }
}
