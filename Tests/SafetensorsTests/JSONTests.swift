import Safetensors
import TestSupport
import Testing

@Suite("JSON")
struct JSONTests {
    private func parsed(_ text: String) throws(SafetensorsError) -> JSON {
        try JSON(parsing: Array(text.utf8), file: "x.json")
    }

    @Test("Order of keys, text of numbers and unknown members survive")
    func roundTrip() throws {
        // The layout is that of Python's json.dumps(value, indent=2, ensure_ascii=False).
        let text = """
            {
              "z": 1e-05,
              "a": [
                1,
                2.50,
                null,
                true
              ],
              "empty": {},
              "none": [],
              "é\\n\\u0001": "\\"/"
            }
            """
        #expect(try parsed(text).serialized() == text)
    }

    @Test(
        "What is not JSON is refused with its place",
        arguments: [
            "", "{", "[1,]", "{\"a\":1,}", "01", "1.", "1e", "+1", "NaN", "Infinity", "'a'", "\"\\x\"", "\"\t\"", "nul",
            "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "\"\\ud800\"", "\"\\udc00\\ud800\"", "{} {}", "[1 2]",
            "{a:1}",
        ])
    func refused(_ text: String) {
        let error = #expect(throws: SafetensorsError.self) { try parsed(text) }
        #expect(error?.code == .malformed)
        #expect(error?.message.contains("byte") == true)
    }

    @Test("Nesting is bounded")
    func depth() {
        #expect(throws: SafetensorsError.self) { try parsed(String(repeating: "[", count: 100_000)) }
    }

    @Test("Escapes are resolved")
    func escapes() throws {
        #expect(try parsed("\"\\ud83d\\ude00\\u00e9\\/\\b\"").string == "😀é/\u{8}")
    }

    @Test("A member that is set keeps its place")
    func order() {
        var object: JSONObject = ["a": 1, "b": 2]
        object["a"] = 3
        object["c"] = 4
        object["b"] = nil
        #expect(object.keys == ["a", "c"])
        #expect(object["a"]?.int == 3)
    }
}
