/// A record of a TensorBoard event file: the `Event` message of tensorflow's event.proto, with the few fields that scalars
/// need, as protocol buffers write them.
package struct TensorBoardEvent: Sendable {
    package enum Content: Sendable {
        /// The first record of a file.
        case version
        /// The run goes on at this step after an interruption: what older files hold from it on is void.
        case restart
        /// A `Summary` with simple values.
        case scalars([(tag: String, value: Float)])
    }

    /// Seconds since 1970.
    package var wallTime: Double
    package var step: Int
    package var content: Content

    package init(wallTime: Double, step: Int = 0, _ content: Content) {
        self.wallTime = wallTime
        self.step = step
        self.content = content
    }

    /// The message: `double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
    /// SessionLog session_log = 7`.
    package var message: [UInt8] {
        var message = ProtocolBuffer()
        message.field(1, double: wallTime)
        if step != 0 { message.field(2, varint: UInt64(bitPattern: Int64(step))) }
        switch content {
        case .version: message.field(3, bytes: Array("brain.Event:2".utf8))
        case .restart:
            var session = ProtocolBuffer()
            session.field(1, varint: 1)  // SessionStatus.START
            message.field(7, bytes: session.bytes)
        case .scalars(let scalars):
            var summary = ProtocolBuffer()
            for (tag, value) in scalars {
                var entry = ProtocolBuffer()
                entry.field(1, bytes: Array(tag.utf8))
                entry.field(2, float: value)
                summary.field(1, bytes: entry.bytes)
            }
            message.field(5, bytes: summary.bytes)
        }
        return message.bytes
    }

    /// The message in its frame: length in 8 bytes, the length's masked checksum, the message, the message's.
    package var record: [UInt8] {
        let message = message
        let length = littleEndian(UInt64(message.count))
        return length + littleEndian(CRC32C.masked(length)) + message + littleEndian(CRC32C.masked(message))
    }
}

/// A message of protocol buffers as it grows.
private struct ProtocolBuffer {
    private(set) var bytes: [UInt8] = []

    mutating func field(_ number: UInt64, varint value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    mutating func field(_ number: UInt64, double value: Double) {
        varint(number << 3 | 1)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func field(_ number: UInt64, float value: Float) {
        varint(number << 3 | 5)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func field(_ number: UInt64, bytes content: [UInt8]) {
        varint(number << 3 | 2)
        varint(UInt64(content.count))
        bytes += content
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}

private func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
