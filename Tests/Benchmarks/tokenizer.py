"""Times moe-tool tokenizer encode beside Hugging Face's tokenizers on one thread, and compares the ids.

    python tokenizer.py MOE_TOOL TEXT TOKENIZER_JSON...

TEXT is a file in UTF-8 (10 MB say something). The time of tokenizers is that of encode alone, ours of the whole process.
Skips, saying so, without tokenizers.
"""
import json, os, subprocess, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
try:
    from tokenizers import Tokenizer
except ImportError as error:
    sys.exit(f"skipped: {error}; pip install tokenizers")

tool, path, *files = sys.argv[1:]
text = open(path, encoding="utf-8", newline="").read()
for file in files:
    reference = Tokenizer.from_file(file)
    start = time.monotonic()
    ids = reference.encode(text, add_special_tokens=False).ids
    theirs = time.monotonic() - start
    start = time.monotonic()
    out = subprocess.run([tool, "tokenizer", "encode", file], stdin=open(path, "rb"), capture_output=True, check=True).stdout
    ours = time.monotonic() - start
    same = json.loads(out) == ids
    print(f"{file}: tokenizers {theirs:.2f} s, moe-tool {ours:.2f} s ({ours / theirs:.2f}), {len(ids)} ids, {'the same' if same else 'DIFFERENT'}")
