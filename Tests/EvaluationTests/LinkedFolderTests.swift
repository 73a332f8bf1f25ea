import Checkpoints
import Evaluation
import Foundation
import TestSupport
import Testing

/// Folders of data that are linked to each other.
@Suite struct LinkedFolderTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Forty levels, each with two links to the next: 2^40 paths to one file.
    @Test func aDiamondIsReadOnce() throws {
        let manager = FileManager.default
        for level in 0...40 {
            let path = folder.path + "/\(level)"
            try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
            guard level < 40 else { continue }
            for name in ["left", "right"] {
                try manager.createSymbolicLink(
                    atPath: path + "/" + name, withDestinationPath: folder.path + "/\(level + 1)")
            }
        }
        try Data("text".utf8).write(to: URL(fileURLWithPath: folder.path + "/40/a.txt"))
        let files = try DataFile.files(of: DataSource(name: "d", path: folder.path + "/0"))
        #expect(files.count == 1)
    }

    @Test func aCircleIsRefused() throws {
        try FileManager.default.createDirectory(atPath: folder.path + "/a", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/a/back", withDestinationPath: folder.path + "/a")
        let error = #expect(throws: CheckpointError.self) {
            try DataFile.files(of: DataSource(name: "d", path: folder.path + "/a"))
        }
        #expect(error?.code == .incompatible)
    }
}
