#!/usr/bin/env bash
# Times moe-tool merge of four checkpoints of 1.1 B parameters beside reading them with cat and writing the output's bytes
# with dd, one after the other, and beside mergekit-moe (which averages nothing) and mergekit-yaml (a dense linear merge)
# where they are on the PATH or named by MERGEKIT (a folder). They take turns; medians and ratios are printed. The sources
# are in the page cache.
#
#   Tests/Benchmarks/merge.sh [FOLDER] [ROUNDS]        # needs 30 GB in FOLDER (default: a new one in /var/tmp)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-/var/tmp/moe-tool-bench}"
rounds="${2:-3}"
mkdir -p "$folder"
swift build -c release --product moe-tool | tail -n 1
tool="$(swift build -c release --show-bin-path)/moe-tool"
for seed in 1 2 3 4; do
    [ -f "$folder/m$seed/config.json" ] || python3 Tests/Benchmarks/make_checkpoint.py "$folder/m$seed" "$seed"
done
mergekit="${MERGEKIT:-$(dirname "$(command -v mergekit-moe || echo /none/x)")}"
[ -x "$mergekit/mergekit-moe" ] || { echo "mergekit is not installed: skipped (pip install mergekit)"; mergekit=""; }

export TOOL="$tool" FOLDER="$folder" ROUNDS="$rounds" MERGEKIT="$mergekit"
PYTHONPATH=Tests/Benchmarks PYTHONDONTWRITEBYTECODE=1 python3 - <<'PYTHON'
import os, statistics
from timing import Bench

tool, folder, mergekit = (os.environ[k] for k in ("TOOL", "FOLDER", "MERGEKIT"))
models = [os.path.join(folder, f"m{k}") for k in (1, 2, 3, 4)]

bench = Bench(folder)
out, run = bench.out, lambda command: bench.run(command, models)

def floor(size):
    """cat of the inputs, then dd of the output's size."""
    files = " ".join(os.path.join(m, n) for m in models for n in sorted(os.listdir(m)))
    return ["sh", "-c", f"cat {files} > /dev/null && dd if=/dev/zero of={out} bs=16M count={size} iflag=count_bytes conv=fsync"]

def config(name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path

moe = config("moe.yml", f"base_model: {models[0]}\ngate_mode: random\ndtype: bfloat16\nexperts:\n"
             + "".join(f"  - source_model: {m}\n    positive_prompts: []\n" for m in models))
soup = config("soup.yml", "merge_method: linear\ndtype: bfloat16\nmodels:\n"
              + "".join(f"  - model: {m}\n    parameters: {{weight: 1}}\n" for m in models))
ties = config("ties.yml", f"merge_method: ties\ndtype: bfloat16\nbase_model: {models[0]}\nmodels:\n"
              + "".join(f"  - model: {m}\n    parameters: {{weight: 1, density: 0.5}}\n" for m in models[1:]))

jobs = [
    ("merge (BTX)", [tool, "merge", *models, "-q", "-o", out], mergekit and ("mergekit-moe", [f"{mergekit}/mergekit-moe", moe, out])),
    ("merge --dense linear", [tool, "merge", "--dense", *models, "-q", "-o", out],
     mergekit and ("mergekit-yaml", [f"{mergekit}/mergekit-yaml", soup, out])),
    ("merge --dense ties", [tool, "merge", ties, "-q", "-o", out],
     mergekit and ("mergekit-yaml", [f"{mergekit}/mergekit-yaml", ties, out])),
]
for title, ours, peer in jobs:
    run(ours)
    size = bench.size()
    runs = {"cat + dd": [], "moe-tool": []}
    if peer:
        runs[peer[0]] = []
    for k in range(int(os.environ["ROUNDS"])):
        runs["cat + dd"].append(run(floor(size)))
        runs["moe-tool"].append(run(ours))
        if peer and k == 0:
            runs[peer[0]].append(run(peer[1]))
    bench.clean()
    base = statistics.median(s for s, _ in runs["cat + dd"])
    print(f"{title}: {size / 1e9:.1f} GB out of 4 x 2.2, sources in the page cache, median of {len(runs['moe-tool'])} (mergekit: 1)")
    print(f"{'':14}{'seconds':>9}{'of floor':>10}{'peak MiB':>10}   all")
    for name, values in runs.items():
        s = statistics.median(v for v, _ in values)
        print(f"{name:14}{s:9.1f}{s / base:10.2f}{max(m for _, m in values):10.0f}   " + " ".join(f"{v:.1f}" for v, _ in values))
PYTHON
