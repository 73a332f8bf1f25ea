import Safetensors
import Synchronization

/// The payloads of an open packed file, and how each of its contents is stored.
final class PackedStorage: Sendable {
    let file: PosixFile
    let directory: PackedDirectory
    /// Where each payload lies in the file.
    private let payloads: [Range<Int>]
    /// The name of a tensor with each content, for messages.
    private let names: [Digest256: String]
    private let tables: Mutex<[Int: SeekTable]> = Mutex([:])
    private let numbers: [Digest256: Int]

    init(_ file: PosixFile, _ directory: PackedDirectory, payloads: [Range<Int>], names: [Digest256: String]) {
        self.file = file
        self.directory = directory
        self.payloads = payloads
        self.names = names
        numbers = Dictionary(
            directory.contents.enumerated().map { ($1.digest, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The content of that hash, if it is in this file.
    func content(_ digest: Digest256) -> PackedContent? {
        numbers[digest].map { PackedContent(storage: self, number: $0) }
    }

    fileprivate func payload(_ number: Int) -> Range<Int> {
        directory.contents[number].payload.map { payloads[$0] } ?? 0..<0
    }

    fileprivate func name(_ number: Int) -> String? { names[directory.contents[number].digest] }

    fileprivate func table(
        _ number: Int, _ make: () throws(SafetensorsError) -> SeekTable
    ) throws(SafetensorsError) -> SeekTable {
        if let table = tables.withLock({ $0[number] }) { return table }
        let table = try make()
        tables.withLock { $0[number] = table }
        return table
    }
}

/// One content of a packed file.
package struct PackedContent: Sendable, Equatable {
    let storage: PackedStorage
    let number: Int

    package static func == (a: PackedContent, b: PackedContent) -> Bool {
        a.storage === b.storage && a.number == b.number
    }

    var record: PackedDirectory.Content { storage.directory.contents[number] }
    var layout: PlaneLayout { record.layout }
    /// Bytes of its payload.
    package var storedSize: Int { storage.payload(number).count }

    func failure(_ code: SafetensorsError.Code, _ message: String) -> SafetensorsError {
        SafetensorsError(code, file: storage.file.path, tensor: storage.name(number), message: message)
    }

    /// The table of its frames, read the first time it is asked for.
    func seekTable() throws(SafetensorsError) -> SeekTable {
        try storage.table(number) { () throws(SafetensorsError) in
            let payload = storage.payload(number)
            do throws(SafetensorsError) {
                return try SeekTable(payload: payload.count, layout: layout) { count throws(SafetensorsError) in
                    try storage.file.bytes(at: payload.upperBound - count, count: count)
                }
            } catch {
                throw error.code == .malformed ? failure(.malformed, error.message + "; copy the file again") : error
            }
        }
    }

    /// Fills `buffer` with the payload's bytes from `offset` on; the seek table has been checked against its size.
    func readPayload(at offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) {
        try storage.file.readExactly(into: buffer, at: storage.payload(number).lowerBound + offset)
    }
}
