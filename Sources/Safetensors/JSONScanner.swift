/// Reads the tokens of JSON text (RFC 8259) strictly, and says at which byte something is wrong.
///
/// The buffer outlives the scanner: it is only made inside `withUnsafeBufferPointer`. Every access is behind a bounds
/// check.
struct JSONScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private(set) var offset = 0
    private let file: String
    /// Whether `Infinity` is a number.
    var allowsInfinity = false

    init(_ bytes: UnsafeBufferPointer<UInt8>, file: String) {
        self.bytes = bytes
        self.file = file
    }

    var isAtEnd: Bool { offset >= bytes.count }

    /// The next byte, 0 at the end of the text (NUL is not a JSON character).
    var peek: UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    func failure(_ message: String) -> SafetensorsError {
        SafetensorsError(.malformed, file: file, message: "JSON at byte \(offset): \(message)")
    }

    /// The mark that some programs put before UTF-8 is no part of the text.
    mutating func skipMark() {
        if offset == 0, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
    }

    mutating func skipWhitespace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x09, 0x0A, 0x0D: offset += 1
            default: return
            }
        }
    }

    /// Takes `byte` if it is next.
    mutating func take(_ byte: UInt8) -> Bool {
        guard offset < bytes.count, bytes[offset] == byte else { return false }
        offset += 1
        return true
    }

    mutating func expect(_ byte: UInt8) throws(SafetensorsError) {
        guard take(byte) else {
            throw failure("expected '\(Character(UnicodeScalar(byte)))', found \(found)")
        }
    }

    /// What is next, for messages.
    var found: String {
        guard offset < bytes.count else { return "the end of the text" }
        let byte = bytes[offset]
        return byte > 0x20 && byte < 0x7F ? "'\(Character(UnicodeScalar(byte)))'" : "byte 0x" + String(byte, radix: 16)
    }

    /// A string, with its escapes resolved.
    mutating func string() throws(SafetensorsError) -> String {
        try expect(UInt8(ascii: "\""))
        let start = offset
        while offset < bytes.count {
            let byte = bytes[offset]
            if byte == UInt8(ascii: "\"") {
                let text = try utf8(start..<offset)
                offset += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
            guard byte >= 0x20 else { throw failure("a control character in a string must be escaped") }
            offset += 1
        }
        throw failure("the text ends within a string")
    }

    private func utf8(_ range: Range<Int>) throws(SafetensorsError) -> String {
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw SafetensorsError(.malformed, file: file, message: "JSON at byte \(range.lowerBound): not valid UTF-8")
        }
        return text
    }

    private mutating func escapedString(from start: Int) throws(SafetensorsError) -> String {
        var text = try utf8(start..<offset)
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                return text
            case UInt8(ascii: "\\"):
                offset += 1
                text.unicodeScalars.append(try escape())
            case 0..<0x20:
                throw failure("a control character in a string must be escaped")
            default:
                let from = offset
                while offset < bytes.count, bytes[offset] >= 0x20, bytes[offset] != UInt8(ascii: "\""),
                    bytes[offset] != UInt8(ascii: "\\")
                {
                    offset += 1
                }
                text += try utf8(from..<offset)
            }
        }
        throw failure("the text ends within a string")
    }

    private mutating func escape() throws(SafetensorsError) -> UnicodeScalar {
        let byte = peek
        offset += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let unit = try hexadecimalUnit()
            if let scalar = UnicodeScalar(unit) { return scalar }
            // A high surrogate must be followed by a low one.
            guard (0xD800..<0xDC00).contains(unit), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
                throw failure("a surrogate without its pair")
            }
            let low = try hexadecimalUnit()
            guard (0xDC00..<0xE000).contains(low),
                let scalar = UnicodeScalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00))
            else { throw failure("a surrogate without its pair") }
            return scalar
        default:
            offset -= 1
            throw failure("an unknown escape, \(found)")
        }
    }

    private mutating func hexadecimalUnit() throws(SafetensorsError) -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt16
            switch peek {
            case let byte where (0x30...0x39).contains(byte): digit = UInt16(byte - 0x30)
            case let byte where (0x41...0x46).contains(byte): digit = UInt16(byte - 0x41 + 10)
            case let byte where (0x61...0x66).contains(byte): digit = UInt16(byte - 0x61 + 10)
            default: throw failure("expected four hexadecimal digits, found \(found)")
            }
            value = value << 4 | digit
            offset += 1
        }
        return value
    }

    /// A number's text, as it stands.
    mutating func number() throws(SafetensorsError) -> String {
        let start = offset
        _ = take(UInt8(ascii: "-"))
        if allowsInfinity, peek == UInt8(ascii: "I") {
            try literal("Infinity")
            return try utf8(start..<offset)
        }
        if peek == UInt8(ascii: "N") || peek == UInt8(ascii: "I") {
            let name = peek == UInt8(ascii: "N") ? "NaN" : "Infinity"
            throw failure("\(name) is no number of JSON, though Python's json writes it: write null, or leave it out")
        }
        if offset == start, !(0x30...0x39).contains(peek) { throw failure("expected a value, found \(found)") }
        if !take(UInt8(ascii: "0")) { try digits() }
        if take(UInt8(ascii: ".")) { try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        if (0x30...0x39).contains(peek) { throw failure("a number must not begin with a zero") }
        return try utf8(start..<offset)
    }

    private mutating func digits() throws(SafetensorsError) {
        let start = offset
        while (0x30...0x39).contains(peek) { offset += 1 }
        guard offset > start else { throw failure("expected a digit, found \(found)") }
    }

    /// A whole number from 0 to 2^63 - 1 without sign, fraction or exponent.
    mutating func count() throws(SafetensorsError) -> Int {
        let start = offset
        var value = 0
        while case let byte = peek, (0x30...0x39).contains(byte) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(byte - 0x30))
            guard !overflow, !carry else { throw failure("a number beyond 2^63 - 1") }
            value = sum
            offset += 1
        }
        guard offset > start else { throw failure("expected a whole number that is not negative, found \(found)") }
        guard offset == start + 1 || bytes[start] != 0x30 else { throw failure("a number must not begin with a zero") }
        switch peek {
        case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
            throw failure("expected a whole number, found a fraction or an exponent")
        default: return value
        }
    }

    /// `true`, `false` or `null`.
    mutating func literal(_ text: StaticString) throws(SafetensorsError) {
        for index in 0..<text.utf8CodeUnitCount {
            guard take(text.utf8Start[index]) else { throw failure("expected \(text), found \(found)") }
        }
    }
}
