import Checkpoints
import Glibc
import Planning
import Testing

/// A dense model of 1 B parameters, and a device of 4 GB, 1 TB/s, 100 TFLOPS and a dollar a second.
private let model = ServedModel(
    sizes: ModelSizes(
        dense: 1e9, active: 1e9, total: 1e9, expertParameters: 0, experts: 1, selected: 1, width: 1, layers: 1,
        keyValueElements: 1e5, trainingFLOPs: 6e9, inferenceFLOPs: 2e9), promptTokens: 100, outputTokens: 100)
private let device = Hardware(
    name: "test", memoryBytes: 4e9, bytesPerSecond: 1e12, flopsPerSecond: 1e14, dollarsPerHour: 3600)

@Suite("The cost of serving")
struct ServingTests {
    // By hand: weights 2 GB, a request (100 + 50) * 2e5 = 30 MB; b = floor(2e9 / 3e7) = 66. Decode reads 2e9 + 66 * 3e7
    // bytes: 3.98 ms. Prefill of 66 / 100 requests, 100 tokens each: 0.66 of the 2 ms for one. T = 66 / 5.3 ms.
    // With two devices: b = 200, decode (2e9 + 6e9) / 2e12 = 4 ms, prefill of 2: 4e11 / 2e14 = 2 ms; T = 200 / 6 ms.
    @Test("A roofline, by hand")
    func roofline() throws {
        let estimates = ServingPlan(hardware: device, largestDeviceCount: 2).estimates(model)
        #expect(estimates.map(\.batch) == [66, 200])
        #expect(isClose(estimates[0].decodeSeconds, 3.98e-3, 1e-12))
        #expect(isClose(estimates[0].prefillSeconds, 1.32e-3, 1e-12))
        #expect(isClose(estimates[0].firstTokenSeconds, 2e-3, 1e-12))
        #expect(isClose(estimates[0].tokensPerSecond, 66 / 5.3e-3, 1e-12))
        #expect(isClose(estimates[0].dollarsPerMillionTokens, 5.3e-3 / 66 * 1e6, 1e-12))
        #expect(isClose(estimates[1].decodeSeconds, 4e-3, 1e-12))
        #expect(isClose(estimates[1].prefillSeconds, 2e-3, 1e-12))
        #expect(isClose(estimates[1].dollarsPerMillionTokens, 60, 1e-12))
        #expect(ServingPlan(hardware: device, largestDeviceCount: 2).cheapest(model)?.devices == 2)
    }

    @Test("What does not fit is not served")
    func memory() {
        var large = model
        large.sizes.total = 3e9
        let estimates = ServingPlan(hardware: device, largestDeviceCount: 3).estimates(large)
        #expect(estimates.map(\.devices) == [2, 3])
        #expect(ServingPlan(hardware: device, largestDeviceCount: 1).cheapest(large) == nil)
    }

    private static let table = """
        phase,devices,parameters,batch,seconds
        # two sizes
        prefill,1,1e9,1,0.1
        prefill,1,1e9,4,0.4
        prefill,1,3e9,1,0.3
        prefill,1,3e9,4,0.8
        decode,1,1e9,1,0.010
        decode,1,1e9,9,0.018
        decode,1,3e9,1,0.030
        decode,1,3e9,9,0.046
        """

    // By hand: at 2e9, half way, decode of 5 is (0.014 + 0.038) / 2; prefill of half a request half of (0.1 + 0.3) / 2.
    @Test("A measured table is interpolated in batch and size")
    func table() throws {
        let table = try LatencyTable(Array(Self.table.utf8), file: "t.csv").of(parameters: 2e9)
        #expect(isClose(table.decode(batch: 5, devices: 1) ?? 0, 0.026, 1e-12))
        #expect(isClose(table.decode(batch: 0.5, devices: 1) ?? 0, 0.020, 1e-12))
        #expect(isClose(table.prefill(requests: 0.5, devices: 1) ?? 0, 0.1, 1e-12))
        #expect(isClose(table.prefill(requests: 2.5, devices: 1) ?? 0, 0.4, 1e-12))
        #expect(table.largestBatch(devices: 1) == 9)
        #expect(table.decode(batch: 5, devices: 2) == nil)
        #expect(
            try LatencyTable(Array(Self.table.utf8), file: "t.csv").of(parameters: 9e9).decode(batch: 1, devices: 1)
                == nil)
        let plan = ServingPlan(
            hardware: device, latencies: try LatencyTable(Array(Self.table.utf8), file: "t.csv"))
        let estimate = try #require(plan.estimates(model).first)
        // Batch 9 of the 66 that fit: decode 0.018, prefill of 0.09 requests 0.009.
        #expect(estimate.batch == 9)
        #expect(isClose(estimate.tokensPerSecond, 9 / 0.027, 1e-12))
    }

    @Test(
        "Tables that are none are refused",
        arguments: [
            "", "phase,devices,batch\nprefill,1,1\n", "phase,devices,batch,seconds\nwarmup,1,1,1\n",
            "phase,devices,batch,seconds\nprefill,1,1,x\n", "phase,devices,batch,seconds\nprefill,1,1\n",
            "phase,devices,batch,seconds\nprefill,1,1,1\n", "phase,devices,batch,seconds\nprefill,0,1,1\n",
            "a,a\n1,2\n", "phase,devices,batch,seconds\nprefill,1,-1,1\n",
            "phase,devices,batch,seconds\nprefill,1e99,1,1\n",
        ])
    func badTables(_ text: String) {
        #expect(refusal { try LatencyTable(Array(text.utf8), file: "t.csv") }?.code == .malformed)
    }

    @Test("The devices that are known are described")
    func hardware() throws {
        for (name, gigabytes) in [("A100-40", 40.0), ("a100-80", 80), ("H100", 80), ("H200", 141), ("CPU", 64)] {
            #expect(try Hardware(named: name).memoryBytes == gigabytes * 1e9)
        }
        #expect(refusal { try Hardware(named: "abacus") }?.code == .usage)
        for text in ["{}", "[]", #"{"memory_bytes": -1}"#] {
            #expect(refusal { try Hardware(parsing: Array(text.utf8), file: "h.json") }?.code == .malformed)
        }
    }
}

