"""Compares the ids and texts of moe-tool's tokenizers with those of the Hugging Face library, for tokenizers of every kind.

    python tokenizer_kinds.py MOE_TOOL [--seconds N] [--text FILE] [TOKENIZER_JSON...]

Without files it makes its own: each model, normalizer, pre-tokenizer, post-processor and decoder by itself, the
combinations that published models have, and regular expressions made at random (for N seconds, default 30). Texts are code,
twenty scripts, emoji, marks, white space, control characters and random ones; with --text also the parts of a file.
Skips, saying so, without tokenizers.
"""
import argparse, json, os, random, subprocess, sys, tempfile, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    import tokenizers
    from tokenizers import Tokenizer, Regex, models, trainers, normalizers, pre_tokenizers, decoders, processors, AddedToken
except ImportError as error:
    sys.exit(f"skipped: {error}; pip install tokenizers")

random.seed(11)
# The part of the vocabularies' usual sizes that is made: fixtures take less.
SIZE = 1.0

SCRIPTS = [
    "The quick brown fox isn't here; they've gone, I'd say — WE'LL see! It's 3.14159 or 1,234,567 (≈1e6).",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Đây là tiếng Việt có dấu.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю 2024 года.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ἄνδρες Ἀθηναῖοι. ΣΊΣΥΦΟΣ σίσυφος",
    "איזה כיף שִׁירָה בָּרוּךְ 123", "وَٱلْعَصْرِ إِنَّ الإنسان ٣٤٥ لفي خسر", "हिन्दी में लिखा क्षत्रिय १२३ ज्ञ", "বাংলা ভাষা ১২৩ ক্ষ্ম",
    "தமிழ் மொழி கொ", "తెలుగు భాష", "ಕನ್ನಡ ಭಾಷೆ", "മലയാളം ക്ഷ", "ภาษาไทยไม่มีช่องว่าง ๑๒๓", "ພາສາລາວ", "ភាសាខ្មែរ", "မြန်မာဘာသာ",
    "ქართული ენა Ⴀⴀ", "Հայերեն լեզու և", "አማርኛ ቋንቋ ፩፪", "日本語の文章です。カタカナ、ひらがな、漢字ー１２３ｱｲｳ㍿㌔", "中文测试：你好，世界！五千一百", "한국어 문장 각각 ᄀ​ᅡᆨ 가나다",
    "ᏣᎳᎩ Ꭰꭰ", "ᚠᚢᚦ ᛫", "བོད་སྐད་", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 ℌℑ ①②③ ⅷ Ⅻ ½ ² ³ ¹ ﬁ ﬃ Ω K Å", "𐐀𐐨 𞤀𞤢 𐎀 𒀀 𓀀",
]
OTHERS = [
    "", " ", "  ", "   a", "a   ", "\n", "\n\n", "\r\n", "a\r\nb\rc\n\n\n  d", "\t\tx\t", " \n \n ", "\u00a0a\u00a0\u3000b\u2003c\u200bd\u2028e\u2029f\x85g",
    "\x00\x01\x1f\x7f\x80\x9f", "a\x00b", "\ufeffBOM", "\ufffd\ufffe\U0010ffff\ue000", "e\u0301e\u0301\u0327", "q\u0307\u0323 q\u0323\u0307", "\u0301\u0301abc",
    "a" + "\u0301\u0327" * 20, "\u1100\u1161\u11a8\u11a8", "가\u11a8", "\u0958\u0344\u2126\u212b", "ẛ̣ ﷺ", "👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣", "😀😀😀",
    "'s 'S 'ſ 't 'RE 've 'M 'll 'D'd''s", "don't DON'T I'VE we'Re", "123 1234567890 ١٢٣ 12a34 ²³", "HelloWorld camelCase XMLHttpRequest ABCdef GHIjkl ǅungla",
    "foo_bar __init__ $x->y **kw #!/bin/sh", "/usr//bin/../x https://a.b/c?d=e&f=g#h", "....!!!???---===", "a.b,c;d:e!f?g", "(a)[b]{c}<d>", "“q” ‘r’ «s» „t“ …",
    "def f(x):\n    if x > 0:\n        return x ** 2\n\n    # done\n\treturn None\n", "int main(void) {\n  printf(\"%d\\n\", 42);\r\n}\n", "SELECT * FROM t WHERE a='b';\n\n\n\n", "{\"a\": [1, 2.5e-3, null],\n \"b\": true}",
    "<s>a</s> <pad><mask> x <mask>y</s>", "[CLS] a [SEP] b [UNK][MASK]", "<0x41> <0x0A>", "▁a ▁▁b ▁", "İstanbul IĞDIR ıi ẞß ŉ", "a##b ##c", "x" * 200, "ab" * 60, " " * 50 + "x" + " " * 50, "日" * 120,
    "Σας ΣΑΣ ς", "ｆｕｌｌ　ｗｉｄｔｈ １２３", "\u202eabc\u202c \u2066x\u2069", "a\u200db \u200cc", "co\u00adop", "\u0600\u0601x", "\ud7a3\ud7b0\ud7cb", "𑄀𑄧 𑍋𑌾 𑂫", "🫠 🫨 𞓀 \u0897 ",
]


