/// An entry of a list of modules in a quantisation's settings, as the formats' libraries take it.
///
/// `re:` stands before what Python's `re.match` is given, as in compressed-tensors; `*` is for any characters, as in ModelOpt
/// and gpt-oss; all else is a module's name, its last parts, or those above it.
struct ModuleRule {
    /// Whether it is a name and no pattern.
    let isName: Bool
    private let entry: String
    private let pattern: ModulePattern?

    init(_ entry: String) {
        self.entry = entry
        isName = !entry.hasPrefix("re:") && !entry.contains("*")
        // What is not understood names nothing here and stays in the settings as it is.
        if entry.hasPrefix("re:") {
            pattern = try? ModulePattern(matching: String(entry.dropFirst(3)))
        } else if entry.contains("*") {
            let literals = entry.split(separator: "*", omittingEmptySubsequences: false).map(Self.escaped)
            pattern = try? ModulePattern(matching: literals.joined(separator: ".*") + "(\\..*)?$")
        } else {
            pattern = nil
        }
    }

    private static func escaped(_ text: Substring) -> String {
        text.reduce(into: "") { result, character in
            if !character.isLetter, !character.isNumber, character != "_" { result += "\\" }
            result.append(character)
        }
    }

    func names(_ module: String) -> Bool {
        guard isName else { return pattern?.matches(module) ?? false }
        guard !entry.isEmpty, module.contains(entry) else { return false }
        return ("." + module + ".").contains("." + entry + ".")
    }
}
