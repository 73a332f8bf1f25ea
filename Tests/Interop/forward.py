"""Compares `moe-tool forward --gradients` with what transformers computed (../shared/golden/models).

    python Tests/Interop/forward.py .build/release/moe-tool [GOLDEN]

Logits, hidden states, router logits and losses within 1e-4 (of the largest where that is above one); every gradient within 1e-4 of its norm (1e-6 absolute where
its largest entry is under 1e-6).
"""
import os, subprocess, sys, tempfile
import numpy as np
from safetensors.numpy import load_file, save_file

tool = sys.argv[1]
golden = sys.argv[2] if len(sys.argv) > 2 else "../shared/golden/models"
if not os.path.isdir(golden):
    print(f"skipped: {golden} is not there"); sys.exit(0)
passed = failed = 0
worst = {}
for name in sorted(os.listdir(golden)):
    folder = os.path.join(golden, name)
    if not os.path.isdir(folder): continue
    want = load_file(os.path.join(folder, "expected.safetensors"))
    with tempfile.TemporaryDirectory() as tmp:
        save_file({"input_ids": want["input_ids"]}, f"{tmp}/ids.safetensors")
        for flags in ([], ["--checkpoint-activations"]):
            run = subprocess.run([tool, "forward", folder, "--input", f"{tmp}/ids.safetensors", "--output", f"{tmp}/out.safetensors",
                                  "--gradients", "--quiet", "--force", *flags], capture_output=True, text=True)
            if run.returncode:
                failed += 1; print(name, run.stderr); continue
            got = load_file(f"{tmp}/out.safetensors")
            for key, w in want.items():
                # A correction bias and a layer's factor have no gradient (the file has its values); an indexer that selects everything has none.
                if key.endswith((".expert_bias", ".layer_scalar")) or ".indexer." in key: continue
                if key not in got:
                    failed += 1; print(name, "lacks", key); continue
                g = got[key].astype(np.float64); w = w.astype(np.float64)
                if g.shape != w.shape:
                    failed += 1; print(name, key, g.shape, w.shape); continue
                if "grad." in key and np.abs(w).max() >= 1e-6:
                    d, bound = np.linalg.norm(g - w) / np.linalg.norm(w), 1e-4
                else:
                    d, bound = np.abs(g - w).max() / max(1, np.abs(w).max()), 1e-6 if "grad." in key else 1e-4
                kind = key.split(".")[0]
                worst[kind] = max(worst.get(kind, (0, "")), (d, f"{name} {key}"))
                if d <= bound: passed += 1
                else: failed += 1; print(name, key, d)
for kind, (d, where) in worst.items(): print(f"{kind:14} at most {d:.2e} ({where})")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