def corpus(path):
    result = SCRIPTS + OTHERS + [" ".join(SCRIPTS), "\n".join(OTHERS[:30])]
    blocks = [(0, 0x80), (0x80, 0x250), (0x250, 0x600), (0x600, 0x1000), (0x1000, 0x2000), (0x2000, 0x3000), (0x3000, 0x3200), (0x4E00, 0x9FFF),
              (0xA000, 0xD7FF), (0xF900, 0xFFFF), (0x10000, 0x11FFF), (0x1D000, 0x1FAFF), (0, 0x20)]
    for _ in range(150):
        chosen = random.choices(blocks, k=random.randint(1, 3))
        result.append("".join(chr(random.randrange(*random.choice(chosen))) if random.random() < 0.8 else random.choice(" \n'aA1.\u0301") for _ in range(random.randint(1, 60))))
    if path:
        text = open(path, encoding="utf-8", newline="").read()
        result += [text[i:i + 5000] for i in range(0, min(len(text), 500000), 5000)]
    return [t for t in result if not any(0xD800 <= ord(c) < 0xE000 for c in t)]


class Comparison:
    def __init__(self, tool, texts):
        self.tool, self.texts, self.failures, self.count = tool, texts, 0, 0
        self.folder = tempfile.mkdtemp()

    def run(self, command, file, lines, *options):
        data = "".join(json.dumps(line) + "\n" for line in lines)
        return subprocess.run([self.tool, "tokenizer", command, *options, file], input=data.encode(), capture_output=True)

    def encoded(self, file, texts, *options):
        done = self.run("encode", file, texts, "--lines", *options)
        if done.returncode == 0:
            return [json.loads(line) for line in done.stdout.splitlines()], ""
        if len(texts) == 1:
            return [None], done.stderr.decode()
        message, result = "", []
        for text in texts:
            ids, note = self.encoded(file, [text], *options)
            result += ids
            message = message or note
        return result, message

    def check(self, name, tokenizer, texts=None, decodes=True):
        texts = self.texts if texts is None else texts
        self.count += 1
        path = tokenizer if isinstance(tokenizer, str) and tokenizer.endswith(".json") else None
        if path is None:
            path = os.path.join(self.folder, "tokenizer.json")
            with open(path, "w", encoding="utf-8") as f:
                f.write(tokenizer if isinstance(tokenizer, str) else tokenizer.to_str())
        library = Tokenizer.from_file(path)
        library.no_truncation()
        library.no_padding()
        bad = 0
        for special in (False, True):
            ours, message = self.encoded(path, texts, *(["--special"] if special else []))
            for text, ids in zip(texts, ours):
                try:
                    expected = library.encode(text, add_special_tokens=special).ids
                except Exception:
                    expected = None
                except BaseException:
                    continue  # The library's own fault.
                if ids != expected:
                    bad += 1
                    if bad <= 2:
                        print(f"{name}: {text[:80]!r}{' special' if special else ''}\n   theirs {str(expected)[:300]}\n   ours   {str(ids)[:300]} {message[:300]}")
        if decodes:
            top = max(library.get_vocab().values()) + 2
            lists = [ids for ids in self.encoded(path, texts)[0] if ids]
            lists += [[random.randrange(top) for _ in range(random.randint(1, 12))] for _ in range(200)]
            for special in (False, True):
                out = self.run("decode", path, lists, *(["--special"] if special else []))
                ours = [json.loads(line) for line in out.stdout.splitlines()]
                if len(ours) != len(lists):
                    bad += 1
                    print(f"{name}: decode ends with {out.returncode}: {out.stderr.decode()[:300]}")
                for ids, text in zip(lists, ours):
                    try:
                        expected = library.decode(ids, skip_special_tokens=not special)
                    except BaseException:
                        continue
                    if text != expected:
                        bad += 1
                        if bad <= 3:
                            print(f"{name}: decode {ids[:20]}\n   theirs {expected[:200]!r}\n   ours   {text[:200]!r}")
        if bad:
            self.failures += 1
            print(f"{name}: {bad} differences")
        return bad == 0


PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "deepseek-v3": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "cjk": r"[一-龥぀-ゟ゠-ヿ]+", "digits3": r"\p{N}{1,3}", "digits-right": r"\d{1,3}(?=(?:\d{3})*\b)", "newlines": r"[\r\n]",
    "deepseek-coder": r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+", "cjk2": r"[一-龥ࠀ-一가-퟿]+",
    "falcon": r"[0-9][0-9][0-9]", "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+", "han": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "kimi": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "behind": r"(?<=\p{L})\p{N}+|(?<!\s)\p{P}", "words": r"\b\w+\b|\W", "lines": r"^.*$\n?",
    "empty": r"(?=[A-Z])", "lazy": r"\w+?\b|.", "posix": r"[[:alpha:]]+|[[:digit:]]+|[[:space:]]+|[[:punct:]]", "x": r"(?x) \p{Lu} \p{Ll}* # a word" "\n" r"| \d+ | . ", "scripts": r"\p{Greek}+|\p{Cyrillic}+|\p{Arabic}+|\p{^Latin}",
    "emoji": r"\p{Emoji_Presentation}|\p{Extended_Pictographic}\x{FE0F}?", "blocks": r"(?>\s+)(?!\z)|\S{2,5}?", "fold": r"(?i)straße|ﬁ|[à-ö]+|ΣΑΣ|istanbul|k",
}


