import Checkpoints
import Safetensors

/// The chat template that a merge has: `chat_template` of mergekit's configurations.
public enum ChatTemplateChoice: Sendable, Hashable {
    /// The one that most of the models have; the first of those that as many have.
    case automatic
    /// Jinja text.
    case text(String)

    /// - Parameters:
    ///   - text: `auto`, one of `names`, a file, or the template itself.
    ///   - folder: where a file is looked for as well.
    /// - Throws: `SafetensorsError` for a file that cannot be read.
    /// - Returns: nil for a text that is none of them.
    init?(_ text: String, folder: String) throws {
        if text == "auto" {
            self = .automatic
        } else if let known = Self.known[text] {
            self = .text(known)
        } else if !text.contains("{"), let path = try [text, folder + "/" + text].first(where: fileExists) {
            self = .text(Text.decoded(try PosixFile.contents(path, limit: 4 << 20)))
        } else if text.count >= 20, text.contains("{") {
            self = .text(text)
        } else {
            return nil
        }
    }

    /// Templates that go by a name.
    static let names = known.keys.sorted()

    private static let known: [String: String] = [
        "chatml": """
        {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
        """,
        "llama3": """
        {% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}{{ '<|start_header_id|>' + \
        message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}
        """,
        "mistral": """
        {{ bos_token }}{% set system = messages[0]['content'] + '\\n\\n' if messages[0]['role'] == 'system' else '' %}\
        {% for message in (messages[1:] if system else messages) %}{% if (message['role'] == 'user') != \
        (loop.index0 % 2 == 0) %}{{ raise_exception('after a system message, user and assistant take turns') }}\
        {% endif %}{% if message['role'] == 'user' %}{{ ' [INST] ' + (system if loop.first else '') + \
        message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}
        """,
        "alpaca": """
        {% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] | trim + '\\n\\n' }}\
        {% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] | trim + '\\n\\n' }}\
        {% elif message['role'] == 'assistant' %}{{ '### Response:\\n' + message['content'] | trim + '\\n\\n' }}\
        {% elif message['role'] == 'user_context' %}{{ '### Input:\\n' + message['content'] | trim + '\\n\\n' }}\
        {% endif %}{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}\
        {{ '### Response:\\n' }}{% endif %}
        """,
        "exaone": """
        {% for message in messages %}{% if loop.first and message['role'] != 'system' %}\
        {{ '[|system|][|endofturn|]\\n' }}{% endif %}{{ '[|' + message['role'] + '|]' + message['content'] + \
        ('\\n' if message['role'] == 'user' else '[|endofturn|]\\n') }}{% endfor %}\
        {% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}
        """,
    ]
}

extension Checkpoint {
    private static let templateFile = "chat_template.jinja"
    private static let tokenizerFile = "tokenizer_config.json"

    /// The chat template that goes with the tokenizer; nil where there is none.
    func chatTemplate() throws -> String? {
        if let own = companions.first(where: { $0.name == Self.templateFile }) {
            return Text.decoded(try own.data(limit: 4 << 20))
        }
        guard let value = try tokenizerConfiguration()?["chat_template"] else { return nil }
        if let text = value.string { return text }
        let named = (value.array ?? []).compactMap(\.object)
        return named.first { $0["name"]?.string == "default" }?["template"]?.string
    }

    private func tokenizerConfiguration() throws -> JSONObject? {
        guard let file = companions.first(where: { $0.name == Self.tokenizerFile }) else { return nil }
        return try JSON(parsing: file.data(limit: 16 << 20), file: Self.tokenizerFile).object
    }

    /// The checkpoint with a chat template as its tokenizer's only one, as transformers 5 saves it.
    func with(chatTemplate choice: ChatTemplateChoice, of models: [Checkpoint]) throws -> Checkpoint {
        guard companions.contains(where: \.isTokenizer) else {
            throw CheckpointError(
                .incompatible, message: "chat_template: the result has no tokenizer that it could go with")
        }
        let template: String
        switch choice {
        case .text(let text): template = text
        case .automatic:
            var counts: [(text: String, count: Int)] = []
            for own in try models.compactMap({ try $0.chatTemplate() }) {
                let text = Text.trimmed(own)
                guard !text.isEmpty else { continue }
                if let index = counts.firstIndex(where: { ExactText($0.text) == ExactText(text) }) {
                    counts[index].count += 1
                } else {
                    counts.append((text, 1))
                }
            }
            let most = counts.map(\.count).max()
            guard let first = counts.first(where: { $0.count == most }) else { return self }
            template = first.text
        }
        var files = companions.filter { !$0.name.hasPrefix("chat_template") }
        if var object = try tokenizerConfiguration(), object["chat_template"] != nil {
            object["chat_template"] = nil
            files = files.map { file in
                file.name == Self.tokenizerFile
                    ? Companion(name: file.name, content: .bytes(Array((JSON.object(object).serialized() + "\n").utf8)))
                    : file
            }
        }
        files.append(Companion(name: Self.templateFile, content: .bytes(Array(template.utf8))))
        return Checkpoint(
            description: description, table: table, layout: layout, sources: sources, companions: files,
            history: history, warnings: warnings)
    }
}

extension Companion {
    /// What is written.
    func data(limit: Int) throws -> [UInt8] {
        switch content {
        case .file(let path): try PosixFile.contents(path, limit: limit)
        case .bytes(let bytes): bytes
        }
    }
}

/// Text as it is read from files.
private enum Text {
    static func decoded(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    static func trimmed(_ text: String) -> String {
        var part = Substring(text)
        while part.first?.isWhitespace == true { part.removeFirst() }
        while part.last?.isWhitespace == true { part.removeLast() }
        return String(part)
    }
}
