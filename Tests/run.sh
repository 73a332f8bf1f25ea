#!/usr/bin/env bash
# Builds moe-tool, runs its tests, checks the formatting, and runs the quick example. Stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'Tests/run.sh: %s\n' "$*" >&2; exit 1; }

command -v swift >/dev/null || fail "no Swift toolchain found: install Swift 6.2 or newer from swift.org"

step "libraries: OpenBLAS, zstd"
Tests/libraries.sh || fail "the C libraries cannot be installed: see the errors above"

step "formatting: swift format lint"
swift format lint --strict --recursive --parallel Package.swift Formats Sources Tests ||
    fail "the formatting differs from .swift-format: 'swift format -i -r -p Package.swift Formats Sources Tests' mends most"

step "release build"
swift build -c release --product moe-tool 2>&1 | tee .build-log.tmp | tail -n 3 || { cat .build-log.tmp; fail "the build failed"; }
if grep -E '^/.*warning:' .build-log.tmp | grep -v '/checkouts/'; then rm -f .build-log.tmp; fail "the build has warnings"; fi
rm -f .build-log.tmp

step "example: Examples/quickstart.sh"
Examples/quickstart.sh

step "example: Examples/BuildScript"
model="$(pwd)/Examples/seed"
target="$(mktemp -d)"
cp README.md "$target/text.txt"
cp CONTRIBUTING.md "$target/held-out.txt"
mkdir "$target/out"
(cd Examples/BuildScript && swift run -c release --quiet BuildScript "$target/out" "$model" "$target/text.txt" "$target/held-out.txt")
cmp "$model/model.safetensors" "$target/out/dense/model.safetensors" ||
    fail "densifying the upcycled model did not give it back"
[ -s "$target/out/report.html" ] || fail "the build script wrote no report"
rm -rf "$target"

step "package: a program without the toolchain's libraries"
Tests/Packaging/build.sh > /dev/null
Tests/Packaging/check.sh

if [ "${FUZZ_SECONDS:-20}" != 0 ] && [ -x Tests/Fuzz/run.sh ]; then
    step "fuzzing the parsers for ${FUZZ_SECONDS:-20} seconds each"
    Tests/Fuzz/run.sh "${FUZZ_SECONDS:-20}"
fi

step "tests"
swift build -c release --build-tests 2>&1 | tail -n 1
swift test -c release --skip-build
