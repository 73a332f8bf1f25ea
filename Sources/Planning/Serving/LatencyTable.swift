import Checkpoints
import Safetensors

/// Measured latencies, interpolated linearly in the batch and in the size of the model.
///
/// The file has the columns `phase` (prefill or decode), `devices`, `batch` (requests), `seconds`, and, where it is of
/// several models, `parameters` (all of a model's). Sizes and numbers of devices beyond the table are not known; a batch is
/// never larger than the largest that was measured.
package struct LatencyTable: Sendable {
    private enum Phase: String, Sendable { case prefill, decode }
    private struct Key: Hashable, Sendable {
        let phase: Phase
        let devices: Int
    }
    private struct Series: Sendable {
        let parameters: Double
        var points: [(batch: Double, seconds: Double)]
    }

    private let hasSizes: Bool
    private var series: [Key: [Series]] = [:]

    /// - Throws: `SafetensorsError` for a file that cannot be read, `CheckpointError.malformed` for one that is no table.
    package init(contentsOf path: String) throws { try self.init(CSVTable(contentsOf: path)) }

    package init(_ bytes: [UInt8], file: String) throws { try self.init(CSVTable(bytes, file: file)) }

    private init(_ table: CSVTable) throws {
        let phase = try table.requiredIndex(of: ["phase"])
        let devices = try table.requiredIndex(of: ["devices"])
        let batch = try table.requiredIndex(of: ["batch"])
        let seconds = try table.requiredIndex(of: ["seconds"])
        let parameters = table.index(of: ["parameters"])
        hasSizes = parameters != nil
        var points: [Key: [Double: [(Double, Double)]]] = [:]
        for row in table.rows.indices {
            guard let kind = Phase(rawValue: table.rows[row].cells[phase]) else {
                throw CheckpointError(
                    .malformed, file: "\(table.file), line \(table.rows[row].line)",
                    message: "phase is \"\(escaped(table.rows[row].cells[phase]))\": expected prefill or decode")
            }
            let count = try table.number(row, devices, in: 1...1e6)
            guard count == count.rounded() else {
                throw CheckpointError(
                    .malformed, file: "\(table.file), line \(table.rows[row].line)",
                    message: "devices is \(numberText(count)): expected a whole number")
            }
            let key = Key(phase: kind, devices: Int(count))
            let size = try parameters.map { try table.number(row, $0, in: 1...1e18) } ?? 0
            points[key, default: [:]][size, default: []].append(
                (try table.number(row, batch, in: 1e-3...1e9), try table.number(row, seconds, in: 1e-9...1e9)))
        }
        for (key, sizes) in points {
            series[key] = sizes.sorted { $0.key < $1.key }.map { size, points in
                Series(parameters: size, points: points.sorted { $0.0 < $1.0 }.map { (batch: $0.0, seconds: $0.1) })
            }
        }
        guard series.keys.contains(where: { $0.phase == .prefill }),
            series.keys.contains(where: { $0.phase == .decode })
        else {
            throw CheckpointError(.malformed, file: table.file, message: "expected rows of both prefill and decode")
        }
    }

    /// The latencies of a model with so many parameters in all.
    package func of(parameters: Double) -> any LatencyModel { Measured(table: self, parameters: parameters) }

    private struct Measured: LatencyModel {
        let table: LatencyTable
        let parameters: Double

        func prefill(requests: Double, devices: Int) -> Double? {
            table.seconds(.prefill, devices, parameters, requests)
        }

        func decode(batch: Double, devices: Int) -> Double? { table.seconds(.decode, devices, parameters, batch) }

        func largestBatch(devices: Int) -> Double {
            let all = table.series[Key(phase: .decode, devices: devices)] ?? []
            return all.compactMap(\.points.last?.batch).min() ?? 0
        }
    }

    private func seconds(_ phase: Phase, _ devices: Int, _ parameters: Double, _ batch: Double) -> Double? {
        guard let all = series[Key(phase: phase, devices: devices)], let first = all.first, let last = all.last else {
            return nil
        }
        if !hasSizes { return seconds(first, batch, phase) }
        // A size that is meant to be the measured one may differ by how parameters are counted.
        guard parameters >= first.parameters * 0.99, parameters <= last.parameters * 1.01 else { return nil }
        let above = all.firstIndex { $0.parameters >= parameters } ?? all.count - 1
        let below = max(above - 1, 0)
        let (low, high) = (all[below], all[above])
        guard let atLow = seconds(low, batch, phase), let atHigh = seconds(high, batch, phase) else { return nil }
        guard high.parameters > low.parameters else { return atHigh }
        let share = min(max((parameters - low.parameters) / (high.parameters - low.parameters), 0), 1)
        return atLow + share * (atHigh - atLow)
    }

    private func seconds(_ series: Series, _ batch: Double, _ phase: Phase) -> Double? {
        guard let first = series.points.first, let last = series.points.last else { return nil }
        // Fewer prompts than were measured at once come as many, only less often; a step of decoding is not faster for
        // having fewer requests than that.
        if batch <= first.batch { return phase == .prefill ? first.seconds * batch / first.batch : first.seconds }
        if batch >= last.batch { return last.seconds * batch / last.batch }
        guard let above = series.points.firstIndex(where: { $0.batch >= batch }), above > 0 else { return nil }
        let (low, high) = (series.points[above - 1], series.points[above])
        let share = (batch - low.batch) / (high.batch - low.batch)
        return low.seconds + share * (high.seconds - low.seconds)
    }
}
