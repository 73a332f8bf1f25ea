import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Routers and sources of merged mixtures")
struct MixtureRoutersTests {
    private let folder: TemporaryFolder
    private let router = "model.layers.0.block_sparse_moe.gate.weight"

    init() throws { folder = try TemporaryFolder() }

    @Test("One mixture by itself keeps its routers; of several they are new, and that is said")
    func routers() async throws {
        let mixture = try Checkpoint(at: Fixtures.model("mixtral"))
        let alone = try Checkpoint.merging([mixture])
        try await alone.write(to: folder.path + "/alone")
        let own = try folder.tensors(Fixtures.model("mixtral"))
        #expect(try folder.tensors(folder.path + "/alone")[router] == own[router])
        #expect(!alone.warnings.contains { $0.contains("routers") })
        let both = try Checkpoint.merging([mixture, mixture])
        #expect(both.warnings.contains { $0.contains("are not kept: all rows are new (random:0.02)") })
        var options = MergeOptions()
        options.router = .zero
        #expect(try Checkpoint.merging([mixture], options: options).warnings.contains { $0.contains("not kept") })
    }

    @Test("An adapter on a mixture is a model with its routers")
    func adapter() async throws {
        let root = Fixtures.file("adapters")
        let adapter = try Checkpoint(at: root + "/parameters", adapterBase: root + "/mixtral")
        try await Checkpoint.merging([adapter]).write(to: folder.path + "/out")
        let found = try folder.tensors(folder.path + "/out")
        #expect(found[router] == (try folder.tensors(root + "/mixtral")[router]))
    }

    @Test("A file that is a source twice is read and recorded once")
    func twice() async throws {
        let a = try Checkpoint(at: Fixtures.model("mixtral"))
        let b = try Checkpoint(at: Fixtures.model("mixtral"))
        var options = MergeOptions()
        options.router = .file(Fixtures.model("mixtral") + "/model.safetensors")
        let added = try a.adding([b], options: options)
        try await added.write(to: folder.path + "/out")
        let path = folder.path + "/out/moe-tool.json"
        let record = try JSON(parsing: contents(path), file: path).object
        #expect(record?["sources"]?.array?.count == 1)
        let own = try folder.tensors(Fixtures.model("mixtral"))
        let rows = try #require(own[router])
        #expect(try folder.tensors(folder.path + "/out")[router] == rows + rows)
    }
}
