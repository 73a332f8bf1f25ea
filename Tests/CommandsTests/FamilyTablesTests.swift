import Foundation
import TestSupport
import Testing

@Suite("What README and help say of families")
struct FamilyTablesTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func architectures() throws -> [(name: String, rules: [String: Any])] {
        let folder = root.appending(path: "Formats/architectures")
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "json" }
            .map { file in
                let json = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
                return (file.deletingPathExtension().lastPathComponent, json ?? [:])
            }
    }

    /// The words of a text, in which a family's name is one.
    private static func words(_ text: some StringProtocol) -> Set<String> {
        Set(String(text).split(whereSeparator: { !($0.isLetter || $0.isNumber || $0 == "_") }).map(String.init))
    }

    /// The two columns of the rows of README in which a family is in the first.
    private static func rows(under heading: String) throws -> [(left: Set<String>, right: Set<String>)] {
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        guard let start = readme.range(of: "\n### moe-tool \(heading) ")?.upperBound else { return [] }
        let section = String(readme[start...]).components(separatedBy: "\n### ")[0]
        return section.split(separator: "\n").filter { $0.hasPrefix("| ") }.map { row in
            let cells = row.split(separator: "|")
            return (words(cells.first ?? ""), words(cells.dropFirst().joined(separator: " ")))
        }
    }

    @Test("Every pair that a family's file has is in README's table and in the help of upcycle")
    func upcycling() throws {
        let rows = try Self.rows(under: "upcycle")
        let help = try Self.words(
            String(contentsOf: Self.root.appending(path: "Sources/Commands/Upcycle.swift"), encoding: .utf8)
                .components(separatedBy: "Pairs:")[1].components(separatedBy: "\"\"\"")[0])
        var count = 0
        for (mixture, rules) in try Self.architectures() {
            guard let upcycle = rules["upcycle"] as? [String: Any], let from = upcycle["from"] as? [String: Any]
            else { continue }
            for dense in from.keys {
                count += 1
                #expect(
                    rows.contains { $0.left.contains(dense) && $0.right.contains(mixture) }, "\(dense) -> \(mixture)")
                #expect(help.contains(dense) && help.contains(mixture), "\(dense) -> \(mixture)")
            }
        }
        #expect(count >= 18)
    }

    @Test("Every dense form that a family's file has is in README's table")
    func densifying() throws {
        let rows = try Self.rows(under: "densify")
        var count = 0
        for (mixture, rules) in try Self.architectures() {
            guard let densify = rules["densify"] as? [String: Any], let to = densify["to"] as? [String: Any]
            else { continue }
            count += 1
            let own = rows.filter { $0.left.contains(mixture) }
            #expect(!own.isEmpty, "\(mixture)")
            for dense in to.keys {
                #expect(
                    own.contains { $0.right.contains(dense == mixture ? "themselves" : dense) },
                    "\(mixture) -> \(dense)")
            }
        }
        #expect(count >= 28)
    }

    @Test("README names every family")
    func families() throws {
        let readme = try Self.words(String(contentsOf: Self.root.appending(path: "README.md"), encoding: .utf8))
        let names = try Self.architectures().map(\.name)
        #expect(names.count >= 50)
        for name in names { #expect(readme.contains(name), "\(name)") }
    }
}
