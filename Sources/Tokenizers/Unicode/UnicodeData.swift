/// What patterns and pre-tokenizers ask of a character, by the Unicode tables of the Hugging Face library's dependencies
/// (`UnicodeTables`): those of the Swift library are of another version of Unicode, and change with the toolchain.
enum UnicodeData {
    /// The general categories, in the order of the table.
    static let categoryNames = [
        "Cn", "Cc", "Cf", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc", "Pd",
        "Pe",
        "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs",
    ]

    private static let longCategoryNames = [
        "letter": "l", "mark": "m", "number": "n", "punctuation": "p", "symbol": "s", "separator": "z", "other": "c",
        "casedletter": "lc", "uppercaseletter": "lu", "lowercaseletter": "ll", "titlecaseletter": "lt",
        "modifierletter": "lm", "otherletter": "lo", "nonspacingmark": "mn", "spacingmark": "mc", "enclosingmark": "me",
        "decimalnumber": "nd", "letternumber": "nl", "othernumber": "no", "connectorpunctuation": "pc",
        "dashpunctuation": "pd", "openpunctuation": "ps", "closepunctuation": "pe", "initialpunctuation": "pi",
        "finalpunctuation": "pf", "otherpunctuation": "po", "mathsymbol": "sm", "currencysymbol": "sc",
        "modifiersymbol": "sk", "othersymbol": "so", "spaceseparator": "zs", "lineseparator": "zl",
        "paragraphseparator": "zp", "control": "cc", "format": "cf", "surrogate": "cs", "privateuse": "co",
        "unassigned": "cn", "combiningmark": "m",
    ]

    private static let categories = partition(UnicodeTables.categories, categoryNames.count)
    private static let scripts = partition(UnicodeTables.scripts, UnicodeTables.scriptNames.count)
    private static let properties: [String: ScalarSet] = {
        var result: [String: ScalarSet] = [:]
        for (name, table) in UnicodeTables.properties { result[plain(name)] = set(table) }
        return result
    }()

    /// The set of a property's name as `\p{...}` has it: a general category, a script or a binary property; nil for another.
    /// Case, spaces, hyphens and underscores do not count.
    static func set(named name: String) -> ScalarSet? {
        let name = plain(name)
        if let category = categorySet(longCategoryNames[name] ?? name) { return category }
        if let index = UnicodeTables.scriptNames.firstIndex(where: { plain($0) == name }) { return scripts[index] }
        switch name {
        case "any": return .all
        case "assigned": return categorySet("cn")?.inverted
        case "ascii": return ScalarSet(0...0x7F)
        default: return properties[name] ?? posixSet(name)
        }
    }

    /// A general category, or those whose names begin with a letter.
    private static func categorySet(_ name: String) -> ScalarSet? {
        if name == "lc" { return union(["Ll", "Lt", "Lu"]) }
        if name.utf8.count == 1 {
            let names = categoryNames.filter { plain($0).hasPrefix(name) }
            return names.isEmpty ? nil : union(names)
        }
        return categoryNames.firstIndex { plain($0) == name }.map { categories[$0] }
    }

    private static func union(_ names: [String]) -> ScalarSet {
        ScalarSet(categoryNames.indices.filter { names.contains(categoryNames[$0]) }.flatMap { categories[$0].spans })
    }

    /// A class of POSIX, as Oniguruma has it for Unicode.
    static func posixSet(_ name: String) -> ScalarSet? {
        switch name {
        case "alpha": properties["alphabetic"]
        case "alnum": properties["alphabetic"]?.union(union(["Nd"]))
        case "ascii": ScalarSet(0...0x7F)
        case "blank": union(["Zs"]).union(ScalarSet(9))
        case "cntrl": union(["Cc"])
        case "digit": union(["Nd"])
        case "graph": union(["Cc", "Cn", "Cs"]).union(whiteSpace).inverted
        case "lower": properties["lowercase"]
        case "print": union(["Cc", "Cn", "Cs", "Zl", "Zp"]).inverted
        case "punct": union(["Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So"])
        case "space": whiteSpace
        case "upper": properties["uppercase"]
        case "xdigit": properties["asciihexdigit"]
        case "word": word
        default: nil
        }
    }

