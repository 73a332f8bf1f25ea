#!/usr/bin/env bash
# Tokens per second of evaluation and training beside PyTorch's, in turns, with the same checkpoint, batch and threads; and
# what share of the arithmetic floor that is.
#
#     Tests/Benchmarks/compute.sh PEER [ROUNDS]
#
# PEER is a program that takes `make OUT --experts E --bf16` and `time OUT --mode eval|train|router` and prints a JSON line
# with tokens_per_second (batches of 4 x 256 tokens); it runs with $PYTHON.
set -euo pipefail
cd "$(dirname "$0")/../.."
peer="${1:-../shared/bench/peer_torch.py}"
rounds="${2:-3}"
python="${PYTHON:-python3}"
[ -f "$peer" ] || { echo "skipped: $peer is not there"; exit 0; }
"$python" -c 'import torch, transformers, safetensors' 2>/dev/null || { echo "skipped: $python has no torch and transformers"; exit 0; }
swift build -c release --product moe-tool >&2
tool="$(swift build -c release --show-bin-path)/moe-tool"
work="${WORK:-$(mktemp -d)}"
for experts in 0 8; do
    [ -d "$work/m$experts" ] || "$python" "$peer" make "$work/m$experts" --experts "$experts" --bf16 >&2 2>/dev/null
done
TOOL="$tool" PEER="$peer" WORK="$work" ROUNDS="$rounds" "$python" - <<'EOF'
import json, os, random, statistics, struct, subprocess, sys, time
import numpy as np, torch
from safetensors.numpy import save_file
tool, peer, work, rounds = (os.environ[k] for k in ("TOOL", "PEER", "WORK", "ROUNDS"))
g = np.random.default_rng(1)
steps = 5
ids = g.integers(0, 8192, (steps, 4, 256), dtype=np.int64)
save_file({"batches": ids}, f"{work}/batches.safetensors")
g.integers(0, 8192, 1024 * steps).astype("<u2").tofile(f"{work}/tokens.bin")
def run(*args): return subprocess.run(args, capture_output=True, text=True, check=True).stdout
def ours(model, mode):
    if mode == "eval":
        out = json.loads(run(tool, "evaluate", model, "--data", f"x={work}/tokens.bin:uint16", "--length", "256", "--batch-tokens", "1024",
                             "--json", "--quiet"))
        d = out["models"][0]["domains"]["x"]
        return d["tokens_per_second"] * 256 / 255          # theirs counts all tokens, ours those that are predicted
    run(tool, "finetune", model, "--train", "all" if mode == "train" else "router", "--batches", f"{work}/batches.safetensors",
        "--balance", *(["hf:0.001"] if model.endswith("8") else ["none"]), "--lr", "1e-4", "-o", f"{work}/out", "--force", "--quiet",
        "--memory", "8GiB")
    rates = [json.loads(l)["tokens_per_second"] for l in open(f"{work}/out.metrics.jsonl")]
    return statistics.median(rates[1:])
def theirs(model, mode):
    out = run(sys.executable, peer, "time", model, "--mode", mode, "--steps", str(steps))
    return json.loads(out.strip().splitlines()[-1])["tokens_per_second"]
def sgemm():
    a = torch.rand(2048, 2048); b = torch.rand(2048, 2048)
    best = 0
    for _ in range(5):
        t = time.perf_counter(); a @ b; best = max(best, 2 * 2048**3 / (time.perf_counter() - t))
    return best / 1e9
def blas():
    # OpenBLAS's own, through the library that moe-tool links, one call with all threads.
    import ctypes
    lib = ctypes.CDLL("libopenblas.so.0"); n = 2048
    a = np.ones((n, n), np.float32); c = np.empty((n, n), np.float32); p = lambda x: x.ctypes.data_as(ctypes.c_void_p)
    best = 0
    for _ in range(5):
        t = time.perf_counter()
        lib.cblas_sgemm(101, 111, 112, n, n, n, ctypes.c_float(1), p(a), n, p(a), n, ctypes.c_float(0), p(c), n)
        best = max(best, 2 * n**3 / (time.perf_counter() - t))
    return best / 1e9
# Multiplications and additions of a token: matrices that it meets, and causal attention over 256 tokens.
layer = 512 * (512 + 2 * 256) + 512 * 512; ffn = 3 * 512 * 1408; head = 512 * 8192
attention = 8 * 4 * 512 * 129
def flops(experts, mode):
    active = 8 * (layer + ffn * (2 if experts else 1)) + head
    return {"eval": 2, "train": 6, "router": 4}[mode] * active + {"eval": 1, "train": 3, "router": 3}[mode] * attention
cases = [(0, "eval"), (8, "eval"), (0, "train"), (8, "train"), (8, "router")]
results = {c: ([], []) for c in cases}; floor = []; own = []
for _ in range(int(rounds)):
    floor.append(sgemm()); own.append(blas())
    for experts, mode in cases:
        a, b = results[experts, mode]
        a.append(ours(f"{work}/m{experts}", mode)); b.append(theirs(f"{work}/m{experts}", mode))
mid = statistics.median
rate = mid(own)
print(f"sgemm 2048^3, all threads: OpenBLAS {rate:.0f} GFLOP/s, torch's library {mid(floor):.0f}")
print(f"{'':22}{'moe-tool':>10}{'torch':>10}{'ratio':>8}{'GFLOP/s':>10}{'of sgemm':>10}")
for (experts, mode), (a, b) in results.items():
    achieved = mid(a) * flops(experts, mode) / 1e9
    ratio = mid(x / y for x, y in zip(a, b))
    print(f"{(f'{experts} experts' if experts else 'dense') + ', ' + mode:22}{mid(a):10.0f}{mid(b):10.0f}{ratio:8.2f}{achieved:10.0f}{achieved / rate:10.0%}")
train, router = mid(results[8, "train"][0]), mid(results[8, "router"][0])
print(f"router-only step: {train / router:.2f} of the full step's time")
EOF
