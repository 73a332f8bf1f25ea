#!/usr/bin/env bash
# Builds the DocC catalogues of MoEToolkit and Safetensors, warnings as errors: Tests/Packaging/documentation.sh [FOLDER], by default
# .build/documentation. Uses docc and the symbol graphs of the toolchain; no plug-in is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="${1:-.build/documentation}"
docc="$(command -v docc || true)"
[ -n "$docc" ] || docc="$(dirname "$(readlink -f "$(command -v swift)")")/docc"
if ! [ -x "$docc" ]; then
    echo "skipped: there is no docc in this toolchain"
    exit 0
fi
swift build --product moe-tool 2>&1 | tail -n 1
modules="$(swift build --show-bin-path)/Modules"
for module in Safetensors MoEToolkit; do
    graphs="$(mktemp -d)"
    flags=()
    for map in .build/checkouts/*/Sources/*/include Sources/CPlatform/include; do
        [ -f "$map/module.modulemap" ] && flags+=(-Xcc "-fmodule-map-file=$map/module.modulemap")
    done
    swift symbolgraph-extract -module-name "$module" -target "$(swift -print-target-info | sed -n 's/.*"triple" *: *"\(.*\)".*/\1/p' | head -n 1)" \
        -I "$modules" -I Sources/CPlatform/include "${flags[@]}" -output-dir "$graphs" -minimum-access-level public
    mkdir -p "$target"
    "$docc" convert "Sources/$module/$module.docc" --additional-symbol-graph-dir "$graphs" --warnings-as-errors \
        --fallback-display-name "$module" --fallback-bundle-identifier "moe-tool.$module" \
        --output-path "$target/$module.doccarchive"
    rm -rf "$graphs"
done
echo "$target: $(ls "$target")"
