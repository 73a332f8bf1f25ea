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
import ctypes, json, os, random, statistics, struct, subprocess, sys, time
import numpy as np, torch
from safetensors.numpy import save_file
tool, peer, work, rounds = (os.environ[k] for k in ("TOOL", "PEER", "WORK", "ROUNDS"))
g = np.random.default_rng(1)
steps = 5
ids = g.integers(0, 8192, (steps, 4, 256), dtype=np.int64)
save_file({"batches": ids}, f"{work}/batches.safetensors")
for name, count in ("warm", 1), ("tokens", steps):            # theirs has a first pass that is not counted
    g.integers(0, 8192, 1024 * count).astype("<u2").tofile(f"{work}/{name}.bin")
def run(*args): return subprocess.run(args, capture_output=True, text=True, check=True).stdout
def ours(model, mode):
    if mode == "eval":
        out = json.loads(run(tool, "evaluate", model, "--data", f"warm={work}/warm.bin:uint16", "--data", f"x={work}/tokens.bin:uint16", "--length", "256", "--batch-tokens", "1024",
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
n = 2048
square = np.ones((n, n), np.float32)
product = np.empty((n, n), np.float32)
library = ctypes.CDLL("libopenblas.so.0")
library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p
def sgemm():
    # The library that moe-tool links, one call with all threads; the machine's rate changes by the minute, so this is
    # taken before and after each of our runs, as a median like theirs.
    p = lambda x: x.ctypes.data_as(ctypes.c_void_p)
    times = []
    for _ in range(12):
        t = time.perf_counter()
        library.cblas_sgemm(101, 111, 112, n, n, n, ctypes.c_float(1), p(square), n, p(square), n, ctypes.c_float(0), p(product), n)
        times.append(time.perf_counter() - t)
    return 2 * n**3 / statistics.median(times) / 1e9
def torchs():
    a = torch.rand(n, n)
    times = []
    for _ in range(12):
        t = time.perf_counter(); a @ a; times.append(time.perf_counter() - t)
    return 2 * n**3 / statistics.median(times) / 1e9
# Multiplications and additions of a token: matrices that it meets, and causal attention over 256 tokens.
layer = 512 * (512 + 2 * 256) + 512 * 512; ffn = 3 * 512 * 1408; head = 512 * 8192
attention = 8 * 4 * 512 * 129
def flops(experts, mode):
    active = 8 * (layer + ffn * (2 if experts else 1)) + head
    return {"eval": 2, "train": 6, "router": 4}[mode] * active + {"eval": 1, "train": 3, "router": 3}[mode] * attention
cases = [(0, "eval"), (8, "eval"), (0, "train"), (8, "train"), (8, "router")]
results = {c: ([], [], [], []) for c in cases}
for _ in range(int(rounds)):
    for experts, mode in cases:
        mine, peers, floor, others = results[experts, mode]
        before = sgemm()
        mine.append(ours(f"{work}/m{experts}", mode))
        floor.append((before + sgemm()) / 2)
        peers.append(theirs(f"{work}/m{experts}", mode))
        others.append(torchs())
mid = statistics.median
print(" ".join(library.openblas_get_config().decode().split()) + ", kernels for " + library.openblas_get_corename().decode())
print(f"medians of {rounds} rounds in turns; sgemm 2048^3 of OpenBLAS beside each run, GFLOP/s; torch's own library "
      f"{mid([x for r in results.values() for x in r[3]]):.0f}")
print(f"{'':22}{'moe-tool':>10}{'torch':>10}{'ratio':>8}{'GFLOP/s':>10}{'sgemm':>8}{'share':>8}")
for (experts, mode), (a, b, floor, _) in results.items():
    amount = flops(experts, mode) / 1e9
    ratio = mid(x / y for x, y in zip(a, b))
    share = mid(x * amount / y for x, y in zip(a, floor))
    name = (f"{experts} experts" if experts else "dense") + ", " + mode
    print(f"{name:22}{mid(a):10.0f}{mid(b):10.0f}{ratio:8.2f}{mid(a) * amount:10.0f}{mid(floor):8.0f}{share:8.0%}")
share = mid(x / y for x, y in zip(results[8, "train"][0], results[8, "router"][0]))
print(f"router-only step: {share:.2f} of the full step's time")
EOF