def byte_level(merges):
    """A byte-level BPE whose tokens go across words, so that ids tell where text was cut."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=max(300, int(2000 * SIZE)), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, max_token_length=24)
    tokenizer.train_from_iterator(merges, trainer)
    return json.loads(tokenizer.to_str())


def with_parts(base, **parts):
    return json.dumps(base | parts)


def part(component):
    return json.loads(component.__getstate__()) if component is not None else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--text")
    parser.add_argument("--only", default="")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_intermixed_args()
    texts = corpus(arguments.text)
    compare = Comparison(arguments.tool, texts)
    print(f"tokenizers {tokenizers.__version__}, {len(texts)} texts")
    for file in arguments.files:
        print(file, "the same" if compare.check(file, file) else "DIFFERENT")
    if arguments.files:
        sys.exit(compare.failures > 0)
    base = byte_level(texts) | {"normalizer": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}
    level = part(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))

    def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
        return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}

    def sequence(*steps):
        return {"type": "Sequence", "pretokenizers": list(steps)}

    def on(name):
        return arguments.only in name
    # Patterns and behaviours.
    for name, pattern in PATTERNS.items():
        if on("pattern " + name): compare.check("pattern " + name, with_parts(base, pre_tokenizer=sequence(split(pattern), level)), decodes=False)
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in (False, True):
            for kind, pattern in [("Regex", r"\s+|\p{P}"), ("String", " "), ("String", "a."), ("Regex", r"(?=\d)"), ("String", "")]:
                name = f"split {behavior} {invert} {pattern!r}"
                if on(name): compare.check(name, with_parts(base, pre_tokenizer=sequence(split(pattern, behavior, invert, kind), level)), decodes=False)
    pres = {
        "digits": pre_tokenizers.Digits(False), "digits1": pre_tokenizers.Digits(True), "whitespace": pre_tokenizers.Whitespace(), "wssplit": pre_tokenizers.WhitespaceSplit(),
        "bert": pre_tokenizers.BertPreTokenizer(), "scripts": pre_tokenizers.UnicodeScripts(), "char": pre_tokenizers.CharDelimiterSplit("a"), "fixed": pre_tokenizers.FixedLength(3),
        "metaspace": pre_tokenizers.Metaspace(), "metaspace-first": pre_tokenizers.Metaspace(prepend_scheme="first"), "metaspace-never": pre_tokenizers.Metaspace(prepend_scheme="never", split=False),
        "bytelevel": pre_tokenizers.ByteLevel(), "bytelevel-space": pre_tokenizers.ByteLevel(True, use_regex=False), **{f"punctuation {b}": pre_tokenizers.Punctuation(b) for b in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]},
    }
    for name, pre in pres.items():
        if on("pre " + name): compare.check("pre " + name, with_parts(base, pre_tokenizer=sequence(part(pre), level)), decodes=False)
    names = list(pres)
    for _ in range(40):
        chosen = random.sample(names, random.randint(2, 3))
        if on("pre "): compare.check("pre " + "+".join(chosen), with_parts(base, pre_tokenizer=sequence(*[part(pres[n]) for n in chosen], level)), random.sample(texts, 60), decodes=False)
    if on("pre legacy"):
        compare.check("pre legacy metaspace", with_parts(base, pre_tokenizer=sequence({"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}, level)), decodes=False)
    # Normalizers.
    norms = {
        "nfc": normalizers.NFC(), "nfd": normalizers.NFD(), "nfkc": normalizers.NFKC(), "nfkd": normalizers.NFKD(), "lower": normalizers.Lowercase(), "strip": normalizers.Strip(), "lstrip": normalizers.Strip(True, False),
        "rstrip": normalizers.Strip(False, True), "accents": normalizers.StripAccents(), "bert": normalizers.BertNormalizer(), "bert-cased": normalizers.BertNormalizer(lowercase=False), "bert-accents": normalizers.BertNormalizer(strip_accents=False),
        "nmt": normalizers.Nmt(), "replace": normalizers.Replace(" ", "▁"), "replace-regex": normalizers.Replace(Regex(" {2,}"), " "), "replace-empty": normalizers.Replace(Regex("\\d*"), "-"), "prepend": normalizers.Prepend("▁"),
    }
    for name, norm in norms.items():
        if on("norm " + name): compare.check("norm " + name, with_parts(base, normalizer=part(norm), pre_tokenizer=level), decodes=False)
    names = list(norms)
    for _ in range(30):
        chosen = random.sample(names, random.randint(2, 4))
        if on("norm "):
            compare.check("norm " + "+".join(chosen), with_parts(base, normalizer={"type": "Sequence", "normalizers": [part(norms[n]) for n in chosen]}, pre_tokenizer=level), random.sample(texts, 60), decodes=False)
    if on("norm bytelevel"): compare.check("norm bytelevel", with_parts(base, normalizer={"type": "ByteLevel"}, pre_tokenizer=split(PATTERNS["gpt2"])), decodes=False)
    # Models.
    special = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]

    def trained(model, trainer, norm=None, pre=None, decoder=None, post=None):
        tokenizer = Tokenizer(model)
        if norm: tokenizer.normalizer = norm
        if pre: tokenizer.pre_tokenizer = pre
        tokenizer.train_from_iterator(texts[:3] + OTHERS[30:60], trainer)
        if decoder: tokenizer.decoder = decoder
        if post: tokenizer.post_processor = post
        return tokenizer
    quiet = {"show_progress": False}
    if on("model wordpiece"):
        bert = trained(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30), trainers.WordPieceTrainer(vocab_size=int(900 * SIZE), special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], **quiet), normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(),
                       decoders.WordPiece(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)))
        compare.check("model wordpiece", bert)
        compare.check("model wordpiece, no cleanup", with_parts(json.loads(bert.to_str()), decoder=part(decoders.WordPiece(prefix="##", cleanup=False)), pre_tokenizer=None, normalizer=None))
        compare.check("model wordpiece, fuse", with_parts(json.loads(bert.to_str()), decoder={"type": "Sequence", "decoders": [{"type": "Fuse"}, part(decoders.WordPiece())]}))
    if on("model wordlevel"):
        compare.check("model wordlevel", trained(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=300, special_tokens=special, **quiet), normalizers.NFKC(), pre_tokenizers.Whitespace(), None, processors.RobertaProcessing(("</s>", 2), ("<s>", 1))))
    unigram = trainers.UnigramTrainer(vocab_size=int(800 * SIZE), special_tokens=special, unk_token="<unk>", max_piece_length=12, **quiet)
    if on("model unigram"):
        xlm = trained(models.Unigram(), unigram, normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Metaspace(), decoders.Metaspace(),
                      processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", [("<s>", 1), ("</s>", 2)]))
        compare.check("model unigram", xlm)
        raw = json.loads(xlm.to_str())
        compare.check("model unigram, whole", with_parts(raw, pre_tokenizer=None, normalizer=None))
        vocab = raw["model"]["vocab"]
        compare.check("model unigram, bytes", with_parts(raw, model=raw["model"] | {"byte_fallback": True, "vocab": vocab + [[f"<0x{b:02X}>", -20.0 - b / 1000] for b in range(256)]}, decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, part(decoders.Metaspace())]}))
        compare.check("model unigram, no unk", with_parts(raw, model=raw["model"] | {"unk_id": None}))
        compare.check("model unigram, equal scores", with_parts(raw, model=raw["model"] | {"vocab": [[t, float(round(s))] for t, s in vocab]}))
    if on("model bpe"):
        for name, options, extra in [("suffix", {"end_of_word_suffix": "</w>"}, {}), ("prefix", {"continuing_subword_prefix": "##"}, {}), ("both", {"end_of_word_suffix": "</w>", "continuing_subword_prefix": "##"}, {"fuse_unk": True})]:
            made = trained(models.BPE(unk_token="<unk>", **options, **extra), trainers.BpeTrainer(vocab_size=int(700 * SIZE), special_tokens=special, limit_alphabet=int(150 * SIZE), **options, **quiet), normalizers.Lowercase(), pre_tokenizers.Whitespace(), decoders.BPEDecoder("</w>"))
            compare.check("model bpe " + name, made)
        for fuse in (False, True):
            made = trained(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True), trainers.BpeTrainer(vocab_size=int(900 * SIZE), special_tokens=special + [f"<0x{b:02X}>" for b in range(256) if fuse or b % 7], limit_alphabet=int(120 * SIZE), **quiet),
                           normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
            raw = json.loads(made.to_str())
            raw["added_tokens"] = [t for t in raw["added_tokens"] if not t["content"].startswith("<0x")]
            compare.check(f"model bpe fallback {fuse}", json.dumps(raw))
            compare.check(f"model bpe gemma {fuse}", with_parts(raw, normalizer=part(normalizers.Replace(" ", "▁")), pre_tokenizer=split(" ", "MergedWithPrevious", False, "String"), model=raw["model"] | {"ignore_merges": True}))
    # Decoders on one vocabulary.
    if on("decoder"):
        vocab = {t: i for i, t in enumerate(["<pad>", "|", "a", "##b", " .", "n't", "b</w>", "</w>", "<0x41>", "<0xE2>", "<0x82>", "<0xAC>", "▁a", "▁", " do not", " ' ", "é", "1", "a|b", "<pad>c", "Ġx", "Ã©"])}
        plain = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<pad>"}}
        steps = [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, part(decoders.WordPiece()), part(decoders.Metaspace()), part(decoders.Metaspace(prepend_scheme="never")), part(decoders.BPEDecoder("</w>")), part(decoders.CTC()), part(decoders.CTC(cleanup=False)),
                 {"type": "ByteFallback"}, {"type": "Fuse"}, part(decoders.Strip("a", 1, 0)), part(decoders.Replace("a", "bb")), part(decoders.Replace(Regex("[a-b]+|\\d"), "<>")), part(decoders.Replace(Regex("\\b"), "."))]
        for step in steps: compare.check("decoder " + step["type"], with_parts(plain, decoder=step), ["a", "b"])
        for _ in range(60):
            chosen = random.choices(steps, k=random.randint(2, 4))
            compare.check("decoder " + "+".join(s["type"] for s in chosen), with_parts(plain, decoder={"type": "Sequence", "decoders": chosen}), ["a"])
    # Added tokens.
    if on("added"):
        for number in range(20):
            tokens = []
            for index, content in enumerate(random.sample(["<s>", "the", "The", " ", "  ", "\n", "e\u0301", "日本", "a b", "<s> x", "İ", "ﬁ", "👍", "123", "\u00a0", "é", "foo", "X"], 8)):
                tokens.append({"id": 5000 + index, "content": content, **{f: random.random() < 0.4 for f in ["lstrip", "rstrip", "single_word", "normalized", "special"]}})
            norm = random.choice([None, part(normalizers.Lowercase()), part(normalizers.NFKD()), part(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])), part(normalizers.BertNormalizer())])
            compare.check(f"added {number} {norm and norm['type']}", with_parts(base, normalizer=norm, added_tokens=tokens, pre_tokenizer=random.choice([level, sequence(split(PATTERNS["llama3"]), level), sequence(part(pres["metaspace-first"]), level)])))
    # Post-processors.
    if on("post"):
        template = part(processors.TemplateProcessing("a $A b b", None, [("a", 1), ("b", 2)]))
        for steps in [[template], [template, template], [template, part(processors.ByteLevel())], [part(processors.BertProcessing(("b", 2), ("a", 1))), part(processors.RobertaProcessing(("c", 3), ("d", 4)))]]:
            compare.check("post", with_parts(base, pre_tokenizer=level, post_processor={"type": "Sequence", "processors": steps}), texts[:20], decodes=False)
    # Regular expressions at random.
    end = time.monotonic() + arguments.seconds
    tried = refused = 0
    while on("random") and time.monotonic() < end:
        pattern = expression(3)
        try:
            Regex(pattern)
        except BaseException:
            continue
        some = ["".join(random.choice("aabbcAB1 2\n.éßſsS日- ") for _ in range(random.randint(0, 14))) for _ in range(30)]
        file = with_parts(base, pre_tokenizer=sequence(split(pattern), level))
        path = os.path.join(compare.folder, "random.json")
        with open(path, "w", encoding="utf-8") as f: f.write(file)
        ours, message = compare.encoded(path, some[:1])
        if ours == [None]:
            refused += 1
            if "not supported" not in message: print(f"refused {pattern!r}: {message}")
            continue
        tried += 1
        compare.check(f"random {pattern!r}", file, some, decodes=False)
    print(f"{tried} random patterns, {refused} refused")
    print(f"{compare.count} tokenizers, {compare.failures} with differences")
    sys.exit(compare.failures > 0)


def expression(depth):
    def atom():
        kind = random.random()
        if depth > 0 and kind < 0.3:
            return random.choice(["(?:%s)", "(%s)", "(?=%s)", "(?!%s)", "(?>%s)", "(?i:%s)", "(?<=a)%s", "(?<!b|ac)%s"]) % expression(depth - 1)
        if kind < 0.55:
            return random.choice(["[ab]", "[^a]", "[a-c1]", "[^\\s]", "[\\d\\s]", "[a-z&&[^b]]", "[[:alpha:]]", "\\p{L}", "\\p{Lu}", "\\P{N}", "\\s", "\\S", "\\w", "\\d", ".", "[\\p{L}1]", "[^\\n]"])
        if kind < 0.6:
            return random.choice(["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z"])
        return random.choice("aaabbcAB1s 2")
    parts = []
    for _ in range(random.randint(1, 4)):
        one = atom()
        if random.random() < 0.4 and one not in ("^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z"):
            one += random.choice(["*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{2,}", "{,2}", "{1,2}?", "{2}?"])
        parts.append(one)
        if random.random() < 0.2:
            parts.append("|")
    return "".join(parts).strip("|")


if __name__ == "__main__":
    main()
