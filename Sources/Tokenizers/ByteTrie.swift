/// Strings of bytes with a number each, found by their beginnings.
struct ByteTrie: Sendable {
    /// Edges by node and byte in a table whose size is a power of two: one more than the edge, and the node that it leads to.
    private var edges: [(key: UInt64, node: Int32)] = [(0, 0)]
    private var edgeCount = 0
    /// The number of the string that ends at each node; -1 for none.
    private var values: [Int32] = [-1]

    /// Adds a string; of two equal ones the last counts.
    mutating func insert(_ string: some Sequence<UInt8>, _ value: Int32) {
        var node: Int32 = 0
        for byte in string { node = child(node, byte) ?? add(node, byte) }
        values[Int(node)] = value
    }

    @inline(__always)
    private static func hash(_ key: UInt64) -> Int {
        let mixed = key &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 32)
    }

    @inline(__always)
    private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
        (UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)) + 1
    }

    @inline(__always)
    func child(_ node: Int32, _ byte: UInt8) -> Int32? {
        let key = Self.key(node, byte)
        var place = Self.hash(key) & (edges.count - 1)
        while edges[place].key != 0 {
            if edges[place].key == key { return edges[place].node }
            place = (place + 1) & (edges.count - 1)
        }
        return nil
    }

    @inline(__always)
    func value(_ node: Int32) -> Int32 { values[Int(node)] }

    private mutating func add(_ node: Int32, _ byte: UInt8) -> Int32 {
        if (edgeCount + 1) * 2 >= edges.count { grow() }
        let new = Int32(truncatingIfNeeded: values.count)
        values.append(-1)
        place(Self.key(node, byte), new)
        edgeCount += 1
        return new
    }

    private mutating func place(_ key: UInt64, _ node: Int32) {
        var place = Self.hash(key) & (edges.count - 1)
        while edges[place].key != 0 { place = (place + 1) & (edges.count - 1) }
        edges[place] = (key, node)
    }

    private mutating func grow() {
        let old = edges
        edges = [(key: UInt64, node: Int32)](repeating: (0, 0), count: max(old.count * 2, 64))
        for edge in old where edge.key != 0 { place(edge.key, edge.node) }
    }
}
