import Checkpoints
import Testing

/// Against Python 3's `re.match(rf"(.*\.)?({key})$", name)`, as PEFT's `get_pattern_key` has it.
@Suite("Patterns of module names")
struct ModulePatternTests {
    private let name = "model.layers.1.self_attn.q_proj"

    @Test(
        "What matches",
        arguments: [
            ("q_proj", true), ("self_attn.q_proj", true), ("model.layers.1.self_attn.q_proj", true), ("proj", false),
            ("_proj", false), ("attn.q_proj", false), ("layers.1.self_attn", false), ("", false),
            ("^model.layers.1.self_attn.q_proj", true), ("^q_proj", false), ("^layers.*", false), ("q_proj$", true),
            (#"layers\.1\..*"#, true), (#"layers\.[02]\..*"#, false), (#"layers\.[^02]\..*"#, true),
            (#"layers\.(0|1)\.self_attn\.[qk]_proj"#, true), (#"layers\.\d+\..*q_proj"#, true), (#"\D+"#, true),
            (#"layers\.\d{2}\..*"#, false), (#"layers\.\d{1,2}\..*"#, true), (#"l.y.rs.*"#, true), (".*", true),
            ("(?:k_proj|q_proj)", true), ("(?P<part>[qv])_proj", true), ("q_pro+j", true), ("q_prox?j", true),
            ("q_prox*?j", true), ("k_proj|q_proj", true), ("k_proj|v_proj", false), (#"[\w.]+"#, true),
            (#"[a-p]_proj"#, false), (#"[]q]_proj"#, true), ("q{1}_proj", true), ("q{2}_proj", false),
            ("q{x}_proj", false),
            ("|x", false), ("q_proj|", true), (#"\Aq_proj"#, false), (#"q_proj\Z"#, true), (#"q\_proj"#, true),
        ])
    func matches(_ key: String, _ expected: Bool) throws {
        #expect(try ModulePattern(key).matches(name) == expected, "\(key)")
    }

    @Test(
        "What is not understood is refused",
        arguments: [
            "(?=q)", "(?i)q", "(?<!a)b", #"(a)\1"#, "(", ")", "[", "*a", "a**", "a++", #"\"#, #"\bq"#, "[z-a]", "(?P<",
            "(?P=a)",
            String(repeating: "(", count: 1000), "((((a{999}){999}){999}){999})", "^*",
        ])
    func refuses(_ key: String) {
        #expect(throws: ModulePattern.Unsupported.self, "\(key)") { try ModulePattern(key) }
    }

    @Test("An expression that backtracks without end elsewhere takes no time here", .timeLimit(.minutes(1)))
    func linear() throws {
        #expect(try !ModulePattern("(a+)+b").matches(String(repeating: "a", count: 2000)))
        #expect(try !ModulePattern("(a|aa|a?)*c").matches(String(repeating: "a", count: 2000)))
    }
}
