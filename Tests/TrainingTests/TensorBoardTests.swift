import TestSupport
import Testing
import Training

@Suite("TensorBoard")
struct TensorBoardTests {
    /// RFC 3720, appendix B.4: the checksums of 32 zeros, 32 ones, 0 to 31, 31 to 0; and the usual check value.
    @Test("CRC-32C gives the published values")
    func checksums() {
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
        #expect(CRC32C.checksum((0..<32).reversed().map { UInt8($0) }) == 0x113F_DB5C)
        #expect(CRC32C.checksum("123456789".utf8) == 0xE306_9283)
        #expect(CRC32C.checksum([]) == 0)
        // (0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8, in Python.
        #expect(CRC32C.masked("123456789".utf8) == 0xC78A_B0E5)
    }

    /// Tests/Fixtures/training/make_events.py writes the same records with TensorBoard's own classes.
    @Test("Records are the bytes that TensorBoard's writer writes")
    func records() throws {
        let events = [
            TensorBoardEvent(wallTime: 1_700_000_000.25, .version),
            TensorBoardEvent(wallTime: 1_700_000_000.25, step: 300, .restart),
            TensorBoardEvent(wallTime: 1_700_000_001, step: 0, .scalars([("loss", 2.5), ("lr", 0)])),
            TensorBoardEvent(
                wallTime: 1_700_000_002.5, step: 300, .scalars([("loss/code", -1.25), ("loss/law", .infinity)])),
            TensorBoardEvent(
                wallTime: 1_700_000_003, step: 3_000_000_000,
                .scalars([(String(repeating: "x", count: 200), 1e-30)])),
        ]
        #expect(events.flatMap(\.record) == (try contents(Fixtures.file("training/events.tfevents"))))
    }

    @Test("A writer's file holds its records once they are flushed, under a name of its own")
    func writer() throws {
        let folder = try TemporaryFolder()
        let runs = folder.path + "/board/run"
        let board = try TensorBoardWriter(folder: runs, wallTime: 10)
        let start = TensorBoardEvent(wallTime: 10, .version).record
        #expect(try contents(board.path) == start)
        board.add([("loss", 1)], step: 1, wallTime: 11)
        board.add([], step: 1, wallTime: 12)
        #expect(try contents(board.path) == start)
        try board.flush()
        board.add([("loss", 2)], step: 2, wallTime: 12)
        try board.flush()
        let first = TensorBoardEvent(wallTime: 11, step: 1, .scalars([("loss", 1)])).record
        let second = TensorBoardEvent(wallTime: 12, step: 2, .scalars([("loss", 2)])).record
        #expect(try contents(board.path) == start + first + second)

        let next = try TensorBoardWriter(folder: runs, resumedStep: 2, wallTime: 10)
        #expect(next.path != board.path && next.path.hasPrefix(runs + "/events.out.tfevents.10."))
        #expect(try contents(next.path) == start + TensorBoardEvent(wallTime: 10, step: 2, .restart).record)
    }
}
