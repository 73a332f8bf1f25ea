import Checkpoints
import Models
import Numerics

/// How far a model's evaluation has come.
package struct EvaluationProgress: Sendable {
    /// What is being done: the domain's name.
    package let stage: String
    /// Tokens of all domains so far, and in all.
    package let done: Int
    package let total: Int
}

/// Follows a pass layer by layer: tells how far it is, ends it where it is to end, and passes on what mixtures did.
final class PassObserver: ForwardObserver {
    private let statistics: RoutingStatistics?
    private let entered: (_ layer: Int) throws -> Void

    init(_ statistics: RoutingStatistics?, entered: @escaping (_ layer: Int) throws -> Void) {
        self.statistics = statistics
        self.entered = entered
    }

    func enters(_ layer: Int, _ stream: Matrix) throws { try entered(layer) }
    func routed(_ record: MixtureRecord) throws { statistics?.routed(record) }
}
