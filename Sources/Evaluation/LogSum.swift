import Glibc

/// `log(sum(exp(x)))` of a row, in F64.
func logSum(_ values: UnsafeBufferPointer<Float>) -> Double {
    let top = Double(values.max() ?? -.infinity)
    guard top.isFinite else { return top }
    var sum = 0.0
    for value in values { sum += exp(Double(value) - top) }
    return top + log(sum)
}
