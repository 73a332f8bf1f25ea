import CPlatform
import Numerics
package import Safetensors

/// How far the weights of one checkpoint are from those of another with the same roles, such as one and its quantised form.
package struct RoleErrors: Sendable {
    /// The weights of one kind.
    package struct Row: Sendable {
        package let role: String
        package let tensors: Int
        /// Those whose values are all the same.
        package let same: Int
        /// The root mean square of the differences over that of the first's values.
        package let relative: Double
        package let largest: Double
    }

    /// The kinds of weights that differ, and as one row what is the same.
    package let rows: [Row]
    /// All weights together.
    package let all: Row
    /// Roles that only one of the two has.
    package let missing: [String]

    /// - Throws: `CheckpointError` where a weight has no values, or other sizes in the other.
    package static func between(
        _ a: Checkpoint, _ b: Checkpoint, threads: Int, isCancelled: @escaping @Sendable () -> Bool
    ) async throws -> RoleErrors {
        let roles = a.table.keys.filter { b.table[$0] != nil }.sorted { utf8Precedes("\($0)", "\($1)") }
        let lone = Set(a.table.keys).symmetricDifference(b.table.keys)
        let sums = try await mapOnThreads(roles, threads: threads) { role in
            guard let first = a.table[role], let second = b.table[role] else { return Sums() }
            return try Sums.between(first, second, role, isCancelled)
        }
        return RoleErrors(zip(roles, sums).map { ($0, $1) }, missing: lone.map { "\($0)" }.sorted(by: utf8Precedes))
    }

    private init(_ results: [(role: Role, sums: Sums)], missing: [String]) {
        var kinds: [(kind: Role.Kind, sums: [Sums])] = []
        for (role, sums) in results {
            if let index = kinds.firstIndex(where: { $0.kind == role.kind }) {
                kinds[index].sums.append(sums)
            } else {
                kinds.append((role.kind, [sums]))
            }
        }
        rows = kinds.sorted { utf8Precedes($0.kind.rawValue, $1.kind.rawValue) }.map {
            Self.row($0.kind.rawValue, $0.sums)
        }
        all = Self.row("all", results.map(\.sums))
        self.missing = missing
    }

    private static func row(_ role: String, _ sums: [Sums]) -> Row {
        let errors = sums.reduce(0) { $0 + $1.errors }
        let squares = sums.reduce(0) { $0 + $1.squares }
        let largest = sums.reduce(0) { Difference.larger($0, $1.largest) }
        return Row(
            role: role, tensors: sums.count, same: sums.count { $0.largest == 0 },
            relative: errors == 0 ? 0 : (errors / squares).squareRoot(), largest: largest)
    }

    /// The errors as a JSON document.
    package var json: JSONObject {
        func object(_ row: Row) -> JSONObject {
            [
                "role": .string(row.role), "tensors": JSON(row.tensors), "same": JSON(row.same),
                "relative_error": JSON(row.relative), "maximum_absolute": JSON(row.largest),
            ]
        }
        return [
            "roles": .array(rows.map { .object(object($0)) }), "all": .object(object(all)),
            "missing": .strings(missing),
        ]
    }
}

/// Sums over the values of a weight and its counterpart.
private struct Sums: Sendable {
    var errors = 0.0
    var squares = 0.0
    var largest = 0.0

    static func between(
        _ a: LazyTensor, _ b: LazyTensor, _ role: Role, _ isCancelled: () -> Bool
    ) throws -> Sums {
        guard a.rows == b.rows, a.columns == b.columns else {
            throw CheckpointError(
                .incompatible, tensor: "\(role)",
                message:
                    "it is \(a.rows) x \(a.columns) in the first and \(b.rows) x \(b.columns) in the second: the two "
                    + "are not of one model")
        }
        var result = Sums()
        // Integers and the like, which only travel along, are the same or have no error to speak of.
        guard a.dtype.isConvertible, b.dtype.isConvertible else {
            result.largest = try Difference.between(a, b).isIdentical ? 0 : .nan
            return result
        }
        let evaluator = Evaluator(loaded: LoadedSources())
        let step = max(1, Evaluator.elementsPerBlock / 4 / max(1, a.columns))
        let size = min(step, max(a.rows, 1)) * a.columns
        try withScratch(of: Float.self, count: 2 * size) { scratch in
            for start in stride(from: 0, to: a.rows, by: step) {
                if isCancelled() { throw CheckpointError.cancelled }
                let rows = start..<min(start + step, a.rows)
                let count = rows.count * a.columns
                let first = UnsafeMutableBufferPointer(rebasing: scratch[0..<count])
                let second = UnsafeMutableBufferPointer(rebasing: scratch[size..<size + count])
                try evaluator.evaluate(a.expression, rows: rows, columns: a.columns, into: first)
                try evaluator.evaluate(b.expression, rows: rows, columns: a.columns, into: second)
                result.add(first, second)
            }
        }
        return result
    }

    private mutating func add(_ a: UnsafeMutableBufferPointer<Float>, _ b: UnsafeMutableBufferPointer<Float>) {
        guard let first = a.baseAddress, let second = b.baseAddress, !a.isEmpty else { return }
        squares += cplatform_sum_of_squares(first, a.count)
        for index in b.indices { b[index] -= a[index] }
        errors += cplatform_sum_of_squares(second, a.count)
        var most: Float = 0
        cquantising_largest(second, a.count, a.count, &most)
        largest = Difference.larger(largest, Double(most))
    }
}
