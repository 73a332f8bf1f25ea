#!/usr/bin/env bash
# Peak memory of evaluating a model of 1.1 B parameters (BF16, 2.2 GB; 4.4 GB in F32) within --memory 1GiB, and of tuning
# the routers of its upcycle by two (1.9 B). Fails above 1.25 GiB: what weights may take, and activations.
#
#     Tests/Benchmarks/memory.sh [CHECKPOINT]
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-python3}"
[ -x /usr/bin/time ] || { echo "skipped: /usr/bin/time is not there"; exit 0; }
swift build -c release --product moe-tool >&2
tool="$(swift build -c release --show-bin-path)/moe-tool"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
model="${1:-}"
if [ -z "$model" ]; then
    "$python" -c 'import numpy' 2>/dev/null || { echo "skipped: $python has no numpy to make the checkpoint with"; exit 0; }
    model="$work/model"
    "$python" Tests/Benchmarks/make_checkpoint.py "$model" >&2
fi
"$python" -c "open('$work/tokens.bin','wb').write(bytes(b for i in range(2048) for b in (i * 7 % 251, i % 64)))"
measure() { # WHAT COMMAND...: its peak, and the bound
    local what="$1"
    shift
    /usr/bin/time -f '%M %e' -o "$work/time" "$@"
    read -r kib seconds < "$work/time"
    echo "$what: peak $((kib / 1024)) MiB, $seconds s"
    [ "$kib" -le $((1280 * 1024)) ] || { echo "too much: at most 1280 MiB"; exit 1; }
}
measure "evaluating 2048 tokens" \
    "$tool" evaluate "$model" --data "x=$work/tokens.bin:uint16" --length 512 --memory 1GiB --quiet
"$tool" upcycle "$model" --experts 2 -o "$work/mixture" --quiet > /dev/null
measure "tuning routers, 2 steps of 512 tokens" \
    "$tool" finetune "$work/mixture" --data "x=$work/tokens.bin:uint16" --length 256 --batch-tokens 512 --steps 2 \
    --balance switch:0.01 --memory 1GiB -o "$work/tuned" --quiet
