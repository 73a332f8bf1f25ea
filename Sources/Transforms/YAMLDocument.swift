import Checkpoints
import Safetensors
import Yams

/// Reads YAML from a file that anybody may have written.
enum YAMLDocument {
    private static let maximumSize = 16 << 20
    /// Parsed text is nodes in memory, and an alias stands for all that its anchor holds: a few hundred bytes of aliases of
    /// aliases stand for millions.
    private static let maximumNodes = 200_000
    private static let maximumDepth = 64

    /// - Throws: `CheckpointError` for what is not YAML, or larger than any recipe when its aliases are written out.
    static func node(_ file: String) throws -> Node {
        let bytes = try PosixFile.contents(file, limit: maximumSize)
        try checkNesting(bytes, file)
        let node: Node?
        do {
            node = try Yams.compose(yaml: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw CheckpointError(.malformed, file: file, message: "not YAML: \(error)")
        }
        guard let node else { throw CheckpointError(.malformed, file: file, message: "the recipe is empty") }
        var count = 0
        try check(node, depth: 0, &count, file)
        return node
    }

    private static func check(_ node: Node, depth: Int, _ count: inout Int, _ file: String) throws {
        count += 1
        guard count <= maximumNodes else {
            throw CheckpointError(
                .malformed, file: file,
                message:
                    "there are more than \(maximumNodes) values in it once its aliases are written out: no recipe is "
                    + "like that")
        }
        guard depth <= maximumDepth else { throw tooDeep(file) }
        switch node {
        case .scalar, .alias: break
        case .sequence(let elements): for element in elements { try check(element, depth: depth + 1, &count, file) }
        case .mapping(let pairs):
            for (key, value) in pairs {
                try check(key, depth: depth + 1, &count, file)
                try check(value, depth: depth + 1, &count, file)
            }
        }
    }

    /// The parser goes down a level of the stack for each level of nesting: what is far too deep is not given to it.
    private static func checkNesting(_ bytes: [UInt8], _ file: String) throws {
        // Brackets within one another, and "- - -" in one line or a step to the right in each.
        var (brackets, line, deepest) = (0, 0, 0)
        var indent = 0
        var isAtStart = true
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"): brackets += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): brackets = max(brackets - 1, 0)
            case UInt8(ascii: "\n"): (line, indent, isAtStart) = (0, 0, true)
            default: break
            }
            if isAtStart {
                if byte == UInt8(ascii: " ") {
                    indent += 1
                } else if byte == UInt8(ascii: "-") || byte == UInt8(ascii: "?") {
                    line += 1
                } else if byte != UInt8(ascii: "\n") {
                    isAtStart = false
                }
            }
            deepest = max(deepest, brackets, line)
            if deepest > 2048 || indent > 65_536 { throw tooDeep(file) }
        }
    }

    private static func tooDeep(_ file: String) -> CheckpointError {
        CheckpointError(.malformed, file: file, message: "its lists and mappings are nested too deep")
    }
}
