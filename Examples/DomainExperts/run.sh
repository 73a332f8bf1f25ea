#!/usr/bin/env bash
# Branch-Train-MiX with real branches: merges three domain models, trains the router, makes a dense model of the result
# with and without distillation, and evaluates all of them on held-out text.
#
#     Examples/DomainExperts/run.sh [MODELS] [CORPUS] [OUT]
#
# MODELS has the folders seed, python, law and manual; CORPUS has NAME.train.jsonl and NAME.heldout.jsonl for each domain.
set -euo pipefail
cd "$(dirname "$0")/../.."
models="${1:-../shared/models}"
corpus="${2:-../shared/corpus}"
out="${3:-$(mktemp -d)}"
[ -d "$models/seed" ] && [ -d "$corpus" ] || { echo "skipped: $models and $corpus are not there"; exit 0; }
swift build -c release --product moe-tool >&2
tool="$(swift build -c release --show-bin-path)/moe-tool"
mkdir -p "$out/heldout"
data=()
for domain in python law manual; do
    data+=(--data "$domain=$corpus/$domain.train.jsonl")
    cp "$corpus/$domain.heldout.jsonl" "$out/heldout/"
done
train=("${data[@]}" --length 128 --heldout "$out/heldout" --heldout-tokens 8192 --dtype F32)

"$tool" merge --dense "$models/python" "$models/law" "$models/manual" -o "$out/soup" --force --quiet
"$tool" merge "$models/python" "$models/law" "$models/manual" -o "$out/merged" --force --quiet
"$tool" finetune "$out/merged" "${train[@]}" --steps 300 --lr 3e-2 --warmup 10 -o "$out/tuned" --force
"$tool" finetune "$out/merged" "${train[@]}" --train all --balance hf:0.01 --steps 200 --warmup 10 -o "$out/all" --force
"$tool" densify "$out/all" -o "$out/dense" --force --quiet
"$tool" densify "$out/all" --learn-mixture "${data[@]}" --length 128 --steps 30 --lr 5e-2 -o "$out/learned" --force
again=("${train[@]}" --steps 100 --warmup 10 --base "$models/seed" --force)
"$tool" densify "$out/all" --distill "${again[@]}" -o "$out/distilled"
"$tool" distill --teacher "$out/all" --student "$out/dense" --alpha 0 "${again[@]}" -o "$out/continued"
"$tool" evaluate "$models"/{seed,python,law,manual} "$out"/{soup,merged,tuned,all,dense,learned,distilled,continued} \
    --data "$out/heldout" --length 128
