#!/usr/bin/env bash
# Fuzzes the parsers with libFuzzer for SECONDS (default 60) each: headers, JSON and the index; packed files; quantised
# checkpoints. Ends with an error on the first crash and leaves the input that caused it in Tests/Fuzz. Skips, saying so, where
# the toolchain has no libFuzzer.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-60}"
if ! swift build -c release --sanitize=fuzzer >.build-log.tmp 2>&1; then
    if grep -q "sanitize=fuzzer' is not\|unsupported option\|libclang_rt.fuzzer" .build-log.tmp; then
        echo "this toolchain has no libFuzzer: skipped"
        rm -f .build-log.tmp
        exit 0
    fi
    cat .build-log.tmp
    exit 1
fi
rm -f .build-log.tmp
corpus="$(mktemp -d)"
log="$corpus.log"
trap 'rm -rf "$corpus" "$log"' EXIT
mkdir "$corpus/FuzzHeader" "$corpus/FuzzPacked" "$corpus/FuzzQuantised"
# A byte that says which checkpoint, and a change of its settings, its header and its tensors.
for number in $(seq 0 40); do
    printf "\\x$(printf %02x "$number")\\x00\\x00\\x10\\x31\\x01\\x00\\x20\\x37\\x02\\x00\\x08\\xff" >"$corpus/FuzzQuantised/$number"
done
FIXTURES="$(cd ../Fixtures/quantised && pwd)"
export FIXTURES
printf '\0\004{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' >"$corpus/FuzzHeader/one"
printf '\0\003{"__metadata__":{"format":"pt"},"x":{"dtype":"F6_E2M3","shape":[2,2],"data_offsets":[0,3]},"y":{"dtype":"U8","shape":[0],"data_offsets":[3,3]}}' >"$corpus/FuzzHeader/two"
printf '{"metadata":{"total_size":4},"weight_map":{"a":"model-00001-of-00002.safetensors"}}' >"$corpus/FuzzHeader/index"
cp Packed/* "$corpus/FuzzPacked/"
bin="$(swift build -c release --sanitize=fuzzer --show-bin-path)"
for target in FuzzHeader FuzzPacked FuzzQuantised; do
    # A crash is reported by libFuzzer itself; Swift's own backtracer would sit on it for minutes.
    if SWIFT_BACKTRACE=enable=no "$bin/$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "$corpus/$target" >"$log" 2>&1; then
        printf '%s\n' "$target"
        grep -E "stat::number_of_executed_units|stat::new_units" "$log"
    else
        tail -n 40 "$log"
        exit 1
    fi
done
