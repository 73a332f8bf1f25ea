import Safetensors

/// The header of a packed file, which can be written in one way only: where one is damaged, the first byte that is not as it
/// must be lies in the entry that was hit.
struct ContainerHeader {
    private let bytes: UnsafeRawBufferPointer

    /// - Parameter bytes: the header without its length.
    private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The tensor whose entry was hit in the header of a file; `z/dir` where it is the metadata, which describe it.
    ///
    /// - Returns: nil where no entry is other than it must be: then it is the header's length or the size of the file.
    static func damagedTensor(of path: String) -> String? {
        guard let file = try? PosixFile.open(path), let size = try? file.size(), size > 8,
            let bytes = try? file.bytes(at: 8, count: min(size - 8, Header.maximumSize))
        else { return nil }
        return bytes.withUnsafeBytes { ContainerHeader($0).damagedTensor() }
    }

    private func damagedTensor() -> String? {
        guard var position = metadata() else {
            return Self.contains(#""z/"#, bytes.prefix(512)) ? PackedDirectory.tensorName : nil
        }
        var offset = 0
        var number = 0
        while true {
            var payload = Entry(bytes, at: position, offset: offset)
            payload.scan(name: PackedDirectory.payloadName(number), end: "]}")
            if payload.isSound {
                (position, offset, number) = (payload.position, payload.end, number + 1)
                continue
            }
            var directory = Entry(bytes, at: position, offset: offset)
            directory.scan(name: PackedDirectory.tensorName, end: "]}}")
            if directory.isSound { return nil }
            // What got further is what it was; where neither did, another entry follows a payload.
            let isLast = !Self.contains(#""z/"#, bytes.dropFirst(position + 5).prefix(120))
            return payload.position > directory.position || payload.position == directory.position && !isLast
                ? PackedDirectory.payloadName(number) : PackedDirectory.tensorName
        }
    }

    /// Where the first entry begins.
    private func metadata() -> Int? {
        var entry = Entry(bytes, at: 0, offset: 0)
        entry.expect(#"{"__metadata__":{"format":"mtz","\#(PackedFile.digestKey)":""#)
        for _ in 0..<64 { entry.expectHexadecimalDigit() }
        entry.expect(#"","\#(PackedFile.versionKey)":"1"}"#)
        return entry.isSound ? entry.position : nil
    }

    private static func contains(_ text: String, _ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        let pattern = Array(text.utf8)
        return bytes.indices.contains { bytes[$0...].starts(with: pattern) }
    }

    /// Reads one entry until it is other than it must be.
    private struct Entry {
        private let bytes: UnsafeRawBufferPointer
        private(set) var position: Int
        private(set) var isSound = true
        /// Where its data begin, and where they end.
        private let begin: Int
        private(set) var end: Int

        init(_ bytes: UnsafeRawBufferPointer, at position: Int, offset: Int) {
            (self.bytes, self.position, begin, end) = (bytes, position, offset, offset)
        }

        mutating func scan(name: String, end text: String) {
            expect(#","\#(name)":{"dtype":"U8","shape":["#)
            var size = 0
            let start = position
            while isSound, position < bytes.count, (0x30...0x39).contains(bytes[position]) {
                let (value, overflow) = size.multipliedReportingOverflow(by: 10)
                guard !overflow, position - start < 18 else { break }
                size = value + Int(bytes[position] - 0x30)
                position += 1
            }
            let (sum, overflow) = begin.addingReportingOverflow(size)
            guard !overflow else {
                isSound = false
                return
            }
            end = sum
            expect(#"],"data_offsets":[\#(begin),\#(end)"#)
            expect(text)
        }

        mutating func expect(_ text: String) {
            for byte in text.utf8 {
                guard isSound else { return }
                guard position < bytes.count, bytes[position] == byte else {
                    isSound = false
                    return
                }
                position += 1
            }
        }

        mutating func expectHexadecimalDigit() {
            guard isSound, position < bytes.count,
                (0x30...0x39).contains(bytes[position]) || (0x61...0x66).contains(bytes[position])
            else {
                isSound = false
                return
            }
            position += 1
        }
    }
}
