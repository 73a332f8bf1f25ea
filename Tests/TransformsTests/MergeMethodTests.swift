import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// The expected numbers are made by Tests/Fixtures/merge/make.py, from the papers' formulas.
@Suite("Merge methods")
struct MergeMethodTests {
    private static let cases: [(String, MergeMethod, Int, Bool, @Sendable (inout MergeParameters) -> Void)] = [
        ("linear", .linear, 3, false, { _ in }),
        ("slerp", .slerp, 2, false, { $0.t = 0.3 }),
        ("nuslerp", .nuslerp, 2, false, { _ in }),
        ("nuslerp-base", .nuslerp, 2, true, { _ in }),
        ("multislerp", .multislerp, 3, false, { _ in }),
        ("multislerp-base", .multislerp, 3, true, { _ in }),
        ("karcher", .karcher, 3, false, { _ in }),
        ("model-stock", .modelStock, 3, true, { _ in }),
        ("task-arithmetic", .taskArithmetic, 3, true, { $0.lambda = 0.4 }),
        ("ties", .ties, 3, true, { _ in }),
        ("dare-linear", .dareLinear, 3, true, { _ in }),
        ("dare-linear-l1", .dareLinear, 3, true, { $0.rescaling = .l1 }),
        ("dare-ties", .dareTies, 3, true, { _ in }),
        ("della", .della, 3, true, { _ in }),
        ("della-l1", .della, 3, true, { $0.rescaling = .l1 }),
        ("della-linear", .dellaLinear, 3, true, { $0.rescaling = Rescaling.none }),
        ("breadcrumbs", .breadcrumbs, 3, true, { $0.gammas = [0.1, 0.1, 0.1] }),
        ("breadcrumbs-ties", .breadcrumbsTies, 3, true, { $0.gammas = [0.1, 0.1, 0.1] }),
        ("sce", .sce, 3, true, { $0.selectTopK = 0.3 }),
        ("sce-all", .sce, 3, true, { _ in }),
    ]

    private let file: SafetensorsFile

    init() throws { file = try SafetensorsFile(path: Fixtures.file("merge/merge.safetensors")) }

    private func tensor(_ name: String) throws -> LazyTensor {
        let info = try #require(file.header.tensors.first { $0.name == name })
        return LazyTensor(whole: SourceTensor(file: file, info: info))
    }

    private func floats(_ tensor: LazyTensor, rowsAtATime step: Int) throws -> [Float] {
        let evaluator = Evaluator(loaded: LoadedSources())
        var result: [Float] = []
        for start in stride(from: 0, to: tensor.rows, by: step) {
            try evaluator.withBytes(of: tensor, rows: start..<min(start + step, tensor.rows)) { bytes, _ in
                for i in 0..<bytes.count / 4 {
                    result.append(bytes.loadUnaligned(fromByteOffset: 4 * i, as: Float.self))
                }
            }
        }
        return result
    }

    @Test("A method gives the numbers of its formula, however the tensor is cut into blocks", arguments: cases.indices)
    func numbers(_ index: Int) throws {
        let (name, method, count, usesBase, change) = Self.cases[index]
        for shape in ["matrix", "vector"] {
            var parameters = MergeParameters(models: count)
            parameters.weights = Array([0.5, 0.3, 0.7].prefix(count))
            parameters.densities = Array(repeating: 0.4, count: count)
            change(&parameters)
            let base = try tensor("\(shape).base")
            let expected = try floats(tensor("\(shape).\(name)"), rowsAtATime: 100)
            for step in [100, 1, 4] {
                // Anew for each cut, since deferred values are kept.
                let expression = try method.expression(
                    (0..<count).map { try tensor("\(shape).\($0)") }, base: usesBase ? base : nil, parameters,
                    name: shape, seed: 11)
                let merged = LazyTensor(rows: base.rows, columns: base.columns, dtype: .f32, expression: expression)
                let found = try floats(merged, rowsAtATime: step)
                let isSpherical = ["slerp", "karcher"].contains { name.contains($0) } || method == .modelStock
                for (a, b) in zip(found, expected) {
                    #expect(isSpherical ? abs(a - b) <= b.ulp : a == b, "\(name) of a \(shape), \(step) rows at a time")
                }
                #expect(found.count == expected.count)
            }
        }
    }

    @Test("Copies of the base merge to the base", arguments: MergeMethod.allCases)
    func copies(_ method: MergeMethod) throws {
        for shape in ["matrix", "vector"] {
            let base = try tensor("\(shape).base")
            let count = method.modelCounts.upperBound == 2 ? 2 : 3
            var parameters = MergeParameters(models: count)
            parameters.weights = Array([0.1, 0.7, 0.3].prefix(count))
            parameters.densities = Array(repeating: 0.5, count: count)
            parameters.selectTopK = 0.5
            let expression = try method.expression(
                Array(repeating: base, count: count), base: base, parameters, name: shape, seed: 1)
            let merged = LazyTensor(rows: base.rows, columns: base.columns, dtype: .f32, expression: expression)
            let isSpherical = [.slerp, .nuslerp, .multislerp, .karcher].contains(method)
            for (a, b) in zip(try floats(merged, rowsAtATime: 7), try floats(base, rowsAtATime: 7)) {
                #expect(isSpherical ? abs(a - b) <= b.ulp : a == b)
            }
        }
    }

    @Test("Numbers that make no sense are refused")
    func refusals() throws {
        let matrix = try tensor("matrix.base")
        func error(_ method: MergeMethod, models: Int = 2, base: Bool = true, _ change: (inout MergeParameters) -> Void)
            throws -> CheckpointError
        {
            var parameters = MergeParameters(models: models)
            change(&parameters)
            return try #require(throws: CheckpointError.self) {
                try method.expression(
                    Array(repeating: matrix, count: models), base: base ? matrix : nil, parameters, name: "x", seed: 0)
            }
        }
        #expect(try error(.linear) { $0.weights = [1, -1] }.message.contains("sum to 0"))
        #expect(try error(.ties, base: false) { _ in }.message.contains("`base`"))
        #expect(try error(.slerp, models: 3) { _ in }.message.contains("two models"))
        #expect(try error(.modelStock, models: 1) { _ in }.message.contains("at least 2"))
        #expect(try error(.dareTies) { $0.densities = [1.5, 0.5] }.message.contains("between 0 and 1"))
        #expect(try error(.della) { $0.densities = [0.9, 0.5] }.message.contains("epsilon"))
    }
}
