#!/usr/bin/env python3
"""Makes the files beside it: documents, the same compressed, and the windows that Hugging Face's tokenizers gives of them.

Needs `tokenizers` and the `zstd` command. Windows: each document's tokens preceded by the token that begins one, all laid
end to end, cut every 32 tokens, the rest dropped. `bytes` are those of the tokens 1 to 31 of each window.
"""
import json
import subprocess
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).parent
LENGTH = 32
TEXTS = [
    "def mean(values):\n    \"\"\"The mean of some numbers.\"\"\"\n    return sum(values) / len(values)\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Ça va? Où est l'été, là-bas?",
    "",
    "The licensee shall not, without prior written consent, sublicense, assign or transfer the work; nor shall it "
    "remove any notice that is in it.\n\n  1. Definitions.\n  2. Grant of rights.\n",
    "数値は三つ: 1, 22, 333 🙂🙃\ttab and \u00a0 no-break space, e\u0301 in two parts",
    "   leading spaces, a token <|endoftext|> in the text, and <s> too\r\n",
    "x = [i ** 2 for i in range(10)]  # squares\nprint(x[::-1])\n" * 3,
]


def alphabet():
    """GPT-2's bytes_to_unicode, turned round."""
    codes = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters = codes[:]
    for byte in range(256):
        if byte not in codes:
            codes.append(byte)
            letters.append(256 + len(letters) - 188)
    return {chr(letter): byte for byte, letter in zip(codes, letters)}


def spelled(tokenizer, encoding, text, added):
    """For each token, its bytes: by the byte alphabet, or with the word mark as a space and less what was put in front."""
    counts = []
    for token, (start, end) in zip(encoding.tokens, encoding.offsets):
        if token in added:
            counts.append(len(text[start:end].encode()))
        elif tokenizer == "gpt2-style":
            counts.append(sum(1 for letter in token if letter in ALPHABET))
        elif len(token) == 6 and token.startswith("<0x"):
            counts.append(1)
        else:
            counts.append(len(token.replace("\u2581", " ").encode()))
    if tokenizer == "mistral-style" and counts and text[0] != " ":
        counts[0] -= 1
    assert sum(counts) == len(text.encode()), (tokenizer, text)
    return counts


ALPHABET = alphabet()
lines = [json.dumps({"text": text, "n": i}, ensure_ascii=i % 2 == 0) + "\n" for i, text in enumerate(TEXTS)]
(HERE / "documents.jsonl").write_text("".join(lines), encoding="utf-8")
(HERE / "part.txt").write_text(TEXTS[3], encoding="utf-8")
for name in ["documents.jsonl", "part.txt"]:
    subprocess.run(["zstd", "-q", "-f", "-19", name, "-o", name + ".zst"], cwd=HERE, check=True)
# A line of 20 million letters, a kilobyte on disk.
subprocess.run(["zstd", "-q", "-f", "-19", "-o", "bomb.jsonl.zst"], cwd=HERE, check=True, input=b"a" * 20_000_000)

expected = {}
for name, start in [("gpt2-style", 0), ("mistral-style", 1)]:
    tokenizer = Tokenizer.from_file(str(HERE.parent / "tokenizers" / name / "tokenizer.json"))
    added = {"<|endoftext|>"} if name == "gpt2-style" else {"<s>"}
    ids, counts = [], []
    for text in TEXTS:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        ids += [start] + encoding.ids
        counts += [0] + spelled(name, encoding, text, added)
    whole = len(ids) // LENGTH
    expected[name] = {
        "start": start,
        "tokens": len(ids),
        "vocabulary": tokenizer.get_vocab_size(),
        "ids": ids[: whole * LENGTH],
        "bytes": [sum(counts[i * LENGTH + 1 : (i + 1) * LENGTH]) for i in range(whole)],
    }
    print(name, len(ids), whole)
(HERE / "windows.json").write_text(json.dumps(expected) + "\n")
