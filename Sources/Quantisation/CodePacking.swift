import CPlatform

/// How the codes of a row lie in its bytes.
package enum CodePacking: Sendable, Hashable {
    /// One after the other from the lowest bit on, across bytes and words.
    case stream
    /// As many as fit into each word of 32 bits, from its lowest bit on; the bits that are left mean nothing.
    case words
    /// Two of four bits in a byte, the first in its high half.
    case highFirst
    /// Eight of four bits in a word of 32 bits, in the order of AutoAWQ.
    case awq

    /// Which four bits of a word each of eight columns has.
    package static let awqPlaces = [0, 4, 1, 5, 2, 6, 3, 7]

    /// Bytes of a row of `count` codes of `bits` bits.
    package func byteCount(of count: Int, bits: Int) -> Int {
        switch self {
        case .stream, .highFirst: (count * bits + 7) / 8
        case .words, .awq: (count + 32 / bits - 1) / (32 / bits) * 4
        }
    }
}

/// Reads codes as the values that a format gives them.
package struct CodeReader: Sendable {
    package let format: ElementFormat
    package let packing: CodePacking
    /// The values of the two codes of each byte.
    private let pairs: [Float]

    package init(_ format: ElementFormat, _ packing: CodePacking) {
        self.format = format
        self.packing = packing
        let values = format.values
        var pairs: [Float] = []
        if format.bits == 4 {
            for byte in 0..<256 {
                let (low, high) = (values[byte & 15], values[byte >> 4])
                pairs += packing == .highFirst ? [high, low] : [low, high]
            }
        }
        self.pairs = pairs
    }

    /// The values of the codes from `first` on of a row that begins with `bytes`; as many as `out` has.
    ///
    /// The bytes must hold them: what they do not have becomes NaN.
    package func read(
        _ bytes: UnsafeRawBufferPointer, from first: Int, into out: UnsafeMutableBufferPointer<Float>
    ) {
        let bits = format.bits
        guard let target = out.baseAddress, let start = bytes.baseAddress, first >= 0,
            packing.byteCount(of: first + out.count, bits: bits) <= bytes.count
        else {
            out.update(repeating: .nan)
            return
        }
        let from = start.assumingMemoryBound(to: UInt8.self)
        switch packing {
        case .stream where bits == 8:
            format.values.withUnsafeBufferPointer { table in
                guard let table = table.baseAddress else { return }
                cquantised_look_up_bytes(from + first, table, target, out.count)
            }
        case .stream where bits == 4, .highFirst: readPairs(from, first, out)
        case .stream:
            format.values.withUnsafeBufferPointer { table in
                guard let table = table.baseAddress else { return }
                cquantised_look_up_bits(from, bytes.count, first, Int32(bits), table, target, out.count)
            }
        case .words:
            let perWord = 32 / bits
            for index in out.indices {
                let (word, place) = (first + index).quotientAndRemainder(dividingBy: perWord)
                let value = start.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self)
                out[index] = format.values[Int(value >> UInt32(place * bits)) & (1 << bits - 1)]
            }
        case .awq:
            for index in out.indices {
                let (word, place) = (first + index).quotientAndRemainder(dividingBy: 8)
                let value = start.loadUnaligned(fromByteOffset: 4 * word, as: UInt32.self)
                out[index] = format.values[Int(value >> UInt32(4 * CodePacking.awqPlaces[place])) & 15]
            }
        }
    }

    private func readPairs(_ from: UnsafePointer<UInt8>, _ first: Int, _ out: UnsafeMutableBufferPointer<Float>) {
        guard let target = out.baseAddress else { return }
        pairs.withUnsafeBufferPointer { pairs in
            guard let table = pairs.baseAddress else { return }
            var done = 0
            if first % 2 == 1, out.count > 0 {
                target[0] = pairs[2 * Int(from[first / 2]) + 1]
                done = 1
            }
            let whole = (out.count - done) / 2
            cquantised_look_up_pairs(from + (first + done) / 2, table, target + done, whole)
            done += 2 * whole
            if done < out.count { target[done] = pairs[2 * Int(from[(first + done) / 2])] }
        }
    }
}
