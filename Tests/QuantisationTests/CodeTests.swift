import Quantisation
import Testing

/// What codes mean, and how they lie.
@Suite("Codes of quantised weights")
struct CodeTests {
    @Test("Formats have the values of their standards")
    func formats() {
        #expect(ElementFormat.e2m1.values[0..<8] == [0, 0.5, 1, 1.5, 2, 3, 4, 6])
        #expect(ElementFormat.e2m1.values[15] == -6)
        #expect(ElementFormat.e8m0.values[127] == 1 && ElementFormat.e8m0.values[130] == 8)
        #expect(ElementFormat.e8m0.values[0] == Float(bitPattern: 0x0040_0000))
        #expect(ElementFormat.e8m0.values[255].isNaN)
        #expect(ElementFormat.e4m3.values[0x7E] == 448 && ElementFormat.e4m3.values[1] == 0x1p-9)
        #expect(ElementFormat.e4m3.values[0x7F].isNaN)
        #expect(ElementFormat.signed(bits: 4).values[8] == -8 && ElementFormat.signed(bits: 8).values[255] == -1)
        #expect(ElementFormat.offset(bits: 3).values == [-4, -3, -2, -1, 0, 1, 2, 3])
    }

    @Test("A stream of codes is read from any place", arguments: 1...8)
    func stream(bits: Int) {
        let bytes = (0..<64).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
        let reader = CodeReader(.unsigned(bits: bits), .stream)
        let count = 512 / bits
        for first in 0..<min(count, 40) {
            let expected = (first..<count).map { index in
                // Bit by bit.
                (0..<bits).reduce(0) { sum, bit in
                    let place = index * bits + bit
                    return sum + (Int(bytes[place / 8]) >> (place % 8) & 1) << bit
                }
            }
            #expect(read(reader, bytes, first, count - first) == expected.map { Float($0) })
        }
    }

    @Test("Ten codes of three bits to a word, the first in the high half, AutoAWQ's order")
    func packings() {
        let word: UInt32 = (0..<10).reduce(0) { $0 | UInt32($1 % 8) << UInt32(3 * $1) } | 3 << 30
        let words = withUnsafeBytes(of: word.littleEndian) { Array($0) }
        #expect(
            read(CodeReader(.unsigned(bits: 3), .words), words, 0, 10) == (0..<10).map { Float($0 % 8) })
        #expect(read(CodeReader(.unsigned(bits: 4), .highFirst), [0x12, 0x34], 1, 3) == [2, 3, 4])
        // Its place in the word, lowest first, is the column's number: 0, 2, 4, 6, 1, 3, 5, 7.
        #expect(
            read(CodeReader(.unsigned(bits: 4), .awq), [0x20, 0x64, 0x31, 0x75], 0, 8) == (0..<8).map { Float($0) })
    }

    @Test("What the bytes do not have is not a number")
    func short() {
        let values = read(CodeReader(.e4m3, .stream), [0, 0], 1, 2)
        #expect(values[0].isNaN && values[1].isNaN)
    }

    private func read(_ reader: CodeReader, _ bytes: [UInt8], _ first: Int, _ count: Int) -> [Float] {
        var out = [Float](repeating: -1, count: count)
        bytes.withUnsafeBytes { bytes in
            out.withUnsafeMutableBufferPointer { reader.read(bytes, from: first, into: $0) }
        }
        return out
    }
}
