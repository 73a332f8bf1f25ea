public import ArgumentParser
import CPlatform
import Checkpoints
import Glibc
import Numerics
import Safetensors
import Tokenizers
import Transforms

/// The `moe-tool` command.
public struct MoETool: AsyncParsableCommand {
    /// Name, abstract and subcommands.
    public static let configuration = CommandConfiguration(
        commandName: "moe-tool",
        abstract: "Transforms model checkpoints between dense and mixture-of-experts.",
        discussion: """
            Reads and writes safetensors checkpoints as Hugging Face lays them out. Inputs are never written to; an \
            output appears whole or not at all.

            Exit codes: 0 done; 2 usage; 3 malformed or unsafe input; 4 inputs that do not fit together; 5 I/O; \
            6 verification failed; 70 an internal error or no memory left; 128+n stopped by signal n.
            """,
        version: ToolVersion.current,
        subcommands: [
            Upcycle.self, Merge.self, Densify.self, Prune.self, Inspect.self, Convert.self, Compare.self,
            Finetune.self, Train.self, Distill.self, Evaluate.self, Forward.self, Generate.self, Plan.self,
            TokenizerCommand.self, Manual.self,
        ])

    /// An instance that only prints help.
    public init() {}

    /// Parses the process's arguments, runs the command they name, and exits with the codes that the help lists.
    public static func run() async -> Never {
        cmemory_report_exhaustion()
        installSignalHandlers()
        InputLog.start()
        do {
            try openDescriptors()
            var command = try parseAsRoot(Array(processArguments.dropFirst()))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            Glibc.exit(0)
        } catch {
            Glibc.exit(reported(error))
        }
    }

    /// Prints an error, if it is one, and gives its exit code.
    private static func reported(_ error: any Error) -> Int32 {
        if let outcome = error as? ExitStatus { return outcome.code }
        if let failure = Failure(error) { return failure.reported() }
        let code = exitCode(for: error)
        let text = fullMessage(for: error)
        if code == .success {
            do { try standardOutput(HelpText.arranged(text)) } catch { return (error as? ExitStatus)?.code ?? 5 }
            return 0
        }
        guard code == .validationFailure else { return Failure(message: text, exitCode: 70).reported() }
        // What the parser says of a name that is not known is about what it missed because of that.
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if let first = lines.first, first.hasPrefix("Error: ") { lines[0] = String(first.dropFirst("Error: ".count)) }
        if let diagnosis = UsageDiagnosis(_dumpHelp())?.message(for: Array(CommandLine.arguments.dropFirst())) {
            lines = [diagnosis] + lines.drop { !$0.hasPrefix("Usage: ") }
        }
        return Failure(message: lines.joined(separator: "\n"), exitCode: 2).reported()
    }
}

/// Ends a command with a code and nothing more to say.
struct ExitStatus: Error {
    let code: Int32

    static let differs = ExitStatus(code: 6)
}

/// An error, as the command line tells it.
private struct Failure {
    let message: String
    let exitCode: Int32
    private var file: String?
    private var tensor: String?

    init(message: String, exitCode: Int32) {
        self.message = message
        self.exitCode = exitCode
    }

    /// What the exit code is called.
    private var name: String {
        switch exitCode {
        case 2: "usage"
        case 3: "malformed"
        case 4: "incompatible"
        case 5: "io"
        case 6: "verification"
        case 70: "internal"
        default: "interrupted"
        }
    }

    /// Prints it, with `--json` as a document as well, and answers with its exit code.
    func reported() -> Int32 {
        let message = OptionSpelling.flags(in: message)
        standardError("moe-tool: \(message)\n")
        if CommandLine.arguments.prefix(while: { $0 != "--" }).contains("--json") {
            var error: JSONObject = [
                "exit_code": JSON(Int(exitCode)), "name": .string(name),
                // The usage that follows a message is for people.
                "message": .string(message.split(separator: "\n").first.map(String.init) ?? message),
            ]
            if let file { error["file"] = .string(file) }
            if let tensor { error["tensor"] = .string(tensor) }
            try? standardOutput(JSON.object(["error": .object(error)]).serialized())
        }
        return exitCode
    }

    init?(_ error: any Error) {
        switch error {
        case let error as CheckpointError:
            message = error.description
            (file, tensor) = (error.file, error.tensor)
            exitCode = error.code.exitCode
        case let error as SafetensorsError:
            message = error.description
            (file, tensor) = (error.file, error.tensor)
            switch error.code {
            case .io: exitCode = 5
            case .damaged: exitCode = 6
            case .invalidArgument: exitCode = 2
            case .outOfMemory: exitCode = 70
            default: exitCode = 3
            }
        case is InterruptionError:
            message = "interrupted"
            exitCode = 128 + receivedSignal
        case let error as ConversionError:
            message = error.description
            exitCode = 4
        case let error as TokenizerError:
            message = error.description
            exitCode = error.code == .malformed ? 3 : 4
        default: return nil
        }
    }
}

extension CheckpointError.Code {
    /// The command line's exit code.
    fileprivate var exitCode: Int32 {
        switch self {
        case .usage: 2
        case .malformed: 3
        case .incompatible, .uncomputed: 4
        case .io: 5
        case .verification: 6
        case .cancelled: 128 + receivedSignal
        default: 70
        }
    }
}

/// The process's arguments, bytes that are no UTF-8 kept as paths keep them.
let processArguments: [String] = {
    let count = Int(CommandLine.argc)
    return (0..<count).compactMap { index in
        CommandLine.unsafeArgv[index].map { argument in
            argument.withMemoryRebound(to: UInt8.self, capacity: 1) { bytes in
                pathText(UnsafeBufferPointer(start: bytes, count: strlen(argument)))
            }
        }
    }
}()

/// Lets the process open as many files as it may: shells set a low limit that any process can raise for itself.
///
/// - Throws: `CheckpointError` of `io` where there are fewer than anything can be done with; the runtime would trap where it
///   gets none for its queues.
private func openDescriptors() throws {
    var limit = rlimit()
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    if getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = min(limit.rlim_max, 65_536)
        _ = setrlimit(resource, &limit)
    }
    let least = 12
    var opened: [Int32] = []
    defer { for descriptor in opened { close(descriptor) } }
    for _ in 0..<least {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        if descriptor >= 0 { opened.append(descriptor) } else if errno == EMFILE { break } else { return }
    }
    guard opened.count == least else {
        throw CheckpointError(
            .io, message: "too few open files are allowed: \(opened.count) more, and \(least) are needed (ulimit -n)")
    }
}
