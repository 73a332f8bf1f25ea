#!/usr/bin/env bash
# Makes what one carries to a machine without a Swift toolchain: Tests/Packaging/build.sh [FOLDER], by default .build/package.
# FOLDER then has bin/moe-tool, completions for bash, zsh and fish, and the manual page, laid out as under /usr/local.
set -euo pipefail
cd "$(dirname "$0")/../.."

target="${1:-.build/package}"
scratch=".build/static"
# The libraries of the toolchain become part of the program; sections that nothing calls are left out.
swift build -c release --product moe-tool --static-swift-stdlib --scratch-path "$scratch" -Xlinker --gc-sections
program="$scratch/release/moe-tool"

rm -rf "$target"
install -D -m 755 "$program" "$target/bin/moe-tool"
strip "$target/bin/moe-tool"
complete() { "$target/bin/moe-tool" --generate-completion-script "$1"; }
mkdir -p "$target/share/bash-completion/completions" "$target/share/zsh/site-functions" \
    "$target/share/fish/vendor_completions.d" "$target/share/man/man1"
complete bash > "$target/share/bash-completion/completions/moe-tool"
complete zsh > "$target/share/zsh/site-functions/_moe-tool"
complete fish > "$target/share/fish/vendor_completions.d/moe-tool.fish"
"$target/bin/moe-tool" manual > "$target/share/man/man1/moe-tool.1"
echo "$target: $(du -h "$target/bin/moe-tool" | cut -f1) of program"
