#!/usr/bin/env bash
# Upcycles the small dense checkpoint beside this script to eight experts, inspects the result, and shows that every
# expert is the dense network. Stops at the first failure and says why.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'Examples/quickstart.sh: %s\n' "$*" >&2; exit 1; }

command -v swift >/dev/null || fail "no Swift toolchain found: install Swift 6.2 or newer from swift.org"

step "Libraries: OpenBLAS and zstd (installed with apt-get where they are missing)"
Tests/libraries.sh || fail "install them by hand: libopenblas-dev, libzstd-dev and pkg-config on Debian"

step "Building moe-tool (release)"
swift build -c release --product moe-tool || fail "the build failed: see the errors above"
tool="$(swift build -c release --show-bin-path)/moe-tool"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

step "The dense model: moe-tool inspect Examples/seed"
"$tool" inspect Examples/seed

step "Dense to mixture of experts: moe-tool upcycle --experts 8 Examples/seed"
"$tool" upcycle --experts 8 Examples/seed -o "$work/seed-8x"

step "The result: moe-tool inspect seed-8x"
"$tool" inspect "$work/seed-8x"

step "Every expert is the dense network: moe-tool compare Examples/seed seed-8x --exact"
"$tool" compare Examples/seed "$work/seed-8x" --exact || fail "the result is not the dense model's function"

printf '\nDone. Upcycle a model of your own: %s upcycle --experts 8 PATH\n' "$tool"
