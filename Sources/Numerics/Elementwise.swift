import CPlatform

/// `x[i] = factor * x[i]`.
package func scale(_ values: UnsafeMutableBufferPointer<Float>, by factor: Float) {
    for i in values.indices { values[i] *= factor }
}

/// `y[i] = y[i] + factor * x[i]`.
package func addScaled(
    _ target: UnsafeMutableBufferPointer<Float>, _ values: UnsafeBufferPointer<Float>, _ factor: Float
) {
    for i in 0..<min(target.count, values.count) { target[i] += factor * values[i] }
}

/// `y[i] = y[i] + factor * x[i]`.
package func addScaled(
    _ target: UnsafeMutableBufferPointer<Double>, _ values: UnsafeBufferPointer<Double>, _ factor: Double
) {
    guard let to = target.baseAddress, let from = values.baseAddress else { return }
    cplatform_add_scaled_f64(to, from, factor, min(target.count, values.count))
}