@Suite("Overtraining")
struct OvertrainingTests {
    private func overtraining(_ name: String, links: DeviceLinks? = nil) throws -> Overtraining {
        let joint = try #require(PublishedLaw.named("joint"))
        var hardware = try Hardware(named: name)
        if let links { hardware.links = links }
        return Overtraining(
            budget: BudgetPlan(law: try joint.law(), shape: joint.shape, flops: 1e21),
            serving: ServingPlan(hardware: hardware), promptTokens: 512, outputTokens: 256)
    }

    /// Every one of 4000 sizes below the optimum, with its loss and cost.
    private func all(_ plan: Overtraining, _ experts: Double) throws -> [(loss: Double, cost: Double)] {
        let most = log(try plan.budget.optimum(experts: experts).point.parameters)
        return (0...4000).compactMap { step in
            let candidate = plan.budget.candidate(exp(most - log(200) * (1 - Double(step) / 4000)), experts)
            let model = ServedModel(sizes: candidate.sizes, promptTokens: 512, outputTokens: 256)
            return plan.serving.cheapest(model).map { (candidate.loss, $0.dollarsPerMillionTokens) }
        }
    }

    @Test("Both algorithms find what brute force finds", arguments: ["A100-40", "H200"])
    func bruteForce(_ hardware: String) throws {
        let plan = try overtraining(hardware)
        let base = try plan.base(experts: 4)
        for experts in [8.0, 16, 32] {
            let candidates = try all(plan, experts)
            let cheapest = try #require(candidates.filter { $0.loss <= base.candidate.loss }.map(\.cost).min())
            let bounded = try #require(try plan.boundedLoss(base.candidate.loss, experts: experts))
            #expect(bounded.candidate.loss <= base.candidate.loss * (1 + 1e-9))
            #expect(bounded.cost <= cheapest * (1 + 1e-9) && bounded.cost > cheapest * 0.99)
            #expect(bounded.cost < base.cost)

            let lowest = try #require(candidates.filter { $0.cost <= base.cost }.map(\.loss).min())
            let cheap = try #require(try plan.boundedCost(base.cost, experts: experts))
            #expect(cheap.cost <= base.cost * (1 + 1e-9))
            #expect(cheap.candidate.loss <= lowest + 1e-9 && cheap.candidate.loss > lowest - 1e-3)
        }
    }

    // A program of its own in Python: grids of 20,001 sizes for the base and 40,001 for the others, on the roofline of A100-80
    // with the shares and the price of its description, and links that cost nothing.
    @Test(
        "Sizes and costs are those of another program",
        arguments: [(8, 1.252853e9, 0.0602379), (16, 6.63285e8, 0.0356733), (32, 3.94140e8, 0.0229570)])
    func python(_ experts: Double, _ parameters: Double, _ cost: Double) throws {
        let plan = try overtraining("A100-80", links: .free)
        let base = try plan.base(experts: 4)
        #expect(isClose(base.candidate.point.parameters, 4.389853e9, 1e-3))
        #expect(isClose(base.cost, 0.168551, 1e-3))
        let choice = try #require(try plan.boundedLoss(base.candidate.loss, experts: experts))
        #expect(isClose(choice.candidate.point.parameters, parameters, 1e-3))
        #expect(isClose(choice.cost, cost, 1e-3))
    }

    @Test("What cannot be reached is none")
    func unreachable() throws {
        let plan = try overtraining("H100")
        #expect(try plan.boundedLoss(1.3, experts: 8) == nil)
        #expect(try plan.boundedCost(1e-30, experts: 8) == nil)
    }

    @Test("Overtrained models are cheaper, and none is better than the optimum", arguments: [1.0, 8, 32])
    func curve(_ experts: Double) throws {
        let plan = try overtraining("A100-80")
        let curve = try plan.curve(experts: experts, count: 40)
        #expect(curve.count == 40)
        for (smaller, larger) in zip(curve, curve.dropFirst()) {
            #expect(smaller.cost <= larger.cost && smaller.candidate.loss > larger.candidate.loss)
        }
    }
}
