#!/usr/bin/env bash
# Packing and unpacking a BF16 tensor: the codec alone on one core, and moe-tool from end to end with hashing and read-back,
# beside `zstd -1` and the Python package zipnn where they are installed.
#
#     Tests/Benchmarks/packing.sh [FOLDER] [MEGABYTES]      # default /var/tmp/moe-tool-packing, 512
#     PYTHON=venv/bin/python Tests/Benchmarks/packing.sh    # numpy is needed, zipnn is used if it is there
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${1:-/var/tmp/moe-tool-packing}"
megabytes="${2:-512}"
python="${PYTHON:-python3}"
swift build -c release --product moe-tool 2>&1 | tail -n 1
swift build -c release --product packing-benchmark 2>&1 | tail -n 1
bin="$(swift build -c release --show-bin-path)"
mkdir -p "$folder"
trap 'rm -rf "$folder"' EXIT

# Normal weights whose rows have log-normal scales: exponents of about 2.6 bits, as published for language models.
"$python" - "$folder/w.safetensors" "$megabytes" <<'PY'
import json, struct, sys
import numpy as np
path, megabytes = sys.argv[1], int(sys.argv[2])
rows, columns = megabytes * 125, 4000
rng = np.random.default_rng(0)
counts = np.zeros(256, np.int64)
with open(path, "wb") as file:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [0, rows * columns * 2]}}).encode()
    header += b" " * (-len(header) % 8)
    file.write(struct.pack("<Q", len(header)) + header)
    for start in range(0, rows, 1000):
        n = min(1000, rows - start)
        scale = 0.02 * np.exp(0.2 * rng.standard_normal((n, 1), dtype=np.float32))
        bits = (rng.standard_normal((n, columns), dtype=np.float32) * scale).view(np.uint32)
        half = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        counts += np.bincount((half >> 7 & 255).ravel(), minlength=256)
        file.write(half.tobytes())
p = counts[counts > 0] / counts.sum()
entropy = -(p * np.log2(p)).sum()
print(f"exponent entropy {entropy:.3f} bits: {100 * (8 + entropy) / 16:.2f} % of the size is the bound")
PY

size="$(stat -c %s "$folder/w.safetensors")"
run() { # NAME BYTES CMD...: seconds and rate, best of three
    local name="$1" bytes="$2" best=
    shift 2
    for _ in 1 2 3; do
        local begin end
        begin="$(date +%s.%N)"
        "$@" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
        end="$(date +%s.%N)"
        best="$(echo "$begin $end $best" | awk '{ s = $2 - $1; print ($3 == "" || s < $3) ? s : $3 }')"
    done
    echo "$name $best $bytes" | awk '{ printf "%-34s %7.2f s %6.0f MB/s\n", $1, $2, $3 / $2 / 1e6 }'
}
cat "$folder/w.safetensors" >/dev/null
run moe-tool_convert_--pack "$size" "$bin/moe-tool" convert --pack --force "$folder/w.safetensors" -o "$folder/w.mtz"
stat -c %s "$folder/w.mtz" | awk -v n="$size" '{ printf "packed: %.2f %%\n", 100 * $1 / n }'
run moe-tool_convert_--unpack "$size" "$bin/moe-tool" convert --unpack --force "$folder/w.mtz" -o "$folder/u.safetensors"
cmp "$folder/w.safetensors" "$folder/u.safetensors"
"$bin/packing-benchmark" "$folder/w.safetensors" "$folder/w.mtz" w
if command -v zstd >/dev/null; then
    run zstd_-1_-T1 "$size" zstd -1 -T1 -q -f "$folder/w.safetensors" -o "$folder/w.zst"
    stat -c %s "$folder/w.zst" | awk -v n="$size" '{ printf "zstd -1: %.2f %%\n", 100 * $1 / n }'
    run zstd_-d "$size" zstd -d -q -f "$folder/w.zst" -o "$folder/z.safetensors"
fi
"$python" - "$folder/w.safetensors" <<'PY'
import sys, time
try:
    from zipnn import ZipNN
except Exception as error:
    print(f"zipnn is not here: {error}")
    sys.exit()
data = open(sys.argv[1], "rb").read()[8 + 80:][:256_000_000]
z = ZipNN(bytearray_dtype="bfloat16", threads=1)
best = [9e9, 9e9]
for _ in range(3):
    t = time.time(); packed = z.compress(bytearray(data)); best[0] = min(best[0], time.time() - t)
    t = time.time(); back = z.decompress(packed); best[1] = min(best[1], time.time() - t)
print(f"zipnn, one thread: {100 * len(packed) / len(data):.2f} %, {len(data) / best[0] / 1e6:.0f} and {len(data) / best[1] / 1e6:.0f} MB/s")
PY
