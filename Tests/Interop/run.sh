#!/usr/bin/env bash
# Loads what moe-tool writes in other programs and compares what they compute. Skips, saying so, what is not installed.
#
#   PYTHONS="a/bin/python b/bin/python"   interpreters with torch and transformers (default: python3)
#   MODELS="base a b c"                   checkpoints with tokenizers, of llama or mistral: text is generated, and routers' rows
#                                         are made as mergekit does
#   MERGEKIT_MOE=d/bin/mergekit-moe       mergekit, for the latter
#   EXPERIMENT=out                        what Examples/DomainExperts/run.sh wrote (default: where it writes it)
#   MLX_PYTHON=c/bin/python               an interpreter with mlx-lm
set -euo pipefail
cd "$(dirname "$0")/../.."
swift build -c release --product moe-tool | tail -n 1
tool="$(swift build -c release --show-bin-path)/moe-tool"
for python in ${PYTHONS:-python3}; do
    "$python" Tests/Interop/upcycle.py "$tool"
    "$python" Tests/Interop/tokenizer_kinds.py "$tool"
    "$python" Tests/Interop/merge.py "$tool"
    if "$python" -c "import compressed_tensors" 2>/dev/null; then "$python" Tests/Interop/quantised.py "$tool"; fi
    if [ -n "${MOE_TOOL_SHARED:-}" ]; then "$python" Tests/Interop/quantised_moves.py "$tool" "$MOE_TOOL_SHARED/golden/quantised"; fi
    "$python" Tests/Interop/experiment.py ${EXPERIMENT:+"$EXPERIMENT"}
    if [ -n "${MODELS:-}" ]; then
        "$python" Tests/Interop/generate.py "$tool" $MODELS
        "$python" Tests/Interop/gates.py "$tool" $MODELS
    fi
done
python3 Tests/Interop/evaluate.py "$tool" ${MOE_TOOL_SHARED:+"$MOE_TOOL_SHARED"}
if [ -n "${MLX_PYTHON:-}" ]; then
    "$MLX_PYTHON" Tests/Interop/mlx_load.py "$tool"
else
    echo "mlx-lm skipped: name an interpreter that has it in MLX_PYTHON"
fi
