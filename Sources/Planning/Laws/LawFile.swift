package import Checkpoints
package import Safetensors

/// A law that was fitted here, with what is known of it, as a JSON document.
///
/// ```json
/// {"law": "joint", "base": "e", "experts": "saturating", "constants": {"a": 35.9, ...},
///  "range": {"parameters": [8e7, 2.7e9], ...}}
/// ```
package struct LawFile: Sendable {
    package let law: ScalingLaw
    package let range: LawRange

    package init(law: ScalingLaw, range: LawRange) {
        self.law = law
        self.range = range
    }

    /// - Throws: `SafetensorsError` for a file that cannot be read or is not JSON, `CheckpointError.malformed` for one
    ///   that holds no law.
    package init(contentsOf path: String) throws {
        let object = try JSON(parsing: try PosixFile.contents(path, limit: 16 << 20), file: path).object
        func failure(_ message: String) -> CheckpointError { CheckpointError(.malformed, file: path, message: message) }
        guard let object, let name = object["law"]?.string else { throw failure("expected an object with a \"law\"") }
        guard var form = LawForm.all.first(where: { $0.name == name }) else {
            throw failure(
                "\"law\" is \"\(escaped(name))\": expected one of \(LawForm.all.map(\.name).joined(separator: ", "))")
        }
        switch object["experts"]?.string {
        case nil, "saturating", "unused": break
        case "plain": form = form.withPlainExperts
        case let other: throw failure("\"experts\" is \"\(escaped(other ?? ""))\": expected saturating or plain")
        }
        guard let base = LogarithmBase(rawValue: object["base"]?.string ?? "e") else {
            throw failure("\"base\" must be \"10\" or \"e\"")
        }
        guard let members = object["constants"]?.object else { throw failure("expected the law's \"constants\"") }
        var constants: [String: Double] = [:]
        for key in members.keys {
            guard let value = members[key]?.double else {
                throw failure("the constant \"\(escaped(key))\" is no number")
            }
            constants[key] = value
        }
        do {
            law = try ScalingLaw(form, constants: constants, base: base)
        } catch let error as CheckpointError {
            throw failure(error.message)
        }
        var range = LawRange()
        for variable in LawVariable.allCases {
            guard let ends = object["range"]?.object?[variable.rawValue]?.array?.compactMap(\.double) else { continue }
            guard ends.count == 2, ends[0].isFinite, ends[1].isFinite, ends[0] <= ends[1] else {
                throw failure("the range of \"\(variable.rawValue)\" must be two numbers, the smaller first")
            }
            range[variable] = ends[0]...ends[1]
        }
        self.range = range
    }

    /// The document.
    package var json: JSONObject {
        var constants = JSONObject()
        for (name, value) in law.constants { constants[name] = JSON(value) }
        var ends = JSONObject()
        for variable in LawVariable.allCases {
            guard let range = range[variable] else { continue }
            ends[variable.rawValue] = .array([JSON(range.lowerBound), JSON(range.upperBound)])
        }
        let experts =
            switch law.form.experts {
            case .plain: "plain"
            case .saturating: "saturating"
            case .unused: "unused"
            }
        return [
            "law": .string(law.form.name), "formula": .string(law.form.formula), "base": .string(law.base.rawValue),
            "experts": .string(experts), "constants": .object(constants), "range": .object(ends),
        ]
    }
}

extension OutputKind {
    /// A file with a law.
    package static let law = OutputKind.file("a law") { _ = try LawFile(contentsOf: $0) }
}
