"""Runs mergekit-moe configurations as they are, with mergekit and with moe-tool, and compares the routers' rows.

    MERGEKIT_MOE=/path/to/mergekit-moe python gates.py MOE_TOOL BASE MODEL MODEL...

BASE and the MODELs are checkpoints of llama or mistral with a tokenizer.json. Every row must be within 1e-3 of mergekit's
in cosine and 1 % in length. Prints a line for each configuration and ends with 'N passed, N failed'; skips, saying so,
without mergekit or torch.
"""
import glob, json, os, subprocess, sys, tempfile
from differences import largest

try:
    import torch
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)

mergekit = os.environ.get("MERGEKIT_MOE")
if not mergekit:
    print("skipped: name mergekit-moe in MERGEKIT_MOE\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)
tool, base, models = sys.argv[1], sys.argv[2], sys.argv[3:]
work = tempfile.mkdtemp()
PROMPTS = [
    (["def main():\n    import sys", "class Foo(object): pass", "for i in range(10): print(i)"], ["The licensee shall", "manual page"]),
    (["This License applies to any program", "Permission is hereby granted, free of charge"], ["import os"]),
    ([".SH NAME ls - list directory contents", ".TP \\fB-a\\fR do not ignore", "The command returns"], []),
    (["été 日本語", "x"], ["a b c"]),
]

def rows(folder):
    tensors = {}
    for file in glob.glob(folder + "/*.safetensors"):
        tensors.update(load_file(file))
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(("block_sparse_moe.gate.weight", "mlp.gate.weight")):
            found[int(name.split(".")[2])] = tensor.double()
    return found

passed = failed = 0
for mode in ["cheap_embed", "hidden", "hidden_last", "hidden_avg"]:
    config = {"base_model": base, "gate_mode": mode, "dtype": "bfloat16", "experts": []}
    for model, (positive, negative) in zip(models, PROMPTS):
        config["experts"].append({"source_model": model, "positive_prompts": positive, "negative_prompts": negative})
    path = os.path.join(work, mode + ".yaml")
    json.dump(config, open(path, "w"))  # JSON is YAML
    ours, theirs = os.path.join(work, mode + "-ours"), os.path.join(work, mode + "-theirs")
    try:
        subprocess.run([mergekit, path, theirs, "--device", "cpu"], check=True, capture_output=True)
        subprocess.run([tool, "merge", path, "-o", ours, "-q"], check=True, capture_output=True)
        a, b = rows(ours), rows(theirs)
        assert a.keys() == b.keys() and a, (a.keys(), b.keys())
        distance = largest((1 - torch.nn.functional.cosine_similarity(a[l], b[l])).max().item() for l in a)
        length = largest((a[l].norm(dim=1) / b[l].norm(dim=1) - 1).abs().max().item() for l in a)
        ok, detail = distance < 1e-3 and length < 1e-2, f"cosines within {distance:.1e}, lengths within {length:.1e}"
    except subprocess.CalledProcessError as error:
        ok, detail = False, error.stderr.decode()[-300:]
    passed, failed = passed + ok, failed + (not ok)
    print("ok  " if ok else "FAIL", mode, detail)
print(f"{passed} passed, {failed} failed")
