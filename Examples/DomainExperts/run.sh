#!/usr/bin/env bash
# The whole of Branch-Train-MiX on text: a tokenizer, a seed, a branch of it for each domain, the branches merged to a mixture,
# its routers tuned, all it is compared with at equal tokens, a dense model and a smaller mixture made of it, and one report.
#
#     Examples/DomainExperts/run.sh [--quick] [--text DIR] [--out DIR]
#
# DIR has a folder of text for each domain; without it the text is what a Debian machine has. Started again, it continues
# where it stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { printf 'run.sh: %s\n' "$*" >&2; exit 2; }

quick="" texts="" out=""
while [ $# -gt 0 ]; do
    case "$1" in
    --quick) quick=yes; shift ;;
    --text) texts="${2:?--text takes a folder}"; shift 2 ;;
    --out) out="${2:?--out takes a folder}"; shift 2 ;;
    *) fail "$1 is not known: [--quick] [--text DIR] [--out DIR]" ;;
    esac
done
[ -z "$texts" ] || [ -d "$texts" ] || fail "$texts is no folder"
[ -n "$out" ] || out="Examples/DomainExperts/out${quick:+-quick}"

# Updates, of 4096 tokens each: of the seed, of each branch, of what follows the merge, and of the distillation.
if [ -n "$quick" ]; then seed=80 branch=24 after=20 last=10; else seed=750 branch=200 after=150 last=80; fi

mkdir -p "$out"
printf '%s\n' "quick=$quick texts=$texts steps=$seed,$branch,$after,$last" >"$out/settings.new"
if [ -e "$out/settings" ] && ! cmp -s "$out/settings" "$out/settings.new"; then
    fail "$out is of a run with other settings ($(cat "$out/settings")): give another --out, or remove it"
fi
mv "$out/settings.new" "$out/settings"

if [ -z "${MOE_TOOL:-}" ]; then
    Tests/libraries.sh >&2
    swift build -c release --product moe-tool >&2
    MOE_TOOL="$(swift build -c release --show-bin-path)/moe-tool"
fi

started=$(date +%s)
# step NAME COMMAND...: makes OUT/NAME unless it is there. A training that was interrupted goes on from its last state.
step() {
    local name="$1"
    shift
    if [ -e "$out/$name" ]; then
        printf '== %s: done before\n' "$name" >&2
        return
    fi
    printf '== %s (after %d s)\n' "$name" $(($(date +%s) - started)) >&2
    "$MOE_TOOL" "$@" -o "$out/$name"
}

if [ ! -e "$out/text" ]; then
    printf '== text\n' >&2
    rm -rf "$out/text.new"
    Examples/DomainExperts/texts.sh "$out/text.new" "$texts"
    mv "$out/text.new" "$out/text"
fi
domains=()
for folder in "$out"/text/train/*/; do domains+=("$(basename "$folder")"); done
count=${#domains[@]}
# A branch is called as its domain, and must not be taken for another step's result.
for domain in "${domains[@]}"; do
    case "$domain" in
    text | tokenizer | seed | soup | merged | routers-tuned | all-tuned | *-continued | upcycled | densified | distilled | pruned | *.*)
        fail "a domain cannot be called $domain: rename its folder and remove $out" ;;
    esac
done

heldout=(--heldout "$out/text/heldout" --heldout-tokens 8192)
common=(--length 128 --warmup 10 --resume)
all=(--data "$out/text/train" "${heldout[@]}" "${common[@]}")
# As many tokens as all branches and what follows the merge have.
equal=$((count * branch + after))

step tokenizer tokenizer train --data "$out/text/train" --vocab-size 2048
step seed train --preset tiny --tokenizer-from "$out/tokenizer" "${all[@]}" --steps "$seed" --lr 3e-3
for domain in "${domains[@]}"; do
    step "$domain" finetune "$out/seed" --train all --data "$domain=$out/text/train/$domain" "${heldout[@]}" "${common[@]}" \
        --steps "$branch" --lr 8e-4
done
branches=("${domains[@]/#/$out/}")
# The seed is an expert too, as in the paper: it knows what no branch was trained on.
members=(--base "$out/seed" --include-base "${branches[@]}")
experts=$((count + 1))
step soup merge --dense "${members[@]}"
step merged merge "${members[@]}"
step routers-tuned finetune "$out/merged" "${all[@]}" --steps "$after"
step all-tuned finetune "$out/merged" --train all --balance hf:0.01 "${all[@]}" --steps "$after" --lr 1.5e-3
step dense-continued finetune "$out/seed" --train all "${all[@]}" --steps "$equal" --lr 1.5e-3
step upcycled upcycle "$out/seed" --experts "$experts" --top-k 2
step upcycled-continued finetune "$out/upcycled" --train all --balance hf:0.01 "${all[@]}" --steps "$equal" --lr 1.5e-3
step densified densify "$out/all-tuned"
step distilled densify "$out/all-tuned" --distill --base "$out/seed" "${all[@]}" --steps "$last"
step pruned prune "$out/all-tuned" --experts "$count" --top-k 2 --data "$out/text/train" --tokens 16384

models=("$out/seed" "${branches[@]}")
for name in soup merged routers-tuned all-tuned dense-continued upcycled-continued densified distilled pruned; do
    models+=("$out/$name")
done
ensemble=()
for model in "$out/seed" "${branches[@]}"; do ensemble+=(--ensemble-of "$model"); done
metrics=()
for file in "$out"/*.metrics.jsonl; do metrics+=(--metrics "$file"); done
limit=()
if [ -n "$quick" ]; then limit=(--tokens 16384); fi
printf '== evaluation (after %d s)\n' $(($(date +%s) - started)) >&2
"$MOE_TOOL" evaluate "${models[@]}" "${ensemble[@]}" --data "$out/text/heldout" --length 128 ${limit[@]+"${limit[@]}"} \
    "${metrics[@]}" --report "$out/report.html" --force | tee "$out/table.txt"
printf 'report: %s (after %d s)\n' "$out/report.html" $(($(date +%s) - started)) >&2
