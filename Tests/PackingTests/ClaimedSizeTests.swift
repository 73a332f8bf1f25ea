import Foundation
import Packing
import Safetensors
import TestSupport
import Testing

/// What a packed file claims is bounded by what it has, as soon as it is opened.
struct ClaimedSizeTests {
    /// A petabyte in a file of some hundred kilobytes, by header and directory alike.
    @Test func aPetabyteIsRefusedBeforeItIsRead() throws {
        let folder = try TemporaryFolder()
        let plain = folder.path + "/a.safetensors"
        try writeSafetensors([("a", .bf16, try Shape([150_000]), normalBF16(count: 150_000, seed: 31))], to: plain)
        let packed = try packFile(plain, to: folder.path + "/a.mtz")
        let bytes = try SafetensorsFile(path: packed.path).bytes(PackedDirectory.payloadName(0))
        let count = 1 << 50
        let (header, _) = try Header.serialized(tensors: [("huge", .bf16, try Shape([count / 2]))])
        let digest = packed.directory.contents[0].digest
        let content = PackedDirectory.Content(
            digest: digest, base: nil, layout: PlaneLayout(byteCount: count, width: 2, rotates: true), payload: 0,
            codecs: [.huffman, .raw])
        let directory = PackedDirectory(
            headerBytes: header, fileSize: header.count + count, tensors: [digest], contents: [content])
        let frame = try directory.compressed()
        let path = folder.path + "/huge.mtz"
        try writeSafetensors(
            [("z/dir", .u8, try Shape([frame.count]), frame), ("z/000000", .u8, try Shape([bytes.count]), bytes)],
            metadata: [
                "format": "mtz", "moe-tool.mtz.version": "1",
                "moe-tool.mtz.dir.sha256": Digest256.hash(frame).description,
            ], to: path)
        let error = #expect(throws: SafetensorsError.self) { try PackedFile(path: path) }
        #expect(error?.code == .malformed && error?.tensor == "huge")
    }
}
