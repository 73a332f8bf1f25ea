"""Writes small SentencePiece models and a tekken.json, and the ids that their own libraries give texts (sentencepiece 0.2,
mistral-common 1.8).

    python make.py
"""
import base64, importlib.util, json, os, random, tempfile
import sentencepiece
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

here = os.path.dirname(os.path.abspath(__file__))
random.seed(2)
WORDS = ["the cat sat on the mat", "a dog and the cat  ran", "don't stop 12 345", "naïve café", "日本語 テキスト", "def f(x): return x + 1", "Hello, World!"]
TEXTS = WORDS + ["", " ", "   ", "  the  cat ", "the", "cat<x>dog <x> <x>", "ﬁne ① Ａ", "😀 a😀", "\ta\nb", "▁the ▁", "zzzz qqq", "日本 the日本", "é e\u0301", "ab" * 30]
cases = []
folder = tempfile.mkdtemp()
with open(folder + "/text", "w") as f:
    f.write("\n".join(random.choice(WORDS) for _ in range(400)))
with open(folder + "/rules", "w") as f:
    f.write("".join(f"{' '.join('%X' % ord(c) for c in a)}\t{' '.join('%X' % ord(c) for c in b)}\n" for a, b in [("ﬁ", "fi"), ("①", "1"), ("Ａ", "a"), ("\t", " "), ("e\u0301", "é"), ("\u3000", " ")]))
for kind in ["unigram", "bpe"]:
    for number, options in enumerate([{}, {"byte_fallback": True}, {"remove_extra_whitespaces": False, "add_dummy_prefix": False}, {"user_defined_symbols": ["<x>", "the"]}, {"treat_whitespace_as_suffix": True}]):
        path = f"{folder}/{kind}{number}"
        sentencepiece.SentencePieceTrainer.train(input=folder + "/text", model_prefix=path, vocab_size=330 if "byte_fallback" in options else 90, model_type=kind, hard_vocab_limit=False, character_coverage=0.98,
                                                 minloglevel=2, normalization_rule_tsv=folder + "/rules", **options)
        model = sentencepiece.SentencePieceProcessor(model_file=path + ".model")
        cases.append({"name": "tokenizer.model", "options": [kind, options], "file": base64.b64encode(open(path + ".model", "rb").read()).decode(), "texts": [{"text": t, "ids": model.encode(t)} for t in TEXTS]})
vocab = [bytes([b]) for b in range(256)] + [b"th", b"the", b" the", b"ca", b"cat", b" c", b" cat", b"12", "日本".encode(), b"ab", b"abab", b"\n\n"]
tekken = {"config": {"pattern": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
                     "num_vocab_tokens": len(vocab), "default_vocab_size": len(vocab) + 20, "default_num_special_tokens": 20, "version": "v3"},
          "vocab": [{"rank": i, "token_bytes": base64.b64encode(v).decode(), "token_str": None} for i, v in enumerate(vocab)]}
with open(folder + "/tekken.json", "w") as f:
    json.dump(tekken, f)
library = Tekkenizer.from_file(folder + "/tekken.json")
cases.append({"name": "tekken.json", "options": [], "file": base64.b64encode(json.dumps(tekken, separators=(",", ":")).encode()).decode(),
              "texts": [{"text": t, "ids": library.encode(t, bos=False, eos=False)} for t in TEXTS + ["<s>a</s>"]]})
with open(os.path.join(here, "cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n")
print(len(cases))
