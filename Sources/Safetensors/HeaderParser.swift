/// Reads a header's JSON straight into tensors, without a tree in between.
struct HeaderParser {
    private var scanner: JSONScanner
    private let file: String
    private(set) var metadata: [(key: String, value: String)] = []
    private(set) var tensors: [TensorInfo] = []

    init(_ bytes: UnsafeBufferPointer<UInt8>, file: String) {
        scanner = JSONScanner(bytes, file: file)
        self.file = file
    }

    mutating func parse() throws(SafetensorsError) {
        var names: Set<String> = []
        var sawMetadata = false
        scanner.skipWhitespace()
        try scanner.expect(UInt8(ascii: "{"))
        scanner.skipWhitespace()
        if !scanner.take(UInt8(ascii: "}")) {
            while true {
                scanner.skipWhitespace()
                let name = try scanner.string()
                scanner.skipWhitespace()
                try scanner.expect(UInt8(ascii: ":"))
                scanner.skipWhitespace()
                if name == "__metadata__" {
                    guard !sawMetadata else { throw scanner.failure("__metadata__ appears twice") }
                    sawMetadata = true
                    try parseMetadata()
                } else {
                    try Self.check(name: name, file: file)
                    guard names.insert(name).inserted else {
                        throw refusal(name, "its name appears twice in the header")
                    }
                    guard tensors.count < Header.maximumTensors else {
                        throw SafetensorsError(
                            .malformed, file: file,
                            message: "the header lists more than \(Header.maximumTensors) tensors")
                    }
                    tensors.append(try parseTensor(name))
                }
                scanner.skipWhitespace()
                if scanner.take(UInt8(ascii: "}")) { break }
                try scanner.expect(UInt8(ascii: ","))
            }
        }
        scanner.skipWhitespace()
        guard scanner.isAtEnd else {
            throw scanner.failure("expected the end of the header, found \(scanner.found)")
        }
    }

