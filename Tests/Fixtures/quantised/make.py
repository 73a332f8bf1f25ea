"""Copies reference checkpoints in quantised formats here, with a CRC-32 of the F32 bytes of each weight that the reference
libraries make of them instead of the weights themselves.

    python make.py GOLDEN NAME...

GOLDEN is a folder of `expected.safetensors` beside the checkpoints.
"""
import json, os, shutil, sys, zlib
from safetensors.torch import load_file

golden, names = sys.argv[1], sys.argv[2:]
here = os.path.dirname(os.path.abspath(__file__))
for name in names:
    source, target = os.path.join(golden, name), os.path.join(here, name)
    os.makedirs(target, exist_ok=True)
    for file in os.listdir(source):
        if file.startswith(("model", "config.json", "hf_quant_config", "quantize_config")):
            shutil.copyfile(os.path.join(source, file), os.path.join(target, file))
    weights = load_file(os.path.join(source, "expected.safetensors"))
    digests = {n: zlib.crc32(w.numpy().tobytes()) for n, w in sorted(weights.items()) if n not in ("input_ids", "logits")}
    json.dump(digests, open(os.path.join(target, "weights.json"), "w"), indent=1)
