import MoEToolkit

/// Makes a mixture of experts as a step of a build: `swift run BuildScript DENSE OUT`.
@main
struct BuildScript {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: BuildScript DENSE OUT")
            return
        }
        let dense = try Checkpoint(at: arguments[1])
        var options = UpcycleOptions(experts: 8)
        options.granularity = 2
        let (moe, preservation) = try dense.upcycled(options)
        guard preservation.degree == .exact else {
            print("not the dense function: \(preservation.reason)")
            return
        }
        let report = try await moe.write(to: arguments[2])
        print("\(report.bytes) bytes in \(report.files.joined(separator: ", "))")
        // The safetensors library reads what was written.
        let weights = try SafetensorsFile(path: "\(report.output)/\(report.files[0])")
        for tensor in weights.header.tensors.prefix(3) { print(tensor.name, tensor.dtype.rawValue, tensor.shape) }
    }
}
