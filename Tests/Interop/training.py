"""Compares `moe-tool finetune` and `distill` with runs of PyTorch, step by step (../shared/golden/training).

    python Tests/Interop/training.py .build/release/moe-tool [GOLDEN]

Losses, auxiliary terms and gradient norms of every step within 1e-4 relative, final weights within 1e-4.
"""
import json, os, subprocess, sys, tempfile
from differences import largest
import numpy as np
from safetensors.numpy import load_file

tool = sys.argv[1]
golden = sys.argv[2] if len(sys.argv) > 2 else "../shared/golden"
if not os.path.isdir(f"{golden}/training"):
    print(f"skipped: {golden}/training is not there"); sys.exit(0)
passed = failed = 0
for name in sorted(f[:-5] for f in os.listdir(f"{golden}/training") if f.endswith(".json")):
    cfg = json.load(open(f"{golden}/training/{name}.json"))
    want = load_file(f"{golden}/training/{name}.safetensors")
    with tempfile.TemporaryDirectory() as tmp:
        out = f"{tmp}/out"
        common = ["--batches", f"{golden}/training/{name}.safetensors", "--steps", cfg["steps"], "--lr", cfg["lr"], "--min-lr", cfg["min_lr"],
                  "--warmup", cfg["warmup"], "--schedule", "cosine", "--beta1", cfg["betas"][0], "--beta2", cfg["betas"][1], "--eps", cfg["eps"],
                  "--weight-decay", cfg["weight_decay"], "--clip", cfg["clip"], "-o", out, "--quiet"]
        student = f"{golden}/models/{cfg['student']}"
        if cfg["teacher"]:
            args = ["distill", "--teacher", f"{golden}/models/{cfg['teacher']}", "--student", student, "--alpha", cfg["kl"],
                    "--temperature", cfg["temperature"], *common]
        else:
            args = ["finetune", student, "--train", cfg["train"], *common]
            if "aux" in cfg: args += ["--balance", f"hf:{cfg['aux']}", "--z-loss", cfg["z"]]
        run = subprocess.run([tool, *map(str, args)], capture_output=True, text=True)
        if run.returncode:
            failed += 1; print(name, run.stderr); continue
        lines = [json.loads(l) for l in open(out + ".metrics.jsonl")]
        worst = {}
        for key in ("loss", "aux", "z", "kl", "grad_norm"):
            if key not in want: continue
            got = np.array([l[key] for l in lines if key in l]); w = want[key].astype(np.float64)
            worst[key] = float(np.max(np.abs(got - w) / np.abs(w))) if got.shape == w.shape else float("inf")
        weights = load_file(out + "/model.safetensors")
        worst["weights"] = largest(np.abs(weights[k[6:]] - v).max() for k, v in want.items() if k.startswith("final."))
        for key, value in worst.items():
            if value <= 1e-4: passed += 1
            else: failed += 1
        print(f"{name:22}", {k: f"{v:.1e}" for k, v in worst.items()})
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
