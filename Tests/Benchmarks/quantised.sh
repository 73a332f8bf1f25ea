#!/usr/bin/env bash
# Times moe-tool convert --quantise on a checkpoint of 1.1 B parameters, convert --dequantise of each result, and a plain convert
# of one, beside dd writing the same number of bytes to the same disk. They take turns; medians and ratios are printed. The
# sources are in the page cache.
#
#   Tests/Benchmarks/quantised.sh [FOLDER] [ROUNDS] [FORMAT...]        # needs 12 GB in FOLDER (default: a new one in /var/tmp)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-/var/tmp/moe-tool-bench}"
rounds="${2:-3}"
mkdir -p "$folder"
tool="${TOOL:-}"
if [ -z "$tool" ]; then
    swift build -c release --product moe-tool | tail -n 1
    tool="$(swift build -c release --show-bin-path)/moe-tool"
fi
source="$folder/mistral-1.1b"
[ -f "$source/config.json" ] || python3 Tests/Benchmarks/make_checkpoint.py "$source"

export TOOL="$tool" SOURCE="$source" FOLDER="$folder" ROUNDS="$rounds" FORMATS="${*:3}"
PYTHONPATH=Tests/Benchmarks PYTHONDONTWRITEBYTECODE=1 python3 - <<'PYTHON'
import os, shutil, statistics, subprocess
from timing import Bench

tool, source, folder = (os.environ[k] for k in ("TOOL", "SOURCE", "FOLDER"))
formats = os.environ["FORMATS"].split() or ["fp8-block", "fp8-channel", "mxfp4", "int8", "int4-group:128", "nvfp4"]
bench = Bench(folder)
out, quantised = bench.out, os.path.join(folder, "quantised")

def measure(name, command, read):
    bench.run(command, [read])
    count = bench.size()
    ours, theirs = [], []
    for _ in range(int(os.environ["ROUNDS"])):
        theirs.append(bench.run(bench.dd(count), [])[0])
        ours.append(bench.run(command, [read]))
    base, s = statistics.median(theirs), statistics.median(s for s, _ in ours)
    print(f"{name:32}{count / 1e9:6.2f}{s:9.1f}{base:8.1f}{s / base:8.2f}{max(m for _, m in ours):10.0f}   "
          + " ".join(f"{v:.1f}" for v, _ in ours), flush=True)

print(f"{'':32}{'GB':>6}{'seconds':>9}{'dd':>8}{'of dd':>8}{'peak MiB':>10}   all")
for format in formats:
    measure(f"quantise {format}", [tool, "convert", source, "--quantise", format, "--quiet", "-o", out], source)
    shutil.rmtree(quantised, ignore_errors=True)
    subprocess.run([tool, "convert", source, "--quantise", format, "--quiet", "-o", quantised], check=True,
                   stdout=subprocess.DEVNULL)
    measure(f"dequantise {format}", [tool, "convert", quantised, "--dequantise", "--quiet", "-o", out], quantised)
    if format == formats[0]:
        measure(f"copy of {format}", [tool, "convert", quantised, "--quiet", "-o", out], quantised)
bench.clean()
shutil.rmtree(quantised, ignore_errors=True)
PYTHON
