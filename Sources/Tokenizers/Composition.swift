@_spi(_Unicode) import Swift

/// The text in Unicode's normalisation form C.
func composed(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text._nfc { result.append(scalar) }
    return String(result)
}
