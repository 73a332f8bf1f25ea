import Glibc
import Safetensors
import TestSupport
import Testing

/// A file of a header's text and zeros behind it.
func file(_ header: String, data: Int = 0) -> [UInt8] {
    let text = Array(header.utf8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text + [UInt8](repeating: 0, count: data)
}

@Suite("Header: what is refused")
struct HeaderRefusals {
    private func refusal(_ bytes: [UInt8]) throws -> SafetensorsError? {
        let folder = try TemporaryFolder()
        let path = try folder.write("bad.safetensors", bytes)
        do throws(SafetensorsError) {
            _ = try SafetensorsFile(path: path)
            return nil
        } catch {
            return error
        }
    }

    /// Header text, bytes of data, and what the message must say.
    static let headers: [(String, Int, String)] = [
        // Duplicates, in plain and through an escape; the reference accepts these.
        (
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
            1, "appears twice"
        ),
        (
            #"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0074":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
            1, "appears twice"
        ),
        (#"{"__metadata__":{"a":"1","a":"2"}}"#, 0, "appears twice"),
        (#"{"__metadata__":{},"__metadata__":{}}"#, 0, "appears twice"),
        (#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, "appears twice"),
        (#"{"__metadata__":{"a":1}}"#, 0, "strings to strings"),
        (#"{"__metadata__":{"a":{"b":"c"}}}"#, 0, "strings to strings"),
        // Types.
        (#"{"a":{"dtype":"C128","shape":[1],"data_offsets":[0,16]}}"#, 16, "unknown dtype"),
        (#"{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}"#, 4, "unknown dtype"),
        (#"{"a":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}}"#, 4, "must be a string"),
        (#"{"a":["F32",[1],[0,4]]}"#, 4, "expected an object"),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"extra":1}}"#, 4, "unknown field"),
        (#"{"a":{"dtype":"F32","shape":[1]}}"#, 0, "data_offsets are missing"),
        // Numbers.
        (#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, 1, "not negative"),
        (#"{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}"#, 0, "not negative"),
        (#"{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}"#, 2, "whole number"),
        (#"{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}"#, 1, "whole number"),
        (#"{"a":{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}}"#, 2, "whole number"),
        (#"{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,2]}}"#, 2, "beyond"),
        (#"{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}"#, 1, "must not begin with a zero"),
        // Overflows, in every order.
        (
            #"{"a":{"dtype":"U8","shape":[0,9223372036854775807,9223372036854775807],"data_offsets":[0,0]}}"#, 0,
            "overflows"
        ),
        (
            #"{"a":{"dtype":"U8","shape":[9223372036854775807,9223372036854775807,0],"data_offsets":[0,0]}}"#, 0,
            "overflows"
        ),
        (#"{"a":{"dtype":"U8","shape":[2,9223372036854775807],"data_offsets":[0,4]}}"#, 4, "overflows"),
        // Elements of less than a byte.
        (#"{"a":{"dtype":"F4","shape":[1,3],"data_offsets":[0,2]}}"#, 2, "not a whole number of bytes"),
        (#"{"a":{"dtype":"F6_E2M3","shape":[5],"data_offsets":[0,4]}}"#, 4, "not a whole number of bytes"),
        // Layout.
        (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, 2, "leaves a hole"),
        (
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            3, "overlaps"
        ),
        (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}}"#, 2, "before it begins"),
        (#"{"a":{"dtype":"I32","shape":[2,2],"data_offsets":[0,4]}}"#, 4, "needs 16 bytes"),
        (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 2, "belong to no tensor"),
        (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 1, "truncated"),
        // Names.
        (#"{"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0, "must not be empty"),
        (#"{"a\u0000b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0, "control character"),
        (#"{"\u001b[31m":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0, "control character"),
        (
            #"{"\#(String(repeating: "x", count: 5000))":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, 0,
            "at most 4096"
        ),
        // JSON.
        ("{", 0, "the end of the text"), ("[[[[[[[[", 0, "expected '{'"),
        (#"{"a":[[[[[[[[[["#, 0, "expected an object"),
        ("{} x", 0, "expected the end"), ("\u{FEFF}{}", 0, "expected '{'"), ("{}\0", 0, "expected the end"),
        (#"{"a\ud800":1}"#, 0, "surrogate"),
        (
            #"{"a":{"dtype":"U8","shape":[\#(Array(repeating: "1", count: 65).joined(separator: ","))],"data_offsets":[0,1]}}"#,
            1, "more than 64 dimensions"
        ),
    ]

    @Test("A header that breaks a rule is refused, and the message says which", arguments: headers)
    func header(_ text: String, _ data: Int, _ expected: String) throws {
        let error = try #require(try refusal(file(text, data: data)))
        #expect(error.code == .malformed)
        #expect(error.description.contains(expected), "\(error)")
        #expect(error.description.contains("bad.safetensors"))
        #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 }, "escaped for the terminal")
    }

    @Test("Files that are too short, and lengths that are too large, are refused before anything is allocated")
    func lengths() throws {
        #expect(try refusal([])?.description.contains("0 bytes") == true)
        #expect(try refusal([1, 2, 3, 4, 5, 6, 7])?.description.contains("7 bytes") == true)
        for length in [UInt64(1) << 63, .max, 100_000_001] {
            let bytes = withUnsafeBytes(of: length.littleEndian, Array.init)
            #expect(try refusal(bytes)?.description.contains("at most 100000000") == true)
        }
        let bytes = withUnsafeBytes(of: UInt64(4711).littleEndian, Array.init) + [0x7B, 0x7D]
        #expect(try refusal(bytes)?.description.contains("claims a header of 4711 bytes and has 2") == true)
        var invalid = file("{\"a\":1}")
        invalid[10] = 0xFF
        #expect(try refusal(invalid)?.description.contains("UTF-8") == true)
    }

    @Test("More tensors than a model has are refused in a second")
    func manyTensors() throws {
        var text = "{"
        for index in 0..<262_145 {
            text += "\(index == 0 ? "" : ",")\"t\(index)\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        }
        let bytes = file(text + "}")
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try refusal(bytes)?.description.contains("more than 262144 tensors") == true)
        #expect(clock.now - start < .seconds(5))
    }
}

@Suite("Header: what is read and written")
struct HeaderRoundTrips {
    private func opened(_ bytes: [UInt8]) throws -> SafetensorsFile {
        let folder = try TemporaryFolder()
        return try SafetensorsFile(path: try folder.write("a.safetensors", bytes))
    }

    @Test("Scalars, empty tensors, unaligned and padded headers are read")
    func accepted() throws {
        let scalar = try opened(file(#"{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#, data: 4))
        #expect(scalar.info("s")?.shape.elementCount == 1)
        let empty = try opened(file(#"{"e":{"dtype":"I32","shape":[2,0],"data_offsets":[0,0]}}"#))
        #expect(empty.info("e")?.shape.dimensions == [2, 0])
        let padded = try opened(
            file(
                "\t\n {\"__metadata__\": null , \"a\" : {\"shape\":[ 4 ],\"dtype\":\"F6_E3M2\",\"data_offsets\":[0, 3]} } \r\t\n",
                data: 3))
        #expect(padded.info("a")?.dtype == .f6E3M2)
        #expect(padded.header.metadata.isEmpty)
        let unordered = try opened(
            file(
                #"{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
                data: 2))
        #expect(unordered.header.tensors.map(\.name) == ["a", "b"])
    }

    // The bytes that the Python package safetensors 0.8.0 writes for the same tensors.
    @Test("Written files are the reference's to the byte")
    func golden() throws {
        func written(_ tensors: [(String, DType, [Int], [UInt8])], _ metadata: [String: String] = [:]) throws -> [UInt8]
        {
            let folder = try TemporaryFolder()
            let path = folder.path + "/x.safetensors"
            try writeSafetensors(
                tensors.map { ($0.0, $0.1, try Shape($0.2), $0.3) }, metadata: metadata, to: path)
            return try contents(path)
        }
        #expect(try written([]) == bytes(hex: "08000000000000007b7d202020202020"))
        #expect(
            try written([], ["framework": "pt"])
                == bytes(
                    hex:
                        "28000000000000007b225f5f6d657461646174615f5f223a7b226672616d65776f726b223a227074227d7d2020202020"
                ))
        let six = (0..<6).flatMap { withUnsafeBytes(of: Float($0).bitPattern.littleEndian, Array.init) }
        #expect(
            try written([("attn.0", .f32, [1, 2, 3], six)])
                == bytes(
                    hex:
                        "40000000000000007b226174746e2e30223a7b226474797065223a22463332222c227368617065223a5b312c322c335d2c22646174615f6f666673657473223a5b302c32345d7d7d000000000000803f0000004000004040000080400000a040"
                ))
        #expect(
            try written([("attn0", .f32, [1, 1, 2, 3], six)])
                == bytes(
                    hex:
                        "48000000000000007b226174746e30223a7b226474797065223a22463332222c227368617065223a5b312c312c322c335d2c22646174615f6f666673657473223a5b302c32345d7d7d20202020202020000000000000803f0000004000004040000080400000a040"
                ))
        let many: [(String, DType, [Int], [UInt8])] = [
            ("test1", .i32, [2, 2], bytes(hex: "01000000020000000300000004000000")),
            ("test2", .f16, [2], bytes(hex: "003e00c0")), ("a\"é/", .f32, [2, 0], []),
            ("s", .i64, [], bytes(hex: "0700000000000000")), ("b", .bool, [2], [1, 0]),
        ]
        let expected = bytes(
            hex:
                "40010000000000007b225f5f6d657461646174615f5f223a7b22666f726d6174223a227074227d2c2273223a7b226474797065223a22493634222c227368617065223a5b5d2c22646174615f6f666673657473223a5b302c385d7d2c22615c22c3a92f223a7b226474797065223a22463332222c227368617065223a5b322c305d2c22646174615f6f666673657473223a5b382c385d7d2c227465737431223a7b226474797065223a22493332222c227368617065223a5b322c325d2c22646174615f6f666673657473223a5b382c32345d7d2c227465737432223a7b226474797065223a22463136222c227368617065223a5b325d2c22646174615f6f666673657473223a5b32342c32385d7d2c2262223a7b226474797065223a22424f4f4c222c227368617065223a5b325d2c22646174615f6f666673657473223a5b32382c33305d7d7d20070000000000000001000000020000000300000004000000003e00c00100"
        )
        #expect(try written(many, ["format": "pt"]) == expected)
        #expect(try written(many.reversed(), ["format": "pt"]) == expected, "the order given does not matter")
    }

    @Test("Every dtype survives a round trip", arguments: DType.allCases)
    func dtypes(_ dtype: DType) throws {
        let folder = try TemporaryFolder()
        let shape = try Shape([2, 4])
        let data = (0..<(try shape.byteCount(of: dtype))).map { UInt8($0 % 2) }
        try writeSafetensors([("t", dtype, shape, data)], to: folder.path + "/t.safetensors")
        let file = try SafetensorsFile(path: folder.path + "/t.safetensors")
        #expect(file.info("t")?.dtype == dtype)
        #expect(try file.bytes("t") == data)
        #expect(data.count == dtype.bits)
    }

    @Test("What no reader could open is not written")
    func unwritable() throws {
        let folder = try TemporaryFolder()
        let one = try Shape([1])
        for name in ["__metadata__", "", "a\u{1B}b"] {
            #expect(throws: SafetensorsError.self) {
                try writeSafetensors([(name, .u8, one, [0])], to: folder.path + "/t.safetensors")
            }
        }
        #expect(throws: SafetensorsError.self) {
            try writeSafetensors([("a", .u8, one, [0, 1])], to: folder.path + "/t.safetensors")
        }
        #expect(folder.names.isEmpty)
    }

    @Test("A file that is cut short while it is read is an error")
    func cutShort() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/t.safetensors"
        try writeSafetensors([("t", .u8, try Shape([64]), [UInt8](repeating: 7, count: 64))], to: path)
        let file = try SafetensorsFile(path: path)
        try #require(truncate(path, 100) == 0)
        let error = #expect(throws: SafetensorsError.self) { try file.bytes("t") }
        #expect(error?.code == .io)
        #expect(error?.description.contains("cut short") == true)
    }
}
