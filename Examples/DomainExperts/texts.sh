#!/usr/bin/env bash
# Makes domain text: OUT/train/DOMAIN/ and OUT/heldout/DOMAIN/, a file for each document.
#
#     texts.sh OUT [DIR]
#
# DIR has a folder for each domain, with text of any name or .jsonl; long files are cut into documents. Without it the domains
# are what a Debian machine has: the Python library, licences, manual pages, the start of each file. What is absent is replaced
# by the sources of this project.
set -euo pipefail
out="$1"
texts="${2:-}"
here="$(cd "$(dirname "$0")/../.." && pwd)"
train_bytes=2000000
heldout_bytes=140000
# A document that gzip makes smaller than this share of it, in percent, is a table of data and is left out.
smallest_share=0

say() { printf '%s\n' "$*" >&2; }

# Reads paths of documents, in an order that is the same every time but is not that of their names: what lies together is
# alike, and one file in twelve is held out.
collect() {
    local domain="$1" render="$2" train=0 heldout=0 number=0 path size place
    mkdir -p "$out/train/$domain" "$out/heldout/$domain"
    while IFS= read -r path; do
        if [ "$train" -ge "$train_bytes" ] && [ "$heldout" -ge "$heldout_bytes" ]; then break; fi
        number=$((number + 1))
        if [ $((number % 12)) -eq 0 ]; then place=heldout; else place=train; fi
        if [ "$place" = heldout ] && [ "$heldout" -ge "$heldout_bytes" ]; then continue; fi
        if [ "$place" = train ] && [ "$train" -ge "$train_bytes" ]; then continue; fi
        "$render" "$path" 2>/dev/null | head -c 30000 | iconv -c -f utf-8 -t utf-8 >"$out/document" || true
        size=$(stat -c %s "$out/document")
        [ "$size" -ge 500 ] || continue
        [ $(($(gzip -1 <"$out/document" | wc -c) * 100)) -ge $((size * smallest_share)) ] || continue
        mv "$out/document" "$out/$place/$domain/$number.txt"
        if [ "$place" = train ]; then train=$((train + size)); else heldout=$((heldout + size)); fi
    done < <(sort | shuf --random-source=<(yes))
    rm -f "$out/document"
    if [ "$train" -ge 300000 ] && [ "$heldout" -ge 20000 ]; then
        say "text: $domain, $((train / 1000)) kB to train on, $((heldout / 1000)) kB held out"
    else
        rm -rf "$out/train/$domain" "$out/heldout/$domain"
        say "text: $domain is absent or too little ($((train / 1000)) kB to train on, $((heldout / 1000)) kB held out; 300 and 20 are needed)"
        return 1
    fi
}

page() { MANWIDTH=80 MAN_KEEP_FORMATTING= man -P cat "$1"; }

# One licence stands in many packages: the first line that tells them apart is the name, so equal files count once.
distinct() { xargs -r -d '\n' md5sum | sort | awk '!seen[$1]++' | cut -c 35-; }

if [ -n "$texts" ]; then
    for folder in "$texts"/*/; do
        domain="$(basename "$folder")"
        if compgen -G "$folder*.jsonl" >/dev/null; then
            mkdir -p "$out/train/$domain" "$out/heldout/$domain"
            cat "$folder"*.jsonl | LC_ALL=C awk -v train="$out/train/$domain/text.jsonl" -v heldout="$out/heldout/$domain/text.jsonl" \
                -v most="$train_bytes" -v few="$heldout_bytes" '
                NR % 12 == 0 && h < few { print > heldout; h += length($0); next }
                NR % 12 != 0 && t < most { print > train; t += length($0) }'
            [ -s "$out/heldout/$domain/text.jsonl" ] || { say "text: $domain has too few documents: 12 or more are needed"; exit 2; }
            say "text: $domain, from .jsonl"
        else
            mkdir -p "$out/pieces"
            number=0
            while IFS= read -r path; do
                number=$((number + 1))
                head -c 4000000 "$path" | split -C 30000 -a 4 -d - "$out/pieces/$number-"
            done < <(find "$folder" -type f -size +0 | sort)
            find "$out/pieces" -type f | collect "$domain" cat || exit 2
            rm -rf "$out/pieces"
        fi
    done
else
    absent=0
    smallest_share=20
    find /usr/lib/python3.* /usr/local/lib/python3.* -name '*.py' -size +2k -size -200k -not -path '*/test*' \
        -not -path '*/encodings/*' -not -path '*-packages/*' 2>/dev/null | collect python cat || absent=$((absent + 1))
    find /usr/share/doc/*/copyright /usr/share/common-licenses -type f -size +1k 2>/dev/null | distinct | collect law cat ||
        absent=$((absent + 1))
    if command -v man >/dev/null; then
        find /usr/share/man/man[1578] -type f -size +1k 2>/dev/null | collect manual page || absent=$((absent + 1))
    else
        say "text: manual pages are absent"
        absent=$((absent + 1))
    fi
    if [ "$absent" -gt 0 ]; then
        say "text: instead of what is absent, the Swift sources of this project"
        find "$here/Sources" "$here/Tests" "$here/Examples/BuildScript/Sources" -name '*.swift' -size +1k -not -path '*/.build/*' | collect swift cat
    fi
fi
[ "$(find "$out/train" -mindepth 1 -maxdepth 1 -type d | wc -l)" -ge 2 ] || {
    say "text: experts of domains need two domains or more: give --text DIR, a folder with a folder for each"
    exit 2
}
