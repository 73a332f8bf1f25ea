import Foundation
import Testing

/// Rules of the house that a reader of the sources can hold them to.
@Suite("Commands are arguments, progress and rendering; libraries speak no command line")
struct SourceRuleTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Sources")
    /// What is no library.
    private static let programs: Set<String> = ["Commands", "moe-tool"]

    private struct Line: CustomStringConvertible {
        let file: String
        let number: Int
        let text: String
        var description: String { "\(file):\(number): \(text)" }
    }

    /// The lines of code of some modules, comments left out.
    private func lines(_ isWanted: (_ module: String) -> Bool) throws -> [Line] {
        var result: [Line] = []
        let files = FileManager.default.enumerator(at: Self.root, includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift" else { continue }
            let parts = file.pathComponents.drop { $0 != "Sources" }.dropFirst()
            guard let module = parts.first, isWanted(module) else { continue }
            let text = try String(contentsOf: file, encoding: .utf8)
            for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                let code = line.drop { $0 == " " }
                guard !code.isEmpty, !code.hasPrefix("//") else { continue }
                result.append(Line(file: parts.joined(separator: "/"), number: index + 1, text: String(code)))
            }
        }
        return result
    }

    @Test("no command imports what computes but through MoEToolkit")
    func imports() throws {
        let lines = try lines { $0 == "Commands" }
        #expect(lines.count > 3000)
        let modules: Set<String> = ["Models", "Evaluation", "Training", "Planning", "Reports"]
        let others = lines.filter { line in
            let words = line.text.split(separator: " ").map(String.init)
            return words.count < 4 && words.dropLast().last == "import" && modules.contains(words.last ?? "")
        }
        #expect(others.isEmpty, "\(others)")
    }

    @Test("messages of libraries name options, not flags")
    func flags() throws {
        let lines = try lines { !Self.programs.contains($0) }
        #expect(lines.count > 20_000)
        let flag = try Regex(#"["( `]--[a-z][a-z-]"#)
        // Other programs' command lines, style sheets, and the names that records have for steps.
        let isOthers = { (line: Line) in
            ["zstd", "--revision", "\"merge --"].contains { line.text.contains($0) }
                || line.file.hasPrefix("Reports/StyleSheet")
        }
        let found = lines.filter { $0.text.contains(flag) && !isOthers($0) }
        #expect(found.isEmpty, "\(found)")
    }

    @Test("libraries print nothing and end no process")
    func output() throws {
        let call = try Regex(#"(^|[^.A-Za-z])(print|debugPrint|fputs|puts|exit|_exit|fatalError)\("#)
        let found = try lines { !Self.programs.contains($0) }.filter { $0.text.contains(call) }
        #expect(found.isEmpty, "\(found)")
    }
}
