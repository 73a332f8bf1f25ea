import Checkpoints
import Models
import Numerics

/// How far a model's evaluation has come.
public struct EvaluationProgress: Sendable {
    /// What is being done: a domain's or a task's name, or what is measured besides.
    public let stage: String
    /// How much is done of `total`.
    public let done: Int
    /// All there is to do.
    public let total: Int
    /// The stage after the domains, where experts' Fisher information is measured.
    package static let fisherInformation = "Fisher information"

    /// What is counted.
    public var unit = Unit.tokens

    /// What an amount of work is counted in.
    public enum Unit: String, Sendable {
        /// Tokens that went through the model.
        case tokens
        /// Choices of questions that were scored.
        case choices
    }
}

/// Follows a pass layer by layer: tells how far it is, ends it where it is to end, and passes on what mixtures did.
final class PassObserver: ForwardObserver {
    private let routing: RoutingObserver?
    private let entered: (_ layer: Int) throws -> Void

    init(_ routing: RoutingObserver?, entered: @escaping (_ layer: Int) throws -> Void) {
        self.routing = routing
        self.entered = entered
    }

    func enters(_ layer: Int, _ stream: Matrix) throws { try entered(layer) }
    func routed(_ record: MixtureRecord) { routing?.routed(record) }
}
