#!/usr/bin/env bash
# Peak memory of every command that runs a model, on a dense model of 0.57 B parameters (BF16, 1.1 GB; 2.3 GB in F32) and its
# upcycle by two, within --memory 128MiB and 300MiB. What cannot be done within it must be refused before the work, with the
# least that it takes, and is then measured with that. Fails where the process takes more than it was given.
#
#     Tests/Benchmarks/memory.sh [LAYERS]
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
[ -x /usr/bin/time ] || { echo "skipped: /usr/bin/time is not there"; exit 0; }
tool="${TOOL:-}"
if [ -z "$tool" ]; then
    swift build -c release --product moe-tool >&2
    tool="$(swift build -c release --show-bin-path)/moe-tool"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
LAYERS="${1:-10}" "$python" Tests/Benchmarks/make_checkpoint.py "$work/dense" >&2
cp -rl "$work/dense" "$work/dense2"
"$tool" upcycle "$work/dense" --experts 2 --top-k 1 -o "$work/mixture" --quiet > /dev/null
"$python" - "$work" <<'PYTHON'
import sys
work = sys.argv[1]
open(work + "/tokens.bin", "wb").write(bytes(b for i in range(2048) for b in (i * 7 % 251, i % 64)))
open(work + "/text.txt", "w").write("Some words to read, and a few more of them.\n" * 200)
import json, struct
ids = struct.pack("<128q", *((7 * i) % 1000 for i in range(128)))
header = json.dumps({"input_ids": {"dtype": "I64", "shape": [2, 64], "data_offsets": [0, len(ids)]}}).encode()
header += b" " * (-len(header) % 8)
open(work + "/ids.safetensors", "wb").write(struct.pack("<Q", len(header)) + header + ids)
PYTHON
data="x=$work/tokens.bin:uint16"
failures=0
attempt() { # LIMIT-MiB COMMAND...
    local limit="$1"
    shift
    rm -rf "$work"/out* "$work"/.out*
    /usr/bin/time -f '%M %e' -o "$work/time" "$tool" "$@" --memory "${limit}MiB" --quiet > "$work/said" 2>&1 && code=0 || code=$?
    read -r kib seconds < <(tail -n 1 "$work/time")
}
measure() { # WHAT COMMAND...
    local what="$1" limit least
    shift
    for limit in 128 300; do
        attempt "$limit" "$@"
        if [ "$code" = 2 ] && least="$(grep -o 'takes\? [0-9]* MiB at least' "$work/said" | grep -o '[0-9]\+' | head -1)"; then
            echo "$what: $limit MiB refused in $seconds s and $((kib / 1024)) MiB, $least at least"
            limit="$least"
            attempt "$limit" "$@"
        fi
        echo "$what: within $limit MiB peak $((kib / 1024)) MiB, $seconds s"
        if [ "$code" != 0 ]; then echo "FAILED: exit $code: $(tail -n 1 "$work/said")"; failures=1; fi
        if [ "$kib" -gt $((limit * 1024)) ]; then echo "TOO MUCH: at most $limit MiB"; failures=1; fi
    done
}
measure evaluate evaluate "$work/dense" --data "$data" --length 256
measure "evaluate, mixture" evaluate "$work/mixture" --data "$data" --length 256
measure generate generate "$work/dense" --prompt "Some words" --max-tokens 2
measure forward forward "$work/dense" --input "$work/ids.safetensors" --output "$work/out.safetensors"
measure "compare --data" compare "$work/dense" "$work/mixture" --data "$data" --length 64 --tokens 256
measure "finetune router" finetune "$work/mixture" --data "$data" --length 64 --batch-tokens 128 --steps 1 -o "$work/out"
measure "finetune --local" finetune "$work/mixture" --local reconstruction --data "$data" --length 64 --steps 1 \
    -o "$work/out"
measure "finetune norms" finetune "$work/dense" --train "norm.*" --data "$data" --length 64 --batch-tokens 128 --steps 1 \
    -o "$work/out"
measure distill distill --teacher "$work/mixture" --student "$work/dense" --train "norm.*" --data "$data" --length 64 \
    --batch-tokens 128 --steps 1 -o "$work/out"
measure train train --preset tiny --tokenizer bytes --data "$work/text.txt" --steps 2 -o "$work/out"
measure "upcycle --verify" upcycle "$work/dense" --experts 2 --top-k 1 --verify -o "$work/out"
measure "convert --verify" convert "$work/dense" --dtype F16 --verify -o "$work/out"
measure "prune --data" prune "$work/mixture" --experts 1 --top-k 1 --criterion reap --data "$data" --tokens 1024 \
    --stats-length 256 -o "$work/out"
measure "densify --data" densify "$work/mixture" --method usage --data "$data" -o "$work/out"
measure "merge --router domain" merge "$work/dense" "$work/dense2" --router-tokens 1024 \
    --router "domain:dense=$work/tokens.bin:uint16,dense2=$work/tokens.bin:uint16" -o "$work/out"
measure "merge --router centroids" merge "$work/dense" "$work/dense2" --router "centroids:$data" --router-tokens 1024 \
    -o "$work/out"
exit "$failures"
