/// A value of a GGUF file's metadata.
package enum GGUFValue: Sendable, Hashable {
    case uint32(UInt32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case strings([String])
    case int32s([Int32])
    case float32s([Float])
    case bools([Bool])

    /// The number of its type in the file; an array's is that of its elements.
    private var type: UInt32 {
        switch self {
        case .uint32: 4
        case .int32s: 5
        case .float32, .float32s: 6
        case .bool, .bools: 7
        case .string, .strings: 8
        }
    }

    /// The type and the value as they are in the file.
    fileprivate func append(to bytes: inout [UInt8]) {
        func list<T>(_ values: [T], _ body: (T) -> Void) {
            bytes.append(littleEndian: UInt32(9))
            bytes.append(littleEndian: type)
            bytes.append(littleEndian: UInt64(values.count))
            for value in values { body(value) }
        }
        switch self {
        case .strings(let values): list(values) { bytes.append(text: $0) }
        case .int32s(let values): list(values) { bytes.append(littleEndian: UInt32(bitPattern: $0)) }
        case .float32s(let values): list(values) { bytes.append(littleEndian: $0.bitPattern) }
        case .bools(let values): list(values) { bytes.append($0 ? 1 : 0) }
        case .uint32(let value):
            bytes.append(littleEndian: type)
            bytes.append(littleEndian: value)
        case .float32(let value):
            bytes.append(littleEndian: type)
            bytes.append(littleEndian: value.bitPattern)
        case .bool(let value):
            bytes.append(littleEndian: type)
            bytes.append(value ? 1 : 0)
        case .string(let value):
            bytes.append(littleEndian: type)
            bytes.append(text: value)
        }
    }
}

/// What a GGUF file says beside its tensors, in order.
package struct GGUFMetadata: Sendable {
    package private(set) var entries: [(key: String, value: GGUFValue)] = []

    package init() {}

    package subscript(key: String) -> GGUFValue? {
        get { entries.first { $0.key == key }?.value }
        set {
            entries.removeAll { $0.key == key }
            if let newValue { entries.append((key, newValue)) }
        }
    }

    /// The file up to its tensors' data, version 3, padded to the alignment.
    ///
    /// - Parameter tensors: dimensions are row-major: the file has them in the reverse order.
    func header(_ tensors: [(name: String, dimensions: [Int], type: UInt32, offset: Int)], alignment: Int) -> [UInt8] {
        var bytes = Array("GGUF".utf8)
        bytes.append(littleEndian: UInt32(3))
        bytes.append(littleEndian: UInt64(tensors.count))
        bytes.append(littleEndian: UInt64(entries.count))
        for (key, value) in entries {
            bytes.append(text: key)
            value.append(to: &bytes)
        }
        for tensor in tensors {
            bytes.append(text: tensor.name)
            bytes.append(littleEndian: UInt32(tensor.dimensions.count))
            for size in tensor.dimensions.reversed() { bytes.append(littleEndian: UInt64(size)) }
            bytes.append(littleEndian: tensor.type)
            bytes.append(littleEndian: UInt64(tensor.offset))
        }
        while bytes.count % alignment != 0 { bytes.append(0) }
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(text: String) {
        append(littleEndian: UInt64(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