    static let whiteSpace = set(UnicodeTables.whiteSpace)
    /// `\w`.
    static let word = (properties["alphabetic"] ?? ScalarSet()).union(union(["Mc", "Me", "Mn", "Nd", "Pc"]))
        .union(ScalarSet(0xB2...0xB3)).union(ScalarSet(0xB9)).union(ScalarSet(0xBC...0xBE))
    static let decimal = union(["Nd"])
    static let letter = union(["Ll", "Lm", "Lo", "Lt", "Lu"])
    static let number = union(["Nd", "Nl", "No"])
    /// `\w` of the pre-tokenizer Whitespace.
    static let standardWord = set(UnicodeTables.standardWord)
    /// What the pre-tokenizers Punctuation and BertPreTokenizer cut at.
    static let punctuation = set(UnicodeTables.punctuation)
    /// What the pre-tokenizer Digits cuts at.
    static let numeric = set(UnicodeTables.numeric)
    /// What BertNormalizer's clean_text takes out.
    static let unclean = set(UnicodeTables.unclean)
    /// What BertNormalizer's strip_accents takes out.
    static let accent = set(UnicodeTables.accents)
    /// What StripAccents takes out.
    static let combiningMark = set(UnicodeTables.combiningMarks)
    /// Scripts as the pre-tokenizer UnicodeScripts has them, one number for each; 0 goes with every other.
    static let scriptRuns: [(first: UInt32, value: Int)] = runs(UnicodeTables.scriptRuns)

    static func plain(_ name: String) -> String {
        String(decoding: name.utf8.filter { ![0x20, 0x2D, 0x5F].contains($0) }, as: UTF8.self).lowercased()
    }

    // MARK: - Tables

    /// Numbers of a table: digits of five bits, the lowest first, from "?" on; those below "_" end a number.
    static func numbers(_ table: StaticString) -> [Int] {
        var result: [Int] = []
        var (value, shift) = (0, 0)
        for byte in UnsafeBufferPointer(start: table.utf8Start, count: table.utf8CodeUnitCount) where byte != 0x0A {
            let digit = Int(byte) - 0x3F
            value |= (digit & 31) << shift
            shift += 5
            if digit < 32 {
                result.append(value)
                (value, shift) = (0, 0)
            }
        }
        return result
    }

    /// A set: numbers of scalars, in turn out of it and in it.
    static func set(_ table: StaticString) -> ScalarSet {
        var spans: [ScalarSet.Span] = []
        var next = 0
        var isIn = false
        for length in numbers(table) {
            if isIn, length > 0 { spans.append(.init(first: UInt32(next), last: UInt32(next + length - 1))) }
            next += length
            isIn.toggle()
        }
        return ScalarSet(spans)
    }

    /// Pairs of a number of scalars and what they are.
    private static func runs(_ table: StaticString) -> [(first: UInt32, value: Int)] {
        let numbers = numbers(table)
        var result: [(first: UInt32, value: Int)] = []
        var next = 0
        for index in stride(from: 0, to: numbers.count - 1, by: 2) {
            result.append((UInt32(next), numbers[index + 1]))
            next += numbers[index]
        }
        return result
    }

    private static func partition(_ table: StaticString, _ count: Int) -> [ScalarSet] {
        var spans = [[ScalarSet.Span]](repeating: [], count: count)
        let runs = runs(table)
        for (index, run) in runs.enumerated() where run.value < count {
            let end = index + 1 < runs.count ? runs[index + 1].first : ScalarSet.largest + 1
            spans[run.value].append(.init(first: run.first, last: end - 1))
        }
        return spans.map { ScalarSet($0) }
    }

    /// What scalars are that are not 0.
    static func values(_ table: StaticString) -> [(UInt32, Int)] {
        let runs = runs(table)
        return runs.indices.flatMap { index -> [(UInt32, Int)] in
            guard runs[index].value != 0, index + 1 < runs.count else { return [] }
            return (runs[index].first..<runs[index + 1].first).map { ($0, runs[index].value) }
        }
    }

    /// Scalars that become one other: runs of so many, so far apart, with one difference.
    static func mapping(_ table: StaticString) -> [UInt32: UInt32] {
        let numbers = numbers(table)
        var result: [UInt32: UInt32] = [:]
        var scalar = 0
        for index in stride(from: 0, to: numbers.count - 3, by: 4) {
            scalar += numbers[index]
            let difference = numbers[index + 3] & 1 == 0 ? numbers[index + 3] >> 1 : -(numbers[index + 3] >> 1)
            for place in 0..<numbers[index + 1] {
                if place > 0 { scalar += numbers[index + 2] }
                result[UInt32(scalar)] = UInt32(scalar + difference)
            }
        }
        return result
    }

    /// Scalars that become several.
    static func decompositions(_ table: StaticString) -> [UInt32: [UInt32]] {
        let numbers = numbers(table)
        var result: [UInt32: [UInt32]] = [:]
        var (index, scalar) = (0, 0)
        while index + 1 < numbers.count {
            scalar += numbers[index]
            let end = min(index + 2 + numbers[index + 1], numbers.count)
            result[UInt32(scalar)] = numbers[(index + 2)..<end].map { UInt32($0) }
            index = end
        }
        return result
    }
}
