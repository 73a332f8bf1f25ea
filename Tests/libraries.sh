#!/usr/bin/env bash
# Makes sure that the C libraries are there that moe-tool is built with: OpenBLAS (sgemm) and zstd (.jsonl.zst).
set -euo pipefail
if pkg-config --exists openblas libzstd 2>/dev/null; then exit 0; fi
packages=(libopenblas-dev libzstd-dev pkg-config)
if ! command -v apt-get >/dev/null; then
    echo "install OpenBLAS and zstd with their headers, and pkg-config, as your system has them" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq "${packages[@]}"
