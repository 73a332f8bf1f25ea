package import Numerics

/// Changes what a router sees or decides while it is trained: noise, jitter, sampling, another normalisation.
///
/// A layer that is computed a second time for its gradient must be perturbed as it was the first time.
package protocol RouterPerturbation: AnyObject {
    /// The router's input in the place of the layer's; nil where it is the same.
    func input(_ layer: Int, _ input: Matrix, _ workers: Workers) -> Matrix?

    /// Decides from the router's logits, `[tokens, experts]`. The decision's logits are those that losses on routing are
    /// functions of.
    func decide(
        _ layer: Int, input: Matrix, logits: Matrix, correction: Matrix?, _ rule: RouterRule, _ workers: Workers
    ) -> RoutingDecision

    /// The gradient of the router's logits.
    ///
    /// - Parameters:
    ///   - slopes: the gradient of each of the decision's gates.
    ///   - auxiliary: the gradient of the decision's logits by other ways than the gates.
    ///   - inputSlope: the gradient of the router's input, to which that of any other way from it to the decision is added.
    func backward(
        _ layer: Int, _ decision: RoutingDecision, _ slopes: [Float], auxiliary: Matrix?, _ rule: RouterRule,
        inputSlope: Matrix, _ workers: Workers
    ) -> Matrix

    /// Turns the gradient of the router's input into that of the layer's, in place.
    func inputBackward(_ layer: Int, _ slope: Matrix, _ workers: Workers)
}
