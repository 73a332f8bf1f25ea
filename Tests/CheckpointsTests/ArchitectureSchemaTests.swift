import Checkpoints
import Formats
import Safetensors
import TestSupport
import Testing

/// Every file of Formats/architectures is as Formats/schemas/architecture.schema.json says, without a key that nothing reads.
@Suite struct ArchitectureSchemaTests {
    private static func json(_ family: String) throws -> JSON {
        try JSON(parsing: try #require(Formats.architecture(family)), file: family)
    }

    @Test("Every family's file is as the schema says")
    func files() throws {
        let schema = try JSONSchema("architecture")
        #expect(Formats.families.count >= 50)
        for family in Formats.families {
            let problems = try schema.problems(Self.json(family))
            #expect(problems.isEmpty, "\(family): \(problems)")
        }
    }

    @Test("A misspelt key, a wrong type and a role that is none are seen")
    func mistakes() throws {
        let schema = try JSONSchema("architecture")
        let right = try #require(Self.json("mixtral").object)
        func problems(_ change: (inout JSONObject) -> Void) throws -> Int {
            var object = right
            change(&object)
            return try schema.problems(.object(object)).count
        }
        #expect(try problems { _ in } == 0)
        #expect(try problems { $0["upcylce"] = .object([:]) } == 1)
        #expect(try problems { $0["symbols"] = nil } == 1)
        #expect(try problems { $0["ignored"] = .array([1]) } == 1)
        #expect(
            try problems { $0["tensors"] = .array([.object(["role": "norm", "name": "norm", "shape": .array([])])]) }
                == 1)
    }

    @Test("Keys that hold keys of a configuration are read: the file is parsed, and its expressions are expressions")
    func parsing() throws {
        for family in Formats.families { #expect(try Architecture.named(family) != nil) }
    }
}
