package import Numerics

/// A term of the training loss that is a function of the routers' logits.
///
/// To add one: a file here with a type that conforms, a case in `Balance`, and its numbers in
/// Tests/Fixtures/training/make.py.
package protocol RouterLoss: Sendable {
    /// Computes the loss, and adds `weight` times its gradient to `gradients`.
    ///
    /// - Returns: the loss without the weight.
    func add(_ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers) -> Double
}

/// Gradients with respect to what the routers computed, one matrix for each MoE layer.
package struct RouterGradients {
    /// With respect to the logits before noise, `[tokens, experts]`.
    package let logits: [Matrix]
    /// With respect to the raw noise `x W_noise`, `[tokens, experts]`; empty where routers are not noisy.
    package let noise: [Matrix]

    package init(logits: [Matrix], noise: [Matrix] = []) {
        self.logits = logits
        self.noise = noise
    }

    /// Zeros of a batch's shape.
    package init(zerosFor batch: RouterBatch) {
        logits = batch.layers.map { Matrix(zeros: $0.tokens, $0.experts) }
        noise = batch.layers.compactMap { layer in
            layer.noise.map { _ in Matrix(zeros: layer.tokens, layer.experts) }
        }
    }
}
