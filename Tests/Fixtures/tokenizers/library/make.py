"""Writes small tokenizers, and what the Hugging Face library (tokenizers 0.23.3) makes of texts and ids with them.

    python make.py

Each is about something that a file may have and that a text meets: white space and word characters beyond ASCII around
added tokens, ids with gaps, merges that are there twice, vocabularies without some bytes, decoders of every kind.
"""
import json, os, random
from tokenizers import Tokenizer

here = os.path.dirname(os.path.abspath(__file__))
random.seed(5)


def added(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False} | flags


def tokenizer(vocab, tokens=(), merges=(), model={}, **parts):
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
           "vocab": vocab, "merges": list(merges)} | model
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(tokens), "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None} | parts | {"model": bpe}


def sequence(kind, *members):
    return {"type": "Sequence", kind: list(members)}


def replace(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


letters = {c: i for i, c in enumerate("abcdefgh")}
FALLBACK = sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0})
BYTES = {f"<0x{b:02X}>": b + 3 for b in range(256)}
bytes_vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | BYTES | {"▁": 259, "a": 260, "▁a": 261, "b": 262, "漢": 263}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
prepend = sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"))
some = {"<": 8, ">": 9, "。": 10, " ": 11}

spaces = ["a\u00a0<x>\u3000b", "a\x1c<x>\x85b", "a\u200b<x>\u2028 b", "a \u180e<x>\t\n b", "\u2003<x>", "<x> <x>  <x>",
          " <x> ", "<x>\u00a0", "é<x>é", "a  <x>   b"]
words = ["cat。", "。cat", "catb", "é cat", "écat", "cat\u0301", "cat\u200d", "cat_", "cat٣", "cat²", "catⅷ", "cat😀",
         "cat‿", "catⓐ", "cat cat", "catcat", "日cat", "cat日", "cat\u00a0b", "\u0903cat", "cat-cat"]
unknown = {"a": 0, "Ġ": 1, "<u>": 2, "b": 3, "ab": 4}

