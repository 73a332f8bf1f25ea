import Checkpoints
import Evaluation
import TestSupport
import Testing

@Suite("Data that is broken")
struct MutationTests {
    @Test("A changed file gives documents and refusals and nothing else", arguments: ["jsonl", "jsonl.zst"])
    func changed(_ end: String) throws {
        var generator = SeededGenerator(seed: 12)
        let folder = try TemporaryFolder()
        // Twice, as two frames where it is compressed: what is before the change can be read.
        let once = try contents(Fixtures.file("data/documents.\(end)"))
        let original = once + once
        var options = DataOptions()
        options.skipsBad = true
        options.documentLimit = 1 << 16
        var (documents, skipped) = (0, 0)
        for _ in 0..<3000 {
            let path = try folder.write("x.\(end)", mutated(original, using: &generator))
            let source = DataSource(name: "x", path: path)
            let reader = try DocumentReader(source, options: options)
            while let document = try reader.next() {
                #expect(String(validating: document.text, as: UTF8.self) != nil)
            }
            documents += reader.documentCount
            skipped += reader.skippedCount
            // Without leave to skip, the first of them is what is refused.
            guard let first = reader.firstSkipped else { continue }
            let strict = try DocumentReader(source, options: DataOptions())
            let error = refusal { while try strict.next() != nil {} }
            #expect(error?.code == .malformed)
            #expect(error?.description == first.description)
        }
        #expect(documents > 1000 && skipped > 1000)
    }
}
