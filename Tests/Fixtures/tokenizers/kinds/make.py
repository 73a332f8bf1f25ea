"""Writes small tokenizers of each kind of component, and what the Hugging Face library (tokenizers 0.23.3) makes of texts.

    python make.py

They are those of Tests/Interop/tokenizer_kinds.py, with smaller vocabularies and fewer texts.
"""
import importlib.util, json, os, random, sys

here = os.path.dirname(os.path.abspath(__file__))
path = os.path.join(here, "..", "..", "..", "Interop", "tokenizer_kinds.py")
from tokenizers import Tokenizer
spec = importlib.util.spec_from_file_location("comparison", path)
comparison = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comparison)
comparison.SIZE = 0.35
models, cases = [], []
scripts, others = comparison.SCRIPTS, comparison.OTHERS


class Collector:
    def __init__(self, tool, texts):
        self.failures = self.count = 0
        self.folder = None

    def check(self, name, tokenizer, texts=None, decodes=True):
        if name.startswith(("pattern ", "random ")) or ("+" in name and not name.startswith("decoder")) or (name.startswith("split ") and "True" in name):
            return
        text = tokenizer if isinstance(tokenizer, str) else tokenizer.to_str()
        library = Tokenizer.from_str(text)
        chosen = random.Random(len(cases))
        encoded = []
        for item in [scripts[0], chosen.choice(scripts[:8])] + chosen.sample(others, 5):
            try:
                encoded.append({"text": item, "ids": library.encode(item, add_special_tokens=False).ids})
            except Exception:
                encoded.append({"text": item, "ids": None})
            except BaseException:
                pass  # The library's own fault.
        lists = [e["ids"] for e in encoded if e["ids"]] if decodes else []
        top = max(library.get_vocab().values()) + 2
        decoded = []
        for ids in lists[:2] + [[chosen.randrange(top) for _ in range(chosen.randint(1, 9))] for _ in range(8 if decodes else 0)]:
            try:
                decoded.append({"ids": ids, "text": library.decode(ids), "all": library.decode(ids, False)})
            except BaseException:
                pass
        file = json.loads(text)
        if file["model"] not in models:
            models.append(file["model"])
        file["model"] = models.index(file["model"])
        cases.append({"name": name, "tokenizer": file, "encoded": encoded, "decoded": decoded})


comparison.Comparison = Collector
sys.argv = ["tokenizer_kinds.py", "none", "--seconds", "0"]
try:
    comparison.main()
except SystemExit:
    pass
with open(os.path.join(here, "cases.json"), "w") as f:
    lines = [",\n".join(json.dumps(item, ensure_ascii=True, separators=(",", ":")) for item in items) for items in (models, cases)]
    f.write('{"models": [\n' + lines[0] + '\n], "cases": [\n' + lines[1] + "\n]}\n")
print(len(cases))
