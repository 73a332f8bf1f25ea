"""Loads one of each family that moe-tool upcycles to in mlx-lm and compares logits with the dense model's there.

    python mlx_load.py MOE_TOOL [MODELS]

Families that this mlx-lm does not have are skipped, saying so. Ends with 'N passed, N failed, N skipped'.
"""
import os, shutil, subprocess, sys, tempfile
from differences import bound

try:
    import mlx.core as mx
    from mlx_lm.utils import load_model
except ImportError as error:
    print(f"skipped: {error}; pip install mlx-lm")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)
from pathlib import Path

PAIRS = [("llama", "mixtral", []), ("llama", "granitemoe", []), ("mistral", "mixtral", []),
         # mlx-lm's qwen2_moe does not read norm_topk_prob: it never divides the gates by their sum.
         ("qwen2-tied", "qwen2_moe", ["--norm-topk", "off", "--router", "zero"]), ("qwen3", "qwen3_moe", []),
         ("olmo2", "flex_olmo", []), ("granite", "granitemoe", []), ("deepseek-v3-dense", "deepseek_v3", [])]

def logits(folder):
    model, _ = load_model(Path(folder))
    model.set_dtype(mx.float32)
    ids = mx.array([[(7 * k + 3) % 90 + 3 for k in range(24)]])
    out = model(ids)
    mx.eval(out)
    return out

tool = os.path.abspath(sys.argv[1])
models = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Fixtures/models")
mx.set_default_device(mx.cpu)
passed = failed = skipped = 0
for name, target, extra in PAIRS:
    label = f"{name:18} {target:11} {' '.join(extra)}"
    with tempfile.TemporaryDirectory() as work:
        dense, moe = os.path.join(work, "dense"), os.path.join(work, "moe")
        source = os.path.join(models, name)
        subprocess.run([tool, "convert", "-q", source, "-o", dense], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([tool, "upcycle", "-q", "-e", "4", "--target", target, *extra, source, "-o", moe], check=True, stdout=subprocess.DEVNULL)
        try:
            found = logits(moe)
        except (ValueError, AttributeError, TypeError) as error:
            if "not supported" in str(error):
                print(f"skip  {label}: {error}"); skipped += 1
                continue
            raise
        expected = logits(dense)
        error = mx.max(mx.abs(found - expected)).item()
        # mlx-lm computes gates and attention with other roundings than transformers: 1e-3 is what its own tests allow.
        good = found.shape == expected.shape and error <= bound(1e-3, mx.max(mx.abs(expected)).item())
        print(f"{'ok   ' if good else 'FAIL '} {label}: {error:.2e}")
        passed, failed = passed + good, failed + (not good)
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed else 0)
