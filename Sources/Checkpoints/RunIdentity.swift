import Crypto
import Numerics
import Safetensors

/// Gathers what decides a run's result, for a run that goes on with another's work: the same inputs give the same digest
/// on every machine, others another one.
package struct RunIdentity {
    private var hash = SHA256()

    package init() {}

    /// The digest, in lower-case hexadecimal.
    package var digest: String { hexadecimal(hash.finalize()) }

    package mutating func add(_ text: String) { add(Array(text.utf8)) }

    /// Adds bytes, and their number, so that what follows cannot run into them.
    package mutating func add(_ bytes: [UInt8]) {
        hash.update(data: Array("\(bytes.count) ".utf8))
        hash.update(data: bytes)
    }

    package mutating func add<T: BitwiseCopyable>(values: [T]) {
        hash.update(data: Array("\(values.count) ".utf8))
        values.withUnsafeBytes { hash.update(bufferPointer: $0) }
    }

    /// Adds the content of files: all of it where they have 256 MiB together at most; of larger ones their sizes and times,
    /// both ends, and 64 KiB in each of 256 places spread over them, since to read them twice would cost as much as the run.
    package mutating func add(files: [String]) throws {
        let sizes = try files.map { try PosixFile.sizeOf($0) }
        let isWhole = sizes.reduce(0, { $0.addingReportingOverflow($1).partialValue }) <= 256 << 20
        for path in files {
            let file = try PosixFile.open(path)
            let identity = try file.identity()
            add("\(identity.size)")
            if isWhole {
                try Self.forEachPart(of: file, size: identity.size) { hash.update(bufferPointer: $0) }
                continue
            }
            add("\(identity.modifiedSeconds).\(identity.modifiedNanoseconds)")
            let (piece, count) = (64 << 10, 256)
            for index in 0...count {
                let start = min(identity.size / count * index, max(identity.size - piece, 0))
                hash.update(data: try file.bytes(at: start, count: min(piece, identity.size - start)))
            }
        }
    }

    /// The SHA-256 of a whole file.
    static func digest(ofFile path: String) throws -> String {
        let file = try PosixFile.open(path)
        var hash = SHA256()
        try forEachPart(of: file, size: file.size()) { hash.update(bufferPointer: $0) }
        return hexadecimal(hash.finalize())
    }

    private static func forEachPart(
        of file: PosixFile, size: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        for start in stride(from: 0, to: size, by: buffer.count) {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(buffer.count, size - start)])
            try file.readExactly(into: part, at: start)
            body(UnsafeRawBufferPointer(part))
        }
    }

    /// Adds a checkpoint: its configuration, how each of its tensors comes about, the files that are carried over, and what
    /// it was made by. The files that the tensors come from are added by `add(files:)`.
    package mutating func add(_ checkpoint: Checkpoint) throws {
        add(checkpoint.description.config.text)
        for step in checkpoint.history { add(JSON.object(step).line) }
        let entries = checkpoint.table.map { ("\($0.key)", $0.value) }.sorted { utf8Precedes($0.0, $1.0) }
        for (role, tensor) in entries {
            add("\(role) \(tensor.dtype.rawValue) \(tensor.rows) \(tensor.columns)")
            add(tensor.expression)
        }
        try add(checkpoint.companions)
        try add(files: checkpoint.sources.map(\.path))
    }

    mutating func add(_ companions: [Companion]) throws {
        for companion in companions {
            add(companion.name)
            switch companion.content {
            case .file(let path): try add(files: [path])
            case .bytes(let bytes): add(bytes)
            }
        }
    }

    mutating func add(_ expression: TensorExpression) {
        switch expression {
        case .source(let tensor, let view):
            add("source \(WorkFolder.split(tensor.file.path).name) \(tensor.info.name) \(view)")
        case .quantised(let tensor, let view):
            add("quantised \(tensor.name) \(tensor.format) \(view)")
            for part in tensor.parts {
                add("\(part.label) \(WorkFolder.split(part.tensor.file.path).name) \(part.tensor.info.name)")
            }
        case .values(let values): add(values: values)
        case .aligned(let alignment, let own):
            add("aligned \(own) \(alignment.weights)")
            for rows in alignment.rows { add(values: rows) }
            for source in alignment.sources { add(source) }
        default: addMembers(of: expression)
        }
    }

    /// Adds whatever a value is made of. What only computes (closures, objects) counts by its type: what it is told is in
    /// the record of the checkpoint's making.
    private mutating func addMembers(of value: Any) {
        switch value {
        case let values as [Float]: return add(values: values)
        case let values as [Double]: return add(values: values)
        case let values as [Int]: return add(values: values)
        case let expression as TensorExpression where !Mirror(reflecting: expression).children.isEmpty:
            if case .source = expression { return add(expression) }
            if case .quantised = expression { return add(expression) }
            if case .values = expression { return add(expression) }
            if case .aligned = expression { return add(expression) }
        default: break
        }
        let mirror = Mirror(reflecting: value)
        add("\(type(of: value))")
        switch mirror.displayStyle {
        case .class: return
        case .set, .dictionary:
            // Their order differs from run to run.
            let parts = mirror.children.map { child in
                var part = RunIdentity()
                part.addMembers(of: child.value)
                return part.digest
            }
            for part in parts.sorted() { add(part) }
        default:
            if mirror.children.isEmpty { return add("\(value)") }
            for child in mirror.children {
                add(child.label ?? "")
                addMembers(of: child.value)
            }
        }
    }
}
