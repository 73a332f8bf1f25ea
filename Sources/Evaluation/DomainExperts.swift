package import Checkpoints
import Safetensors

/// Which expert is a domain's own: the one that came from the model of the domain's name.
///
/// A folder of data lists its domains by the alphabet and a mixture its experts as they were merged, so that the order of
/// the two says nothing, and is taken only where it is asked for.
package struct DomainExperts: Sendable {
    /// What asks, for messages: "--gating domain".
    private let option: String
    private let origins: [String?]
    private let isInOrder: Bool

    /// The option that takes domains in the order of the experts.
    package static let orderOption = "`domainsInOrder`"

    /// - Parameter isInOrder: the first domain is the first expert's, and so on, whatever they are called.
    package init(_ checkpoint: Checkpoint, for option: String, isInOrder: Bool) {
        self.option = option
        origins = checkpoint.expertOrigins
        self.isInOrder = isInOrder
    }

    /// The expert of each domain, no two the same.
    ///
    /// - Parameter needsAll: whether each expert must have a domain.
    /// - Throws: `CheckpointError` of `.incompatible` for a domain without an expert of its name, or that more than one
    ///   expert has, and where an expert that needs one has no domain.
    package func experts(of domains: [String], needsAll: Bool) throws -> [Int] {
        if isInOrder {
            guard domains.count == origins.count || (!needsAll && domains.count < origins.count) else {
                throw failure("there are \(domains.count) domains (\(list(domains))) and \(origins.count) experts")
            }
            return Array(domains.indices)
        }
        guard origins.contains(where: { $0 != nil }) else {
            throw failure("no moe-tool.json says which model each of the \(origins.count) experts came from")
        }
        var found: [Int] = []
        for domain in domains {
            let own = origins.indices.filter { origins[$0] == domain }
            guard let expert = own.first, own.count == 1, !found.contains(expert) else {
                throw failure(
                    (own.isEmpty
                        ? "no expert came from a model named \(escaped(domain))"
                        : "\(own.count) experts came from models named \(escaped(domain))") + "; \(names)")
            }
            found.append(expert)
        }
        if needsAll, let missing = origins.indices.first(where: { !found.contains($0) }) {
            throw failure(
                "there is no domain for expert \(missing), which came from "
                    + escaped(origins[missing] ?? "an unknown model")
                    + "; the domains are \(list(domains)), and \(names)")
        }
        return found
    }

    /// The domains in the order of the experts, one for each.
    package func ordered(_ sources: [DataSource]) throws -> [DataSource] {
        let own = try experts(of: sources.map(\.name), needsAll: true)
        return zip(own, sources).sorted { $0.0 < $1.0 }.map(\.1)
    }

    private func list(_ names: [String]) -> String {
        names.prefix(16).map(escaped).joined(separator: ", ") + (names.count > 16 ? ", …" : "")
    }

    private var names: String { "the experts came from \(list(origins.map { $0 ?? "an unknown model" }))" }

    private func failure(_ message: String) -> CheckpointError {
        CheckpointError(
            .incompatible,
            message:
                "\(option): \(message). Domains go to the experts of their names: name them so with `data` NAME=PATH, "
                + "or give them in the experts' order and say \(Self.orderOption)")
    }
}
