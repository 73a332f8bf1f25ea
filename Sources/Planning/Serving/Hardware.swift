import Checkpoints
import Formats
import Safetensors

/// A device that models run on.
package struct Hardware: Sendable, Hashable {
    package let name: String
    package var memoryBytes: Double
    package var bytesPerSecond: Double
    package var flopsPerSecond: Double
    package var dollarsPerHour: Double
    /// What of the memory weights, keys and values may fill.
    package var memoryShare: Double
    /// What of the bandwidth, and of the arithmetic, a good program gets.
    package var bandwidthShare: Double
    package var flopsShare: Double
    /// What devices send one another over.
    package var links: DeviceLinks

    package init(
        name: String, memoryBytes: Double, bytesPerSecond: Double, flopsPerSecond: Double, dollarsPerHour: Double,
        memoryShare: Double = 1, bandwidthShare: Double = 1, flopsShare: Double = 1, links: DeviceLinks = .free
    ) {
        self.name = name
        self.memoryBytes = memoryBytes
        self.bytesPerSecond = bytesPerSecond
        self.flopsPerSecond = flopsPerSecond
        self.dollarsPerHour = dollarsPerHour
        self.memoryShare = memoryShare
        self.bandwidthShare = bandwidthShare
        self.flopsShare = flopsShare
        self.links = links
    }

    /// A device that is known by its name, or described by a JSON file of the same form.
    ///
    /// - Throws: `CheckpointError.usage` for a name that is neither, `.malformed` for a file that is no description.
    package init(named name: String) throws {
        if let known = Formats.devices.first(where: { $0.lowercased() == name.lowercased() }),
            let bytes = Formats.hardware(known)
        {
            try self.init(parsing: bytes, file: known)
        } else if name.hasSuffix(".json") {
            try self.init(parsing: try PosixFile.contents(name, limit: 1 << 20), file: name)
        } else {
            throw CheckpointError(
                .usage,
                message: "`hardware` \(escaped(name)): give \(Formats.devices.joined(separator: ", ")), or a .json file"
            )
        }
    }

    package init(parsing bytes: [UInt8], file: String) throws {
        guard let object = try JSON(parsing: bytes, file: file).object else {
            throw CheckpointError(.malformed, file: file, message: "expected a JSON object")
        }
        func number(_ key: String, _ range: ClosedRange<Double>) throws -> Double {
            guard let value = object[key]?.double, range.contains(value) else {
                throw CheckpointError(
                    .malformed, file: file,
                    message: "\"\(key)\" must be a number from \(numberText(range.lowerBound)) to "
                        + "\(numberText(range.upperBound)), found \(escaped(object[key]?.line ?? "nothing"))")
            }
            return value
        }
        func number(_ key: String, _ range: ClosedRange<Double>, otherwise standard: Double) throws -> Double {
            object[key] == nil ? standard : try number(key, range)
        }
        let link = try number("link_bytes_per_second", 1e3...1e18, otherwise: DeviceLinks.assumed.bytesPerSecond)
        let hop = try number("link_seconds", 0...10, otherwise: DeviceLinks.assumed.seconds)
        let links = DeviceLinks(
            bytesPerSecond: link, seconds: hop, devicesPerNode: try number("devices_per_node", 1...1e6, otherwise: 8),
            networkBytesPerSecond: try number("network_bytes_per_second", 1e3...1e18, otherwise: link),
            networkSeconds: try number("network_seconds", 0...10, otherwise: hop),
            isAssumed: object["link_bytes_per_second"] == nil)
        func share(_ key: String) throws -> Double { object[key] == nil ? 1 : try number(key, 0.001...1) }
        self.init(
            name: object["name"]?.string ?? file, memoryBytes: try number("memory_bytes", 1e6...1e18),
            bytesPerSecond: try number("bytes_per_second", 1e6...1e18),
            flopsPerSecond: try number("flops_per_second", 1e6...1e24),
            dollarsPerHour: try number("dollars_per_hour", 0...1e6), memoryShare: try share("memory_share"),
            bandwidthShare: try share("bandwidth_share"), flopsShare: try share("flops_share"), links: links)
    }
}