    /// Refuses names that cannot be told apart on a terminal, or that no reader expects.
    static func check(name: String, file: String?) throws(SafetensorsError) {
        func refusal(_ message: String) -> SafetensorsError {
            SafetensorsError(.malformed, file: file, tensor: name, message: message)
        }
        guard !name.isEmpty else { throw refusal("a tensor's name must not be empty") }
        guard name.utf8.count <= Header.maximumNameLength else {
            throw refusal("its name has \(name.utf8.count) bytes; at most \(Header.maximumNameLength) are allowed")
        }
        for scalar in name.unicodeScalars where scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) {
            throw refusal("its name holds a control character")
        }
    }

    private func refusal(_ name: String, _ message: String) -> SafetensorsError {
        SafetensorsError(.malformed, file: file, tensor: name, message: message)
    }

    private mutating func parseMetadata() throws(SafetensorsError) {
        if scanner.peek == UInt8(ascii: "n") {
            try scanner.literal("null")
            return
        }
        try scanner.expect(UInt8(ascii: "{"))
        scanner.skipWhitespace()
        if scanner.take(UInt8(ascii: "}")) { return }
        var keys: Set<String> = []
        while true {
            scanner.skipWhitespace()
            let key = try scanner.string()
            guard keys.insert(key).inserted else {
                throw scanner.failure("the key \"\(escaped(key))\" appears twice in __metadata__")
            }
            scanner.skipWhitespace()
            try scanner.expect(UInt8(ascii: ":"))
            scanner.skipWhitespace()
            guard scanner.peek == UInt8(ascii: "\"") else {
                throw scanner.failure(
                    "__metadata__ maps strings to strings; \"\(escaped(key))\" has \(scanner.found) for a value")
            }
            metadata.append((key, try scanner.string()))
            scanner.skipWhitespace()
            if scanner.take(UInt8(ascii: "}")) { return }
            try scanner.expect(UInt8(ascii: ","))
        }
    }

    private mutating func parseTensor(_ name: String) throws(SafetensorsError) -> TensorInfo {
        guard scanner.take(UInt8(ascii: "{")) else {
            throw refusal(name, "expected an object with dtype, shape and data_offsets, found \(scanner.found)")
        }
        var dtype: DType?
        var shape: Shape?
        var offsets: (begin: Int, end: Int)?
        scanner.skipWhitespace()
        if !scanner.take(UInt8(ascii: "}")) {
            while true {
                scanner.skipWhitespace()
                let key = try scanner.string()
                scanner.skipWhitespace()
                try scanner.expect(UInt8(ascii: ":"))
                scanner.skipWhitespace()
                switch key {
                case "dtype" where dtype == nil: dtype = try parseDType(name)
                case "shape" where shape == nil: shape = try parseShape(name)
                case "data_offsets" where offsets == nil: offsets = try parseOffsets(name)
                case "dtype", "shape", "data_offsets": throw refusal(name, "\(key) appears twice")
                default: throw refusal(name, "unknown field \"\(escaped(key))\" beside dtype, shape and data_offsets")
                }
                scanner.skipWhitespace()
                if scanner.take(UInt8(ascii: "}")) { break }
                try scanner.expect(UInt8(ascii: ","))
            }
        }
        guard let dtype else { throw refusal(name, "dtype is missing") }
        guard let shape else { throw refusal(name, "shape is missing") }
        guard let (begin, end) = offsets else { throw refusal(name, "data_offsets are missing") }
        let size: Int
        do throws(SafetensorsError) {
            size = try shape.byteCount(of: dtype)
        } catch {
            throw refusal(name, error.message)
        }
        guard begin <= end else { throw refusal(name, "its data ends at \(end), before it begins at \(begin)") }
        guard end - begin == size else {
            throw refusal(
                name, "\(dtype.rawValue) \(shape) needs \(size) bytes, and its data_offsets span \(end - begin)")
        }
        return TensorInfo(name: name, dtype: dtype, shape: shape, begin: begin, end: end)
    }

    private mutating func parseDType(_ name: String) throws(SafetensorsError) -> DType {
        guard scanner.peek == UInt8(ascii: "\"") else {
            throw refusal(name, "dtype must be a string, found \(scanner.found)")
        }
        let text = try scanner.string()
        guard let dtype = DType(rawValue: text) else {
            throw refusal(
                name,
                "unknown dtype \"\(escaped(text))\"; known are "
                    + DType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return dtype
    }

    private mutating func parseShape(_ name: String) throws(SafetensorsError) -> Shape {
        guard scanner.take(UInt8(ascii: "[")) else {
            throw refusal(name, "shape must be a list of numbers, found \(scanner.found)")
        }
        var dimensions: [Int] = []
        scanner.skipWhitespace()
        if !scanner.take(UInt8(ascii: "]")) {
            while true {
                scanner.skipWhitespace()
                dimensions.append(try count(name, "shape"))
                guard dimensions.count <= Shape.maximumRank else {
                    throw refusal(name, "its shape has more than \(Shape.maximumRank) dimensions")
                }
                scanner.skipWhitespace()
                if scanner.take(UInt8(ascii: "]")) { break }
                try scanner.expect(UInt8(ascii: ","))
            }
        }
        do throws(SafetensorsError) {
            return try Shape(dimensions)
        } catch {
            throw refusal(name, error.message)
        }
    }

    private mutating func parseOffsets(_ name: String) throws(SafetensorsError) -> (begin: Int, end: Int) {
        guard scanner.take(UInt8(ascii: "[")) else {
            throw refusal(name, "data_offsets must be a list of two numbers, found \(scanner.found)")
        }
        scanner.skipWhitespace()
        let begin = try count(name, "data_offsets")
        scanner.skipWhitespace()
        try scanner.expect(UInt8(ascii: ","))
        scanner.skipWhitespace()
        let end = try count(name, "data_offsets")
        scanner.skipWhitespace()
        try scanner.expect(UInt8(ascii: "]"))
        return (begin, end)
    }

    private mutating func count(_ name: String, _ field: String) throws(SafetensorsError) -> Int {
        do throws(SafetensorsError) {
            return try scanner.count()
        } catch {
            throw refusal(name, "\(field): \(error.message)")
        }
    }
}
