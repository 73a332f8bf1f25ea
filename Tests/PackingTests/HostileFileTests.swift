import Foundation
import Numerics
import Packing
import Safetensors
import TestSupport
import Testing

/// Packed files that were made to deceive, or were damaged.
struct HostileFileTests {
    let folder: TemporaryFolder
    let packed: PackedFile

    /// Tensors a, b, both of two chunks.
    init() throws {
        folder = try TemporaryFolder()
        let plain = folder.path + "/a.safetensors"
        let shape = try Shape([150_000])
        try writeSafetensors(
            [
                ("a", .bf16, shape, normalBF16(count: 150_000, seed: 31)),
                ("b", .bf16, shape, normalBF16(count: 150_000, seed: 32)),
            ], to: plain)
        packed = try packFile(plain, to: folder.path + "/a.mtz")
    }

    private func payload(_ number: Int) throws -> [UInt8] {
        try SafetensorsFile(path: packed.path).bytes(PackedDirectory.payloadName(number))
    }

    /// Writes the file again with another directory or other payloads, all hashes around them being right.
    private func rebuilt(_ directory: PackedDirectory, payloads: [Int: [UInt8]] = [:]) throws -> String {
        let frame = try directory.compressed()
        var tensors = [(name: "z/dir", dtype: DType.u8, shape: try Shape([frame.count]), bytes: frame)]
        for number in 0..<2 {
            let bytes = try payloads[number] ?? payload(number)
            tensors.append((PackedDirectory.payloadName(number), .u8, try Shape([bytes.count]), bytes))
        }
        let path = folder.path + "/hostile.mtz"
        let metadata = [
            "format": "mtz", "moe-tool.mtz.version": "1", "moe-tool.mtz.dir.sha256": Digest256.hash(frame).description,
        ]
        try writeSafetensors(tensors, metadata: metadata, to: path)
        return path
    }

    private func changed(
        _ number: Int, digest: Digest256? = nil, base: Digest256? = nil, layout: PlaneLayout? = nil
    ) -> PackedDirectory {
        var contents = packed.directory.contents
        let old = contents[number]
        contents[number] = .init(
            digest: digest ?? old.digest, base: base ?? old.base, layout: layout ?? old.layout, payload: old.payload,
            codecs: old.codecs)
        return PackedDirectory(
            headerBytes: packed.directory.headerBytes, fileSize: packed.directory.fileSize,
            tensors: packed.directory.tensors.map { $0 == old.digest ? digest ?? $0 : $0 }, contents: contents)
    }

