import ArgumentParser
import Checkpoints
import Safetensors

/// Prints the manual page: what packagers put beside the program.
struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the manual page, for man.", discussion: "moe-tool manual > moe-tool.1", shouldDisplay: false)

    func run() throws {
        try standardOutput(ManualPage(MoETool._dumpHelp()).text, terminator: "")
    }
}

/// A page in man's language, from the description that the parser gives of itself.
struct ManualPage {
    let text: String

    /// - Parameter description: the JSON document of `--experimental-dump-help`.
    /// - Throws: `SafetensorsError` where it is none.
    init(_ description: String) throws {
        let file = "the description of the commands"
        guard let root = try JSON(parsing: Array(description.utf8), file: file).object?["command"]?.object else {
            throw SafetensorsError(.malformed, file: file, message: "expected a command")
        }
        let name = root["commandName"]?.string ?? ""
        var page = ".TH \(name.uppercased()) 1 \"\" \"\(name) \(ToolVersion.current)\" \"User Commands\"\n"
        page += ".SH NAME\n\(Self.escaped(name)) \\- \(Self.escaped(root["abstract"]?.string ?? ""))\n"
        page += ".SH SYNOPSIS\n.B \(Self.escaped(name))\n.I command\n[\\fIoptions\\fR]\n"
        page += ".SH DESCRIPTION\n" + Self.paragraphs(root["discussion"]?.string ?? "")
        for command in Self.subcommands(root) { page += Self.section(command, path: []) }
        text = page
    }

    private static func subcommands(_ command: JSONObject) -> [JSONObject] {
        (command["subcommands"]?.array ?? []).compactMap(\.object).filter {
            $0["commandName"]?.string != "help" && $0["shouldDisplay"]?.bool != false
        }
    }

    private static func section(_ command: JSONObject, path: [String]) -> String {
        let path = path + [command["commandName"]?.string ?? ""]
        let subcommands = subcommands(command)
        var text = ".SH \"\(escaped(path.joined(separator: " ").uppercased()))\"\n"
        text +=
            paragraphs(command["abstract"]?.string ?? "") + ".PP\n" + paragraphs(command["discussion"]?.string ?? "")
        guard subcommands.isEmpty else {
            return text + subcommands.map { section($0, path: path) }.joined()
        }
        for argument in (command["arguments"]?.array ?? []).compactMap(\.object)
        where argument["shouldDisplay"]?.bool != false {
            text += entry(argument)
        }
        return text
    }

    /// An argument or option with what it does.
    private static func entry(_ argument: JSONObject) -> String {
        let value = argument["valueName"]?.string ?? ""
        let names = (argument["names"]?.array ?? []).compactMap { entry -> String? in
            guard let name = entry.object?["name"]?.string else { return nil }
            return "\\fB" + escaped((entry.object?["kind"]?.string == "long" ? "--" : "-") + name) + "\\fR"
        }
        let argumentText = "\\fI" + escaped(value) + "\\fR"
        let title =
            switch argument["kind"]?.string {
            case "positional": argumentText
            case "option": names.joined(separator: ", ") + " " + argumentText
            default: names.joined(separator: ", ")
            }
        var text = ".TP\n\(title)\n" + escaped(argument["abstract"]?.string ?? "") + "\n"
        if let standard = argument["defaultValue"]?.string, argument["kind"]?.string != "flag" {
            text += "(default: \(escaped(standard)))\n"
        }
        return text
    }

    /// Text as paragraphs; lines that are indented, which are examples, as they are.
    private static func paragraphs(_ text: String) -> String {
        var result = ""
        var isExample = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("  ") != isExample, !line.isEmpty {
                isExample.toggle()
                result += isExample ? ".nf\n" : ".fi\n"
            }
            result += line.isEmpty ? (isExample ? "\n" : ".PP\n") : escaped(String(line)) + "\n"
        }
        return result + (isExample ? ".fi\n" : "")
    }

    /// Text that man takes for text: a backslash, a dash and a dot at the beginning mean something to it.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "\n": result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }
}
