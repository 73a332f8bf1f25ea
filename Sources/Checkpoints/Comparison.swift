import Numerics
import Packing
import Safetensors

/// How a tensor of one checkpoint stands to its counterpart in another.
public struct ComparedTensor: Sendable {
    /// How two tensors of one name stand to each other.
    public enum Outcome: Sendable, Equatable {
        /// The second checkpoint has none of the name.
        case onlyInFirst
        /// The first checkpoint has none of the name.
        case onlyInSecond
        /// The shapes of both.
        case shapeDiffers(String, String)
        /// The dtypes of both, and their values' difference.
        case dtypeDiffers(String, String, Difference)
        /// The values' difference.
        case compared(Difference)
    }

    /// The tensor's name.
    public let name: String
    /// How it stands to its counterpart.
    public let outcome: Outcome

    /// Whether the tensors are the same to the byte.
    public var isIdentical: Bool {
        if case .compared(let difference) = outcome { return difference.isIdentical }
        return false
    }
}

/// The tensors of a folder or a file under the names that they have where nothing is quantised.
package struct NamedTensors: Sendable {
    package let names: [String]
    private let tensors: [String: (tensor: LazyTensor, shape: [Int])]

    /// - Throws: `SafetensorsError` where a file cannot be read, `CheckpointError` where quantised weights do not fit their
    ///   parts.
    package init(at path: String) throws {
        let files = try ShardedTensors.open(path)
        if let stored = try Self.quantised(path, files) {
            names = stored.names
            tensors = Dictionary(
                uniqueKeysWithValues: stored.names.compactMap { name in
                    stored[name].map { (name, (Self.whole($0), $0.shape)) }
                })
            return
        }
        names = files.names
        tensors = Dictionary(
            uniqueKeysWithValues: files.entries.map { file, info in
                (info.name, (LazyTensor(whole: SourceTensor(file: file, info: info)), info.shape.dimensions))
            })
    }

    package subscript(name: String) -> (tensor: LazyTensor, shape: [Int])? { tensors[name] }

    private static func whole(_ entry: StoredTensors.Entry) -> LazyTensor {
        if case .plain(let tensor) = entry { LazyTensor(whole: tensor) } else { entry.whole }
    }

    /// The tensors of a checkpoint with quantised weights; nil for any other.
    private static func quantised(_ path: String, _ files: ShardedTensors) throws -> StoredTensors? {
        guard try fileExists(path + "/config.json") else { return nil }
        let config = try ModelConfig(contentsOf: path + "/config.json").languageModel
        guard try Quantisation.stated(in: config, folder: path) != nil, let type = config.object["model_type"]?.string,
            let architecture = try Architecture.named(type)
        else { return nil }
        return try StoredTensors(files, config, architecture, folder: path)
    }
}

/// Compares checkpoints tensor by tensor.
package enum Comparison {
    /// Compares tensors of the same name, in the order of the names.
    ///
    /// - Parameter threads: how many tensors are compared at a time.
    /// - Throws: `SafetensorsError` where a file cannot be read.
    package static func byName(
        _ a: NamedTensors, _ b: NamedTensors, threads: Int, isCancelled: @escaping @Sendable () -> Bool
    ) async throws -> [ComparedTensor] {
        let names = Set(a.names).union(b.names).sorted()
        return try await mapOnThreads(names, threads: threads) { name in
            if isCancelled() { throw CheckpointError.cancelled }
            guard let (first, firstShape) = a[name] else {
                return ComparedTensor(name: name, outcome: .onlyInSecond)
            }
            guard let (second, secondShape) = b[name] else {
                return ComparedTensor(name: name, outcome: .onlyInFirst)
            }
            guard firstShape == secondShape else {
                return ComparedTensor(name: name, outcome: .shapeDiffers("\(firstShape)", "\(secondShape)"))
            }
            guard first.dtype == second.dtype else {
                let comparable = first.dtype.isConvertible && second.dtype.isConvertible
                var difference = Difference()
                difference.isIdentical = false
                difference.isOfBytes = !comparable
                if comparable { difference = try .between(first, second, isCancelled: isCancelled) }
                return ComparedTensor(
                    name: name,
                    outcome: .dtypeDiffers(first.dtype.rawValue, second.dtype.rawValue, difference))
            }
            return ComparedTensor(
                name: name, outcome: .compared(try .between(first, second, isCancelled: isCancelled)))
        }
    }
}

extension Comparison {
    /// Where the configurations of two folders make other functions of the same weights; nothing where one of them has
    /// none, such as a file by itself.
    ///
    /// - Throws: `CheckpointError` for a configuration that gives no model.
    package static func configurations(_ a: String, _ b: String) throws -> [FunctionTraits.Disagreement] {
        guard let first = try PosixFile.pathIfPresent(of: "config.json", inFolder: a),
            let second = try PosixFile.pathIfPresent(of: "config.json", inFolder: b)
        else { return [] }
        func traits(_ path: String) throws -> FunctionTraits {
            let config = try ModelConfig(contentsOf: path).languageModel
            let type = config.object["model_type"]?.string
            guard let architecture = try type.flatMap({ try Architecture.named($0) }) else {
                return FunctionTraits(unknownFamily: config)
            }
            return try FunctionTraits(ModelDescription(architecture, config))
        }
        return try traits(first).disagreements(with: traits(second))
    }
}

extension LazyTensor {
    /// A whole tensor, as a matrix of its last dimension; as bytes where its elements are smaller than a byte.
    package init(whole tensor: SourceTensor) {
        let info = tensor.info
        if info.dtype.bits % 8 != 0 {
            self.init(tensor, view: .contiguous(rows: info.end - info.begin, columns: 1))
            return
        }
        let columns = info.shape.dimensions.count > 1 ? info.shape.dimensions.last ?? 1 : 1
        let rows = columns > 0 ? info.shape.elementCount / columns : 0
        self.init(tensor, view: .contiguous(rows: rows, columns: columns))
    }
}

/// Applies `body` to each element on `threads` threads; the results are in the order of the elements.
package func mapOnThreads<T: Sendable, R: Sendable>(
    _ elements: [T], threads: Int, _ body: @escaping @Sendable (T) throws -> R
) async throws -> [R] {
    let results = IndexedResults<R>(count: elements.count)
    let bodies = (0..<max(1, min(threads, elements.count))).map { _ in
        { @Sendable (stop: StopFlag) in
            while !stop.isRaised, let index = results.next() {
                results.set(index, try body(elements[index]))
            }
        }
    }
    try await runOnThreads(bodies)
    return results.all
}
