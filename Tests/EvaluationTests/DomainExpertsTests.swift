import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// Which expert is which domain's; the names are what a record of merges, additions and prunings says, followed by hand.
@Suite("Domains and their experts")
struct DomainExpertsTests {
    /// The fixture has four experts.
    private func mixture(_ steps: JSONObject...) throws -> Checkpoint {
        try steps.reduce(Checkpoint(at: Fixtures.model("mixtral"))) { $0.recording($1) }
    }

    private let merged: JSONObject = ["command": "merge", "experts_of": .array(["python", "law", "manual", "seed"])]

    private func experts(_ checkpoint: Checkpoint, _ domains: [String], all: Bool = true, order: Bool = false) throws
        -> [Int]
    {
        try DomainExperts(checkpoint, for: "--test", isInOrder: order).experts(of: domains, needsAll: all)
    }

    @Test("A record is followed through additions, prunings, trainings and copies")
    func origins() throws {
        #expect(try mixture().expertOrigins == [nil, nil, nil, nil])
        #expect(try mixture(merged).expertOrigins == ["python", "law", "manual", "seed"])
        #expect(try mixture(merged, ["command": "finetune"]).expertOrigins == ["python", "law", "manual", "seed"])
        let three: JSONObject = ["command": "merge", "experts_of": .array(["a", "b", "c"])]
        let addition: JSONObject = ["command": "merge --into", "experts": 4, "experts_of": .array(["d"])]
        #expect(try mixture(three, addition).expertOrigins == ["a", "b", "c", "d"])
        #expect(try mixture(addition).expertOrigins == [nil, nil, nil, "d"])
        #expect(try mixture(merged, addition).expertOrigins == [nil, nil, nil, "d"], "four cannot have become four")
        let six: JSONObject = ["command": "merge", "experts_of": .array(["a", "b", "c", "d", "e", "f"])]
        func pruned(_ first: JSON, _ second: JSON) -> JSONObject {
            ["command": "prune", "kept": .object(["0": first, "1": second])]
        }
        let kept: JSON = .array([5, .array([0, 2]), 1, 3])
        #expect(try mixture(six, pruned(kept, kept)).expertOrigins == ["f", "a+c", "b", "d"])
        let others: JSON = .array([0, 1, 2, 3])
        #expect(try mixture(six, pruned(kept, others)).expertOrigins == [nil, nil, nil, nil], "layers keep others")
        #expect(try mixture(six, pruned(.array([9, -1, 0, .array([])]), .null)).expertOrigins.count == 4)
        #expect(try mixture(merged, ["command": "upcycle"]).expertOrigins == [nil, nil, nil, nil])
        let absurd: JSONObject = ["command": "merge --into", "experts": .number("9223372036854775807")]
        #expect(try mixture(merged, absurd).expertOrigins == [nil, nil, nil, nil])
    }

    @Test("A domain's expert is the one of its name, in whatever order the domains come")
    func byName() throws {
        let moe = try mixture(merged)
        #expect(try experts(moe, ["law", "manual", "python", "seed"]) == [1, 2, 0, 3])
        #expect(try experts(moe, ["seed", "law"], all: false) == [3, 1])
        #expect(try experts(moe, ["a", "b", "c", "d"], order: true) == [0, 1, 2, 3])
        let sources = ["law", "manual", "python", "seed"].map { DataSource(name: $0, path: $0) }
        let ordered = try DomainExperts(moe, for: "--test", isInOrder: false).ordered(sources)
        #expect(ordered.map(\.name) == ["python", "law", "manual", "seed"])
    }

    @Test("What has no expert of its name is refused, with the names that there are")
    func refusals() throws {
        let moe = try mixture(merged)
        let twice = try mixture(["command": "merge", "experts_of": .array(["law", "law", "manual", "seed"])])
        let cases: [(Checkpoint, [String], Bool, Bool, String)] = [
            (moe, ["law", "code", "manual", "seed"], true, false, "no expert came from a model named code"),
            (moe, ["law", "manual", "seed"], true, false, "no domain for expert 0, which came from python"),
            (twice, ["law"], false, false, "2 experts came from models named law"),
            (try mixture(), ["law"], false, false, "no moe-tool.json says"),
            (moe, ["a", "b", "c"], true, true, "3 domains (a, b, c) and 4 experts"),
        ]
        for (checkpoint, domains, all, order, message) in cases {
            let error = #expect(throws: CheckpointError.self) {
                try experts(checkpoint, domains, all: all, order: order)
            }
            #expect(error?.code == .incompatible)
            #expect(error?.description.contains(message) == true, "\(String(describing: error))")
            #expect(error?.description.contains("`domainsInOrder`") == true)
        }
    }

    /// The loss of a window sent to one expert does not depend on the order that domains are given in.
    @Test("evaluate --gating domain sends each domain to the expert of its name")
    func gating() throws {
        let folder = try TemporaryFolder()
        let ids = (0..<4).map { domain in (0..<200).map { Int32(($0 * 7 + domain * 13) % 90) } }
        let names = ["python", "law", "manual", "seed"]
        for (name, values) in zip(names, ids) {
            try folder.write("\(name).bin", values.flatMap { [UInt8(truncatingIfNeeded: $0), 0] })
        }
        let decoder = try Decoder(mixture(merged), workers: Workers(threads: 2))
        let encoder = try TextEncoder(.none, for: decoder.checkpoint.description)
        func losses(_ order: [String]) throws -> [String: Double] {
            let texts = try order.map {
                try DomainText(
                    DataSource(name: $0, path: "\(folder.path)/\($0).bin", tokens: .uint16), length: 24,
                    options: DataOptions(), encoder: encoder)
            }
            var evaluator = ModelEvaluator(decoder)
            evaluator.gating = .domain
            let result = try evaluator.evaluate(texts, name: "m")
            #expect(result.routing?.labels == names)
            // All of a domain's tokens are its own expert's.
            for (index, name) in order.enumerated() {
                let routed = try #require(result.routing?.layers[0]?.domains[index].routed)
                #expect(routed.firstIndex { $0 > 0 } == names.firstIndex(of: name))
                #expect(routed.count { $0 > 0 } == 1)
            }
            return Dictionary(uniqueKeysWithValues: result.scores.domains.map { ($0.name, $0.loss) })
        }
        #expect(try losses(names) == losses(names.sorted()))
    }
}
