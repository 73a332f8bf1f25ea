package import Numerics

/// What is drawn for a router while it trains.
package enum RouterDraw: String, Sendable {
    case noise
    case jitter
    case gumbel
}

extension KeyedRandom {
    /// The draws of a router in a step, which depend on nothing but these: a run that is resumed draws what the
    /// uninterrupted one draws.
    ///
    /// - Parameters:
    ///   - router: the name of the router's weight, which tells layers apart.
    ///   - step: counted from 0. The parts of a step's batch take further numbers of the same draws.
    package init(seed: UInt64, router: String, draw: RouterDraw, step: Int) {
        self.init(seed: seed, tensor: router, purpose: "router \(draw.rawValue), step \(step)")
    }
}

/// Numbers drawn at a time: what fits on the stack.
private let drawnAtOnce = 1024

/// Multiplies the inputs of a router by uniform draws from [1 - epsilon, 1 + epsilon) (Switch Transformer, 2101.03961;
/// transformers' `router_jitter_noise`).
///
/// It is linear, so that the gradient with respect to the inputs is this function of the one with respect to the outputs.
///
/// - Parameters:
///   - values: `[tokens, hidden]`, changed in place.
///   - firstToken: how many tokens of the step came before these.
package func jitter(
    _ values: Matrix, epsilon: Float, _ random: KeyedRandom, firstToken: Int = 0, _ workers: Workers
) {
    workers.forEachRange(of: values.count, size: 1 << 14) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: drawnAtOnce) { draws in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: drawnAtOnce) {
                let part = UnsafeMutableBufferPointer(rebasing: draws[0..<min(drawnAtOnce, range.upperBound - start)])
                random.fillUniform(part, from: firstToken * values.columns + start)
                for index in part.indices { values.values[start + index] *= 1 - epsilon + 2 * epsilon * part[index] }
            }
        }
    }
}
