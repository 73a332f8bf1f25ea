import Safetensors

/// What is wrong with a command line that could not be parsed, where it is a name: the nearest one that there is, or the
/// commands that have an option which this one has not.
struct UsageDiagnosis {
    /// A command with its options and subcommands, from the description that the parser gives of itself.
    private struct Command {
        let name: String
        let subcommands: [Command]
        /// The spellings of options that take a value, and of flags.
        var options: Set<String> = []
        var flags: Set<String> = []

        init(_ object: JSONObject) {
            name = object["commandName"]?.string ?? ""
            subcommands = (object["subcommands"]?.array ?? []).compactMap { $0.object.map(Command.init) }
            for argument in (object["arguments"]?.array ?? []).compactMap(\.object) {
                let spellings = (argument["names"]?.array ?? []).compactMap { entry -> String? in
                    guard let name = entry.object?["name"]?.string else { return nil }
                    return entry.object?["kind"]?.string == "long" ? "--" + name : "-" + name
                }
                if argument["kind"]?.string == "option" {
                    options.formUnion(spellings)
                } else {
                    flags.formUnion(spellings)
                }
            }
        }

        var spellings: Set<String> { options.union(flags).union(["--help", "-h", "--version"]) }
    }

    private let root: Command

    /// - Parameter description: the JSON document of `--experimental-dump-help`.
    init?(_ description: String) {
        guard let json = try? JSON(parsing: Array(description.utf8), file: "the description of the commands"),
            let object = json.object?["command"]?.object
        else { return nil }
        root = Command(object)
    }

    /// A sentence about the first name that is not known; nil where all are.
    func message(for arguments: [String]) -> String? {
        var command = root
        var path: [String] = []
        var rest = arguments[...]
        while !command.subcommands.isEmpty, let word = rest.first, !word.hasPrefix("-") {
            if word == "help" { return nil }
            guard let next = command.subcommands.first(where: { $0.name == word }) else {
                let whole = (["moe-tool"] + path).joined(separator: " ")
                let near = Self.nearest(to: word, in: command.subcommands.map(\.name))
                return "\(whole) has no command \(escaped(word)): "
                    + (near.map { "did you mean \($0)?" }
                        ?? "it has \(command.subcommands.map(\.name).joined(separator: ", "))")
            }
            command = next
            path.append(word)
            rest = rest.dropFirst()
        }
        return option(in: rest, of: command, path)
    }

    private func option(in words: ArraySlice<String>, of command: Command, _ path: [String]) -> String? {
        var rest = words
        while let word = rest.popFirst() {
            if word == "--" { return nil }
            let name = word.split(separator: "=", maxSplits: 1).first.map(String.init) ?? word
            // A number is no option; several short flags may stand together.
            guard name.hasPrefix("-"), let letter = name.drop(while: { $0 == "-" }).first, letter.isLetter else {
                continue
            }
            if command.options.contains(name) {
                if name == word { rest = rest.dropFirst() }
                continue
            }
            if command.spellings.contains(name) { continue }
            if !name.hasPrefix("--"), name.dropFirst().allSatisfy({ command.spellings.contains("-\($0)") }) { continue }
            return message(unknown: name, of: command, path)
        }
        return nil
    }

    private func message(unknown name: String, of command: Command, _ path: [String]) -> String {
        let own = path.isEmpty ? "moe-tool" : path.joined(separator: " ")
        if let near = Self.nearest(to: name, in: command.spellings.sorted()) {
            return "\(own) has no option \(escaped(name)): did you mean \(near)?"
        }
        let others = Self.commands(with: name, in: root, []).map { $0.joined(separator: " ") }
        if others.isEmpty { return "\(own) has no option \(escaped(name))" }
        return "\(own) has no option \(escaped(name)): it is one of \(others.joined(separator: ", "))"
    }

    private static func commands(with option: String, in command: Command, _ path: [String]) -> [[String]] {
        (command.spellings.contains(option) && !path.isEmpty ? [path] : [])
            + command.subcommands.flatMap { commands(with: option, in: $0, path + [$0.name]) }
    }

    /// The name that a mistyped one was most likely meant to be: one it is the beginning of, or one that a few changes of
    /// letters make of it.
    static func nearest(to word: String, in names: [String]) -> String? {
        let letters = word.drop { $0 == "-" }
        let limit = max(1, letters.count / 3)
        if letters.count < 3 { return nil }
        let started = names.filter { $0.hasPrefix(word) }.min { $0.count < $1.count }
        if let started { return started }
        let distances = names.filter { $0.hasPrefix("--") == word.hasPrefix("--") }.map { ($0, distance($0, word)) }
        return distances.filter { $0.1 <= limit }.min { $0.1 < $1.1 }?.0
    }

    /// Damerau and Levenshtein's distance: letters that are missing, too many, other ones, or two that changed places.
    private static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a), Array(b))
        var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
        for i in 0...a.count { rows[i][0] = i }
        for j in 0...b.count { rows[0][j] = j }
        for i in 1..<a.count + 1 {
            for j in 1..<b.count + 1 {
                let changed = a[i - 1] == b[j - 1] ? 0 : 1
                rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + changed)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
                }
            }
        }
        return rows[a.count][b.count]
    }
}
