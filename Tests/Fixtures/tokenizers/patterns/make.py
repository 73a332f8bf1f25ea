"""Writes regular expressions and how the Hugging Face library (tokenizers 0.23.3, Oniguruma) cuts texts with them.

    python make.py

The patterns of Tests/Interop/tokenizer_kinds.py and ones made at random.
"""
import json, os, random, sys

here = os.path.dirname(os.path.abspath(__file__))
interop = os.path.join(here, "..", "..", "..", "Interop")
import importlib.util
from tokenizers import Regex, pre_tokenizers
spec = importlib.util.spec_from_file_location("comparison", os.path.join(interop, "tokenizer_kinds.py"))
comparison = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comparison)
random.seed(4)
cases = []


def add(pattern, texts):
    cut = pre_tokenizers.Split(Regex(pattern), "isolated")
    cases.append({"pattern": pattern, "texts": [{"text": t, "pieces": [p for p, _ in cut.pre_tokenize_str(t)]} for t in texts]})


for pattern in comparison.PATTERNS.values():
    add(pattern, comparison.SCRIPTS[:6] + comparison.SCRIPTS[18:22] + random.sample(comparison.OTHERS, 12))
for pattern, text in [(r"\d{1,3}+", "123456789"), (r"a{2}?", "aaa"), (r"a{,2}", "aaaaa"), (r"a(?i)b|c", "aB C aC"), ("$", "a\nb\n"), ("^", "a\nb\n"), (r"(?i:ss)", "ß ss ẞ"), (r"(?i:ß)", "ss ß SS"),
                      (r"(?i)ſt", "ﬅ st ST"), (r"(?:|a)*", "aa"), (r"[]a]", "]a"), (r"(?i:k)", "K\u212a"), (r"\pL", "aB1pL"), (r"a{x", "a{x"), (r"b\Z", "b\nb\n"), (r"\R", "\r\n\n"), (r"x*", "axxb"), (r"\N+", "ab\nc")]:
    add(pattern, [text])
while len(cases) < 260:
    pattern = comparison.expression(3)
    try:
        Regex(pattern)
    except BaseException:
        continue
    add(pattern, ["".join(random.choice("aabbcAB1 2\n.éßſsS日- ") for _ in range(random.randint(1, 14))) for _ in range(6)])
with open(os.path.join(here, "cases.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n")
