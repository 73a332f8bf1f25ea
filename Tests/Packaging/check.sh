#!/usr/bin/env bash
# Checks what Tests/Packaging/build.sh made: Tests/Packaging/check.sh [FOLDER], by default .build/package. The program needs no library
# but OpenBLAS, zstd and the system's; it runs in a root that has nothing but those. How fast it starts is told, not tested.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { printf 'Tests/Packaging/check.sh: %s\n' "$*" >&2; exit 1; }
package="$(realpath "${1:-.build/package}")"
program="$package/bin/moe-tool"
[ -x "$program" ] || fail "there is no $program: Tests/Packaging/build.sh makes it"

# What the program asks for by name; the rest is what those ask for.
needed="$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')"
for library in $needed; do
    case "$library" in
    libopenblas.so.* | libzstd.so.*) ;;
    libc.so.* | libm.so.* | libgcc_s.so.* | libstdc++.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libutil.so.* | \
        ld-linux-*) ;;
    *) fail "the program needs $library, which is not on a machine without a toolchain" ;;
    esac
done
readelf -d "$program" | grep -q -E 'RPATH|RUNPATH.*/usr/lib/swift|swift/linux' && fail "the program looks for libraries in a toolchain"
ldd "$program" | grep -q 'not found' && fail "a library is not found: $(ldd "$program" | grep 'not found')"
echo "needs: $(echo $needed)"

# A root with the program, a model, and the libraries that it was linked against: no toolchain, no /usr, no /proc.
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
for library in $(ldd "$program" | grep -o '/[^ ]*' | sort -u); do
    install -D "$(realpath "$library")" "$root$library"
done
install -D "$program" "$root/bin/moe-tool"
mkdir -p "$root/tmp" "$root/models"
cp -r Examples/seed "$root/models/seed"
if ! unshare --user --map-root-user --mount chroot "$root" /bin/moe-tool --version >/dev/null 2>&1; then
    if chroot "$root" /bin/moe-tool --version >/dev/null 2>&1; then
        inside() { chroot "$root" /bin/moe-tool "$@"; }
    elif unshare --user --map-root-user --mount true 2>/dev/null; then
        unshare --user --map-root-user --mount chroot "$root" /bin/moe-tool --version
        fail "the program does not run in a root with nothing but its libraries"
    else
        echo "skipped: no root of its own can be made here (neither unshare nor chroot is allowed)"
        exit 0
    fi
else
    inside() { unshare --user --map-root-user --mount chroot "$root" /bin/moe-tool "$@"; }
fi
inside upcycle --experts 2 /models/seed -o /tmp/moe --quiet > /dev/null
inside inspect /tmp/moe > /dev/null
inside convert --pack /tmp/moe -o /tmp/packed --quiet > /dev/null
printf 'The clean root has words to read. %.0s' $(seq 40) > "$root/tmp/words.txt"
inside evaluate /tmp/packed --data /tmp/words.txt --length 32 > /dev/null
echo "runs in a root with $(find "$root/lib" "$root/lib64" "$root/usr" -type f 2>/dev/null | wc -l) libraries and nothing else"

# The best of 20: what others do on the machine is not the program's.
best=1000000
for _ in $(seq 20); do
    begun=$(date +%s%N)
    "$program" --version > /dev/null
    ended=$(date +%s%N)
    took=$(((ended - begun) / 1000))
    if [ "$took" -lt "$best" ]; then best=$took; fi
done
echo "starts in $((best / 1000)).$((best % 1000 / 100)) ms"
