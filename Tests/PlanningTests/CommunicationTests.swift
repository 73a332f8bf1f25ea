import Checkpoints
import Glibc
import Planning
import Testing

@Suite("What devices that share a model send one another")
struct CommunicationTests {
    /// 100 GB/s and 2 µs among four, 10 GB/s and 20 µs beyond.
    private let links = DeviceLinks(
        bytesPerSecond: 1e11, seconds: 2e-6, devicesPerNode: 4, networkBytesPerSecond: 1e10, networkSeconds: 2e-5)

    // By hand, of 1 MB: with four devices 2 * 3/4 * 1e6 / 1e11 = 15 µs and 2 * 2 hops of 2 µs; with eight 2 * 7/8 * 1e6 / 1e10
    // = 175 µs, 2 * 2 hops of 2 µs and 2 of 20 µs. All to all with four: 3/4 * 1e6 / 4 / 1e11 = 1.875 µs and 2 hops.
    @Test("All-reduce and all-to-all, by hand")
    func collectives() {
        #expect(links.allReduce(bytes: 1e6, devices: 1) == 0 && links.allToAll(bytes: 1e6, devices: 1) == 0)
        #expect(isClose(links.allReduce(bytes: 1e6, devices: 4), 23e-6, 1e-12))
        #expect(isClose(links.allReduce(bytes: 1e6, devices: 8), 223e-6, 1e-12))
        #expect(isClose(links.allToAll(bytes: 1e6, devices: 4), 5.875e-6, 1e-12))
        // Three devices need two hops, as four do.
        #expect(isClose(links.allToAll(bytes: 0, devices: 3), 4e-6, 1e-12))
    }

    private func model(mixtureLayers: Double) -> ServedModel {
        ServedModel(
            sizes: ModelSizes(
                dense: 1e9, active: 1e9, total: 1e9, expertParameters: 0, experts: mixtureLayers > 0 ? 8 : 1,
                selected: mixtureLayers > 0 ? 2 : 1, width: 1000, layers: 10, mixtureLayers: mixtureLayers,
                keyValueElements: 1e5, trainingFLOPs: 6e9, inferenceFLOPs: 2e9), promptTokens: 100, outputTokens: 100)
    }

    // By hand, 50 tokens of 1000 numbers of 2 bytes on four devices: 1e5 bytes. A dense layer has two all-reduces of 1.5 µs
    // + 8 µs; a mixture one, and two all-to-alls of 2e5 bytes, 0.375 µs + 4 µs.
    @Test("A dense layer has two all-reduces, a mixture one and two all-to-alls")
    func layers() {
        let device = Hardware(
            name: "test", memoryBytes: 4e9, bytesPerSecond: 1e12, flopsPerSecond: 1e14, dollarsPerHour: 1, links: links)
        let dense = Roofline(hardware: device, model: model(mixtureLayers: 0))
        #expect(isClose(dense.communication(tokens: 50, devices: 4), 10 * 2 * 9.5e-6, 1e-12))
        let mixture = Roofline(hardware: device, model: model(mixtureLayers: 4))
        #expect(
            isClose(mixture.communication(tokens: 50, devices: 4), 16 * 9.5e-6 + 4 * 2 * 4.375e-6, 1e-12))
        var unlinked = device
        unlinked.links = .free
        let free = Roofline(hardware: unlinked, model: model(mixtureLayers: 0))
        let difference = (dense.decode(batch: 50, devices: 4) ?? 0) - (free.decode(batch: 50, devices: 4) ?? 0)
        #expect(isClose(difference, 190e-6, 1e-9))
        #expect(dense.decode(batch: 50, devices: 1) == free.decode(batch: 50, devices: 1))
    }

    @Test("The most devices are not the cheapest when they wait for one another, and of equals the fewest are")
    func stars() throws {
        for name in ["A100-40", "A100-80", "H100", "H200", "CPU"] {
            let plan = ServingPlan(hardware: try Hardware(named: name), largestDeviceCount: 16)
            let small = ServedModel(
                sizes: ModelSizes(
                    dense: 1e9, active: 1e9, total: 1e9, expertParameters: 0, experts: 1, selected: 1, width: 2048,
                    layers: 16, keyValueElements: 2 * 16 * 2048, trainingFLOPs: 6e9, inferenceFLOPs: 2e9),
                promptTokens: 512, outputTokens: 256)
            let estimates = plan.estimates(small)
            let cheapest = try #require(ServingPlan.cheapest(estimates))
            #expect(
                estimates.allSatisfy { $0.dollarsPerMillionTokens >= cheapest.dollarsPerMillionTokens * (1 - 1e-9) })
            #expect(cheapest.devices < 16, "\(name) \(cheapest.devices)")
        }
        var gift = try Hardware(named: "H100")
        gift.dollarsPerHour = 0
        let plan = ServingPlan(hardware: gift)
        #expect(plan.cheapest(model(mixtureLayers: 0))?.devices == 1)
    }

    @Test("Every device that is known has links, and a description without them is said to be assumed")
    func descriptions() throws {
        for name in ["A100-40", "A100-80", "H100", "H200", "CPU"] {
            let links = try Hardware(named: name).links
            #expect(!links.isAssumed && links.bytesPerSecond.isFinite && links.seconds > 0)
        }
        let text = """
            {"memory_bytes": 1e9, "bytes_per_second": 1e9, "flops_per_second": 1e12, "dollars_per_hour": 1}
            """
        #expect(try Hardware(parsing: Array(text.utf8), file: "h.json").links == .assumed)
        let bad = text.dropLast() + #", "link_bytes_per_second": -1}"#
        #expect(refusal { try Hardware(parsing: Array(bad.utf8), file: "h.json") }?.code == .malformed)
    }
}
