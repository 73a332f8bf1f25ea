#!/usr/bin/env bash
# Times moe-tool upcycle --experts 8 on a checkpoint of 1.1 B parameters beside dd writing the same number of bytes to the
# same disk, and beside mergekit-moe where it is on the PATH (or named by MERGEKIT_MOE). They take turns; medians and
# ratios are printed. The source is in the page cache.
#
#   Tests/Benchmarks/upcycle.sh [FOLDER] [ROUNDS]        # needs 30 GB in FOLDER (default: a new one in /var/tmp)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-/var/tmp/moe-tool-bench}"
rounds="${2:-3}"
mkdir -p "$folder"
swift build -c release --product moe-tool | tail -n 1
tool="$(swift build -c release --show-bin-path)/moe-tool"
source="$folder/mistral-1.1b"
[ -f "$source/config.json" ] || python3 Tests/Benchmarks/make_checkpoint.py "$source"
mergekit="${MERGEKIT_MOE:-$(command -v mergekit-moe || true)}"
[ -n "$mergekit" ] || echo "mergekit-moe is not installed: skipped (pip install mergekit)"

export TOOL="$tool" SOURCE="$source" FOLDER="$folder" ROUNDS="$rounds" MERGEKIT="$mergekit"
PYTHONPATH=Tests/Benchmarks PYTHONDONTWRITEBYTECODE=1 python3 - <<'PYTHON'
import os, statistics
from timing import Bench

tool, source, folder, mergekit = (os.environ[k] for k in ("TOOL", "SOURCE", "FOLDER", "MERGEKIT"))
bench = Bench(folder)
out, run = bench.out, lambda command: bench.run(command, [source])

upcycle = [tool, "upcycle", "--experts", "8", "--quiet", source, "-o", out]
run(upcycle)
size = bench.size()
bench.clean()
dd = bench.dd(size)
config = os.path.join(folder, "mergekit.yml")
with open(config, "w") as f:
    f.write(f"base_model: {source}\ngate_mode: random\ndtype: bfloat16\nexperts:\n"
            + f"  - source_model: {source}\n    positive_prompts: []\n" * 8)
runs = {"moe-tool": [], "dd": []}
if mergekit:
    runs["mergekit-moe"] = []
for k in range(int(os.environ["ROUNDS"])):
    runs["dd"].append(run(dd))
    runs["moe-tool"].append(run(upcycle))
    if mergekit and k == 0:
        runs["mergekit-moe"].append(run([mergekit, config, out, "--i-understand-this-is-not-useful-without-training"]))
bench.clean()
base = statistics.median(s for s, _ in runs["dd"])
print(f"{size / 1e9:.1f} GB out, source in the page cache, median of {len(runs['dd'])} (mergekit-moe: 1)")
print(f"{'':14}{'seconds':>9}{'of dd':>8}{'GB/s':>7}{'peak MiB':>10}   all")
for name, values in runs.items():
    s = statistics.median(v for v, _ in values)
    print(f"{name:14}{s:9.1f}{s / base:8.2f}{size / s / 1e9:7.2f}{max(m for _, m in values):10.0f}   "
          + " ".join(f"{v:.1f}" for v, _ in values))
PYTHON
