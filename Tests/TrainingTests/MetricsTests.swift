import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Training

@Suite("Metrics")
struct MetricsTests {
    private func metrics(_ step: Int, loss: Double = 1.5, aux: Double? = nil) -> StepMetrics {
        StepMetrics(
            step: step, loss: loss, aux: aux, gradientNorm: 0.25, learningRate: 1e-3, tokensPerSecond: 1234.56)
    }

    private func lines(_ path: String) throws -> [String] {
        String(decoding: try contents(path), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test("A line holds what was measured, and no more")
    func line() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/out.metrics.jsonl"
        let writer = try MetricsWriter(startingAt: path)
        try writer.append(metrics(0, aux: 2))
        try writer.append(metrics(1, loss: .nan))
        try writer.append(["step": 1, "held_out": .object(["code": "1"])])
        try writer.sync()
        let found = try lines(path)
        #expect(
            found[0]
                == #"{"step": 0, "loss": 1.5, "aux": 2.0, "grad_norm": 0.25, "lr": 0.001, "tokens_per_second": 1234.6}"#
        )
        // JSON has no NaN.
        #expect(found[1].hasPrefix(#"{"step": 1, "loss": null, "grad_norm""#))
        #expect(found[2] == #"{"step": 1, "held_out": {"code": "1"}}"#)
        // Foundation's parser takes each of them.
        for text in found { _ = try JSONSerialization.jsonObject(with: Data(text.utf8)) }
        #expect(found.count == 3)
    }

    @Test("A run that is resumed goes on before the step it resumes at, without what a kill left of a line")
    func resume() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/out.metrics.jsonl"
        let writer = try MetricsWriter(startingAt: path)
        for step in 0..<6 { try writer.append(metrics(step)) }
        let before = try lines(path)
        let cut = try contents(path) + Array(#"{"step": 2, "lo"#.utf8)
        try folder.write("out.metrics.jsonl", cut)

        let resumed = try MetricsWriter(resuming: path, at: 4)
        #expect(try lines(path) == Array(before[0..<4]))
        try resumed.append(metrics(4))
        #expect(try lines(path) == Array(before[0..<5]))
        #expect(folder.names == ["out.metrics.jsonl"])
    }

    @Test("Lines that are not JSON are dropped wherever they are; no file and an empty one are a start")
    func damage() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            "m.jsonl", Array("{\"step\": 0}\n\0\0\0\n[1]\n\n{\"step\": 1}\n{\"step\": 1".utf8))
        _ = try MetricsWriter(resuming: path, at: 10)
        #expect(try lines(path) == [#"{"step": 0}"#, #"{"step": 1}"#])
        for name in ["none", "empty"] {
            if name == "empty" { try folder.write(name, []) }
            try MetricsWriter(resuming: folder.path + "/" + name, at: 3).append(metrics(3))
            #expect(try lines(folder.path + "/" + name).count == 1)
        }
    }

    @Test("A folder that is not there is an error of I/O with its name")
    func missingFolder() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: CheckpointError.self) {
            try MetricsWriter(startingAt: folder.path + "/no/m.jsonl")
        }
        #expect(error?.code == .io)
        #expect(error?.description.contains("/no/") == true)
    }
}
