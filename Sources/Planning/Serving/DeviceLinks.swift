import Glibc

/// What devices that share a model send one another over, and how long that takes.
///
///     all-reduce   2 (G − 1)/G · S/B + 2 ⌈log₂ G⌉ t    of S bytes that every device has a summand of (a ring's bytes, a
///                                                      tree's hops: Thakur, Rabenseifner and Gropp 2005)
///     all-to-all     (G − 1)/G · S/(G B) + ⌈log₂ G⌉ t  of S bytes that are spread over the devices
///
/// Beyond a node the slower of link and network carries the bytes, and hops between nodes take the network's time.
package struct DeviceLinks: Sendable, Hashable {
    /// B: bytes that a device sends in a second, one way.
    package var bytesPerSecond: Double
    /// t: seconds of a hop.
    package var seconds: Double
    /// Devices that have such links to one another.
    package var devicesPerNode: Double
    /// Of each device, to another node.
    package var networkBytesPerSecond: Double
    package var networkSeconds: Double
    /// Whether the device's description says nothing of them.
    package var isAssumed: Bool

    package init(
        bytesPerSecond: Double, seconds: Double, devicesPerNode: Double, networkBytesPerSecond: Double,
        networkSeconds: Double, isAssumed: Bool = false
    ) {
        self.bytesPerSecond = bytesPerSecond
        self.seconds = seconds
        self.devicesPerNode = devicesPerNode
        self.networkBytesPerSecond = networkBytesPerSecond
        self.networkSeconds = networkSeconds
        self.isAssumed = isAssumed
    }

    /// Links that cost nothing.
    package static let free = DeviceLinks(
        bytesPerSecond: .infinity, seconds: 0, devicesPerNode: .infinity, networkBytesPerSecond: .infinity,
        networkSeconds: 0)

    /// What is taken for a device whose description does not say: PCIe 4.0 with sixteen lanes.
    package static let assumed = DeviceLinks(
        bytesPerSecond: 2.5e10, seconds: 1e-5, devicesPerNode: 8, networkBytesPerSecond: 2.5e10, networkSeconds: 1e-5,
        isAssumed: true)

    /// Seconds in which every device gets the sum of what all have.
    package func allReduce(bytes: Double, devices: Int) -> Double {
        guard devices > 1 else { return 0 }
        let count = Double(devices)
        return 2 * (count - 1) / count * bytes / rate(devices) + 2 * hops(devices)
    }

    /// Seconds in which bytes that are spread over the devices get to those that they are for.
    package func allToAll(bytes: Double, devices: Int) -> Double {
        guard devices > 1 else { return 0 }
        let count = Double(devices)
        return (count - 1) / count * bytes / count / rate(devices) + hops(devices)
    }

    private func rate(_ devices: Int) -> Double {
        Double(devices) > devicesPerNode ? min(bytesPerSecond, networkBytesPerSecond) : bytesPerSecond
    }

    private func hops(_ devices: Int) -> Double {
        let all = log2(Double(devices)).rounded(.up)
        let near = min(all, log2(devicesPerNode).rounded(.up))
        // Without hops to another node nothing is spent there, whatever they would take.
        return near * seconds + (all > near ? (all - near) * networkSeconds : 0)
    }
}