    /// Opens the file and reads all of it.
    private func refusal(_ path: String) -> SafetensorsError? {
        #expect(throws: SafetensorsError.self) {
            let file = try PackedFile(path: path)
            try FileUnpacker(workers: Workers(threads: 2)).verify(file, among: [file])
        }
    }

    @Test func theRebuiltFileIsAccepted() throws {
        let file = try PackedFile(path: rebuilt(packed.directory))
        try FileUnpacker(workers: Workers(threads: 2)).verify(file, among: [file])
    }

    @Test func falseLengths() throws {
        let layout = packed.directory.contents[1].layout
        for byteCount in [layout.byteCount + 2, 2, 1 << 40, (Int.max / 2) & ~1] {
            let error = refusal(
                try rebuilt(changed(1, layout: PlaneLayout(byteCount: byteCount, width: 2, rotates: true))))
            #expect(error?.code == .malformed && error?.tensor == "b")
        }
    }

    /// A terabyte claimed by header and directory alike, and a payload of some hundred kilobytes.
    @Test func aTensorThatIsNotThere() throws {
        let count = 1 << 40
        let (header, _) = try Header.serialized(tensors: [("huge", .bf16, try Shape([count / 2]))])
        let old = packed.directory.contents
        let content = PackedDirectory.Content(
            digest: old[0].digest, base: nil, layout: PlaneLayout(byteCount: count, width: 2, rotates: true),
            payload: 0,
            codecs: [.huffman, .raw])
        let directory = PackedDirectory(
            headerBytes: header, fileSize: header.count + count, tensors: [old[0].digest], contents: [content])
        let frame = try directory.compressed()
        let path = folder.path + "/huge.mtz"
        let bytes = try payload(0)
        try writeSafetensors(
            [("z/dir", .u8, try Shape([frame.count]), frame), ("z/000000", .u8, try Shape([bytes.count]), bytes)],
            metadata: [
                "format": "mtz", "moe-tool.mtz.version": "1",
                "moe-tool.mtz.dir.sha256": Digest256.hash(frame).description,
            ], to: path)
        let error = refusal(path)
        #expect(error?.code == .malformed && error?.tensor == "huge")
    }

    @Test func impossibleLayouts() throws {
        let count = packed.directory.contents[0].layout.byteCount
        for layout in [
            PlaneLayout(byteCount: count, width: 3, rotates: false),
            PlaneLayout(byteCount: count, width: 0, rotates: false),
            PlaneLayout(byteCount: count, width: 2, rotates: true, chunkSize: 0),
            PlaneLayout(byteCount: count, width: 2, rotates: true, chunkSize: 1 << 30),
            PlaneLayout(byteCount: count, width: 2, rotates: true, chunkSize: 1025),
            PlaneLayout(byteCount: count, width: 2, rotates: true, chunkSize: 1024),
        ] {
            let error = refusal(try rebuilt(changed(0, layout: layout)))
            #expect(error?.code == .malformed)
        }
    }

    @Test func basesThatLeadInCircles() throws {
        let (a, b) = (packed.directory.contents[0].digest, packed.directory.contents[1].digest)
        #expect(refusal(try rebuilt(changed(0, base: a)))?.code == .malformed)
        var contents = packed.directory.contents
        for (index, base) in [b, a].enumerated() {
            let old = contents[index]
            contents[index] = .init(
                digest: old.digest, base: base, layout: old.layout, payload: old.payload, codecs: old.codecs)
        }
        let circle = PackedDirectory(
            headerBytes: packed.directory.headerBytes, fileSize: packed.directory.fileSize,
            tensors: packed.directory.tensors, contents: contents)
        let error = refusal(try rebuilt(circle))
        #expect(error?.code == .malformed && error?.tensor == "a")
        // Not what it was stored against: the frames are sound, and the bytes are others.
        let wrong = refusal(try rebuilt(changed(1, base: a)))
        #expect(wrong?.code == .damaged && wrong?.tensor == "b")
        let absent = refusal(try rebuilt(changed(1, base: Digest256.hash([1]))))
        #expect(absent?.code == .missing && absent?.tensor == "b")
    }

    @Test func aWrongHash() throws {
        let error = refusal(try rebuilt(changed(1, digest: Digest256.hash([1, 2, 3]))))
        #expect(error?.code == .damaged && error?.tensor == "b")
    }

    @Test func cutSeekTables() throws {
        let whole = try payload(1)
        for count in [0, 1, 16, whole.count / 2, whole.count - 20, whole.count - 1] {
            let error = refusal(try rebuilt(packed.directory, payloads: [1: Array(whole[0..<count])]))
            #expect(error?.code == .malformed && (error?.tensor == "b" || count == 0), "\(count) bytes")
        }
    }

    @Test func falseSizesInTheSeekTable() throws {
        let whole = try payload(1)
        let table = whole.count - 17 - 12 * 4
        for offset in [table + 8, table + 12, table + 4, whole.count - 9, whole.count - 5, whole.count - 1] {
            var bytes = whole
            bytes[offset] ^= 0x40
            #expect(refusal(try rebuilt(packed.directory, payloads: [1: bytes]))?.code == .malformed)
        }
        var bytes = whole
        bytes[table + 16] ^= 1
        #expect(refusal(try rebuilt(packed.directory, payloads: [1: bytes]))?.code == .damaged)
    }

    @Test func aFrameWithALargeWindow() throws {
        var bytes = try payload(1)
        // No single segment, and a window of 2 TiB.
        bytes[4] = bytes[4] & ~0x20
        bytes[5] = 0xF8
        let error = refusal(try rebuilt(packed.directory, payloads: [1: bytes]))
        #expect(error?.code == .malformed && error?.tensor == "b")
    }

    @Test func aBadChecksum() throws {
        var bytes = try payload(0)
        let table = bytes.count - 17 - 12 * 4
        let size = Int(bytes[table + 8]) | Int(bytes[table + 9]) << 8 | Int(bytes[table + 10]) << 16
        bytes[size - 1] ^= 1
        bytes[table + 8 + 11] ^= 1
        let error = refusal(try rebuilt(packed.directory, payloads: [0: bytes]))
        #expect(error?.code == .damaged && error?.tensor == "a")
    }

    @Test func everyCorruptedByteIsFound() throws {
        let whole = try contents(packed.path)
        let container = try SafetensorsFile(path: packed.path)
        var generator = SeededGenerator(seed: 77)
        let path = folder.path + "/corrupt.mtz"
        for _ in 0..<100 {
            let position = Int.random(in: 0..<whole.count, using: &generator)
            var bytes = whole
            bytes[position] ^= UInt8.random(in: 1...255, using: &generator)
            try folder.write("corrupt.mtz", bytes)
            let error = refusal(path)
            let inData = position - container.header.dataOffset
            guard inData >= 0,
                let hit = container.header.tensors.first(where: { $0.begin <= inData && inData < $0.end })
            else { continue }
            let name = hit.name == "z/dir" ? "z/dir" : hit.name == "z/000000" ? "a" : "b"
            #expect(error?.tensor == name, "byte \(position)")
        }
    }

    /// Each byte of the header in turn, with one bit of it or all of them changed: the entry that was hit is named.
    @Test func everyByteOfTheHeaderIsChecked() throws {
        let whole = try contents(packed.path)
        let end = try SafetensorsFile(path: packed.path).header.dataOffset
        let text = String(decoding: whole[8..<end], as: UTF8.self)
        let starts = try ["__metadata__", "z/000000", "z/000001", "z/dir"].map { name in
            let range = try #require(text.range(of: "\"\(name)\""))
            return (name, 8 + text.utf8.distance(from: text.startIndex, to: range.lowerBound))
        }
        for position in 0..<end {
            for mask: UInt8 in [1, 16, 0xFF] {
                var bytes = whole
                bytes[position] ^= mask
                let error = refusal(try folder.write("header.mtz", bytes))
                // Between two entries either may be named; the length and the spaces behind the text belong to none.
                guard position > 8, "{},:".utf8.contains(whole[position]) == false, whole[position] != 0x20,
                    let name = starts.last(where: { $0.1 <= position })?.0
                else { continue }
                #expect(error?.tensor == (name == "__metadata__" ? "z/dir" : name), "byte \(position), mask \(mask)")
            }
        }
    }

    /// Whatever is done to a file's first bytes, opening it ends with an error or well.
    @Test func mutatedHeadersAndDirectories() throws {
        let small = folder.path + "/small.safetensors"
        try writeSafetensors([("a", .u8, try Shape([3]), [1, 2, 3]), ("b", .f32, try Shape([0]), [])], to: small)
        let bytes = try contents(packFile(small, to: folder.path + "/small.mtz").path)
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<500 {
            let path = try folder.write("m.mtz", mutated(bytes, using: &generator))
            do {
                let file = try PackedFile(path: path)
                try FileUnpacker(workers: Workers(threads: 1)).verify(file, among: [file])
            } catch is SafetensorsError {}
        }
    }
}