CASES = {
    "strip": (tokenizer(letters, [added(8, "<x>", lstrip=True, rstrip=True)]), spaces),
    "strip-left": (tokenizer(letters | some, [added(11, "<x>", lstrip=True)]), spaces),
    "strip-right": (tokenizer(letters | some, [added(11, "<x>", rstrip=True), added(12, " ")]), spaces),
    "word": (tokenizer(letters | some, [added(12, "cat", single_word=True)]), words),
    "word-hides": (tokenizer(letters, [added(8, "abc", single_word=True), added(9, "ab")]), ["abcd abc ab", "abab"]),
    "gaps": (tokenizer(letters, [added(20, "<x>"), added(30, "<y>", special=True), added(9, "<z>"), added(9, "b")]),
             ["a<x><y><z>b", "<z>"]),
    "sparse": (tokenizer({"a": 0, "b": 5, "c": 9}, [added(10, "<x>"), added(12, "<y>")]), ["a<x><y>c"]),
    "conflict": (tokenizer(letters, [added(5, "<x>"), added(8, "c"), added(8, "<y>")]), ["a<x>c<y>f"]),
    "merge-twice": (tokenizer({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}, merges=["#version: 0.2", "a b", "b c", "a b"]),
                    ["abc", "ab", "abcab"]),
    "merge-twice-list": (tokenizer({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4},
                                   merges=[["a", "b"], ["b", "c"], ["a", "b"]]), ["abc", "ab"]),
    "prepend": (tokenizer({"a": 0, "▁": 1, "b": 2, "<": 3, ">": 4}, [added(5, "<a>", normalized=True)],
                          normalizer=prepend), ["<a>", "b<a>", "b <a>", "<a><a>", " <a>", "<a> b", "a<a> <a>"]),
    "prepend-metaspace": (tokenizer({"a": 0, "▁": 1, "b": 2, "<": 3, ">": 4}, [added(5, "<a>", normalized=True)],
                                    normalizer={"type": "Prepend", "prepend": "▁"},
                                    pre_tokenizer=METASPACE | {"prepend_scheme": "first"}),
                          ["<a>", "b<a>", "b <a>", "<a><a>", " <a>", "<a> b"]),
    "unknown-bytes": (tokenizer(unknown, model={"unk_token": "<u>"}, merges=["a b"], pre_tokenizer=BYTE_LEVEL,
                                decoder=BYTE_LEVEL), ["ab", "aé b", "zzab z", "日本a", " "]),
    "unknown-bytes-fused": (tokenizer(unknown, model={"unk_token": "<u>", "fuse_unk": True}, pre_tokenizer=BYTE_LEVEL,
                                      decoder=BYTE_LEVEL), ["ab", "aé b", "zzab z", "日本a"]),
    "no-unknown": (tokenizer(unknown, pre_tokenizer=BYTE_LEVEL, decoder=BYTE_LEVEL), ["ab", "aé b", "zz"]),
    "unknown-missing": (tokenizer(unknown, model={"unk_token": "<none>"}, pre_tokenizer=BYTE_LEVEL), ["ab a", "aé"]),
    "unknown-missing-letters": (tokenizer(letters, model={"unk_token": "<none>"}), ["ab", "abz", ""]),
    "unknown-between": (tokenizer({"a": 0, "<u>": 1, "<0xC3>": 2, "<0xA9>": 3, "<0xa8>": 4},
                                  model={"unk_token": "<u>", "byte_fallback": True}),
                        ["aüéa", "üüé", "éüa", "è", "üéüéa", "aü"]),
    "unknown-between-fused": (tokenizer({"a": 0, "<u>": 1, "<0xC3>": 2, "<0xA9>": 3},
                                        model={"unk_token": "<u>", "byte_fallback": True, "fuse_unk": True}),
                              ["aüéa", "üüé", "éüa", "üéüéa", "aü"]),
    "fallback": (tokenizer(bytes_vocab, [added(0, "<unk>", special=True), added(1, "<s>", special=True),
                                         added(2, "</s>", special=True)], merges=["▁ a"], normalizer=prepend,
                           model={"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}, decoder=FALLBACK),
                 ["漢字", "a 😀a", " a", "\u0301a字", "<s>a</s>"]),
    "fallback-metaspace": (tokenizer(bytes_vocab, model={"unk_token": "<unk>", "byte_fallback": True},
                                     pre_tokenizer=METASPACE,
                                     decoder=sequence("decoders", {"type": "ByteFallback"}, METASPACE)),
                           ["漢字", "a 😀a", "  a"]),
    "metaspace": (tokenizer({"▁": 0, "a": 1, "▁a": 2, "▁▁": 3, "b": 4}, merges=["▁ a", "▁ ▁"], pre_tokenizer=METASPACE,
                            decoder=METASPACE), ["a b", "  a", "b", "   "]),
    "strip-both": (tokenizer({"x": 0, "y": 1, "xy": 2, "xx": 3},
                             decoder=sequence("decoders", {"type": "Fuse"},
                                              {"type": "Strip", "content": "x", "start": 2, "stop": 2})), ["xyxx"]),
    "strip-each": (tokenizer({"x": 0, "y": 1, "xy": 2, "yx": 3},
                             decoder={"type": "Strip", "content": "x", "start": 1, "stop": 0}), ["xyxy"]),
    "replace-fused": (tokenizer({"a": 0, "b": 1, "é": 2, "aa": 3, "日": 4},
                                decoder=sequence("decoders", {"type": "Fuse"}, replace("aab", "é"), replace("éé", "日"))),
                      ["aab"]),
    "bytes-decoder": (tokenizer({"Ã": 0, "©": 1, "a": 2, "日": 3, "Ġ": 4, "ð": 5, "Ł": 6, "ĺ": 7, "Ģ": 8},
                                decoder=BYTE_LEVEL), ["a"]),
    "no-decoder": (tokenizer(letters, [added(8, "<x>", special=True)]), ["ab<x>c"]),
}

cases = []
for name, (file, texts) in CASES.items():
    library = Tokenizer.from_str(json.dumps(file))
    encoded = []
    for text in texts:
        try:
            encoded.append({"text": text, "ids": library.encode(text, add_special_tokens=False).ids})
        except Exception:
            encoded.append({"text": text, "ids": None})
    top = max(library.get_vocab().values()) + 2
    lists = [e["ids"] for e in encoded if e["ids"]]
    ids = sorted(set(library.get_vocab().values()))
    # Bytes that make characters, broken ones, and letters between them.
    telling = [b + 3 for b in "漢字😀é".encode()] + [258, 259, 260, 261] if "<0xFF>" in file["model"]["vocab"] else ids
    for _ in range(60):
        pool = random.choice([range(top), ids, telling, telling])
        lists.append([random.choice(list(pool)) for _ in range(random.randint(0, 9))])
    if "<0xFF>" in file["model"]["vocab"]:
        for text in ["漢字", "字a😀", "é漢", "a字"]:
            run = [b + 3 for b in text.encode()]
            lists += [run, run[1:], run[:-1], run + [260], run + [258], [260] + run + [260] + run[:2], [1] + run + [2]]
    decoded = []
    for list_ in lists:
        try:
            decoded.append({"ids": list_, "text": library.decode(list_), "all": library.decode(list_, False)})
        except BaseException:
            pass
    cases.append({"name": name, "tokenizer": file, "encoded": encoded, "decoded": decoded})

with open(os.path.join(here, "cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n")
print(len(cases), sum(len(c["encoded"]) for c in cases), sum(len(c["decoded"]) for c in cases))
