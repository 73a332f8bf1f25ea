"""Loads what moe-tool upcycle writes in transformers and compares logits with the dense model's.

    python upcycle.py MOE_TOOL [MODELS]

MODELS holds dense checkpoints by name (default: ../Fixtures/models). Every construction that claims to be exact must give
the dense logits within 1e-5 * max(1, largest |logit|) in F32, with no key missing or unexpected. Prints a line for each
and ends with 'N passed, N failed'. Skips, saying so, without torch and transformers.
"""
import json, logging, os, shutil, subprocess, sys, tempfile
from differences import bound

try:
    import torch, transformers
    from transformers import AutoModelForCausalLM
except ImportError as error:
    print(f"skipped: {error}; pip install torch transformers")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
logging.disable(logging.WARNING)
torch.set_num_threads(1)

COMMON = [
    ["--experts", "4"], ["--experts", "8", "--top-k", "3", "--router", "uniform:0.02"], ["--experts", "4", "--top-k", "1"],
    ["--experts", "4", "--granularity", "2"], ["--experts", "2", "--granularity", "4", "--top-k", "1"],
    ["--experts", "4", "--granularity", "3", "--top-k", "3", "--router", "random:0.5"],
    ["--experts", "4", "--init", "partition"], ["--experts", "4", "--router", "zero"],
    ["--experts", "4", "--init", "noise:0"], ["--experts", "1"],
]
OFF = [
    ["--experts", "4", "--norm-topk", "off", "--router", "zero"],
    ["--experts", "4", "--init", "partition", "--norm-topk", "off"],
    ["--experts", "2", "--granularity", "2", "--top-k", "2", "--norm-topk", "off", "--router", "zero"],
]
SHARED = [["--experts", "4", "--shared-experts"], ["--experts", "4", "--shared-experts", "--granularity", "2"]]
LAYERS = [["--experts", "4", "--layers", "every:2"], ["--experts", "4", "--layers", "0"]]
FUSED = [["--experts", "4", "--layout", "fused"]]
PAIRS = [
    ("llama", "mixtral", COMMON + FUSED), ("llama", "granitemoe", COMMON), ("llama3-rope", "mixtral", COMMON),
    ("mistral", "mixtral", COMMON + FUSED), ("qwen2-tied", "qwen2_moe", COMMON + OFF + SHARED + LAYERS + FUSED),
    ("qwen3", "qwen3_moe", COMMON + OFF + LAYERS + FUSED), ("olmo2", "flex_olmo", COMMON + OFF + FUSED),
    ("granite", "granitemoe", COMMON), ("llama", "qwen2_moe", COMMON + OFF + SHARED + LAYERS),
    ("llama3-rope", "qwen2_moe", COMMON + SHARED + LAYERS), ("mistral", "qwen2_moe", COMMON + SHARED + LAYERS + FUSED),
    ("deepseek-v3-dense", "deepseek_v3", COMMON + OFF + SHARED + [["--experts", "4", "--layers", "first-dense:1"]] + FUSED),
]

def logits(folder, ids):
    loaded, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    bad = {k: sorted(v) for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    with torch.inference_mode():
        return loaded.eval()(ids, use_cache=False).logits, bad

def main():
    tool = os.path.abspath(sys.argv[1])
    models = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Fixtures/models")
    major = int(transformers.__version__.split(".")[0])
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    passed = failed = skipped = 0
    for name, target, cases in PAIRS:
        source = os.path.join(models, name)
        config = json.load(open(os.path.join(source, "config.json")))
        ids = torch.randint(3, config["vocab_size"], (2, 24), generator=torch.Generator().manual_seed(7))
        with tempfile.TemporaryDirectory() as work:
            # The dense model as this version of transformers reads it: through moe-tool's own copy, which has both
            # generations of keys.
            dense = os.path.join(work, "dense")
            subprocess.run([tool, "convert", "-q", source, "-o", dense], check=True, stdout=subprocess.DEVNULL)
            expected, _ = logits(dense, ids)
            limit = bound(1e-5, expected.abs().max().item())
            for case in cases:
                if target == "deepseek_v3" and case == ["--experts", "1"]:
                    continue  # its groups are scored by their two best experts
                label = f"{name:18} {target:11} {' '.join(case)}"
                if "fused" in case and major < 5:
                    print(f"skip  {label}: transformers 5 introduced the fused layout"); skipped += 1
                    continue
                out = os.path.join(work, "moe")
                run = subprocess.run(
                    [tool, "upcycle", "-q", source, "-o", out, "--target", target, "--json", *case], capture_output=True, text=True)
                if run.returncode:
                    print(f"FAIL  {label}: {run.stderr.strip()}"); failed += 1
                    continue
                if json.loads(run.stdout)["function"]["preserved"] != "exact":
                    print(f"FAIL  {label}: not claimed to be exact"); failed += 1
                    shutil.rmtree(out); continue
                found, bad = logits(out, ids)
                error = (found - expected).abs().max().item()
                good = error <= limit and not bad
                print(f"{'ok   ' if good else 'FAIL '} {label}: {error:.2e} of {limit:.2e} {bad or ''}")
                passed, failed = passed + good, failed + (not good)
                shutil.rmtree(out)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)

main()
