"""Makes an input of FuzzPacked of a small packed file: python seed.py FILE.mtz INPUT (needs the package zstandard)."""
import json, struct, sys
import zstandard

data = open(sys.argv[1], "rb").read()
length, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + length])
del header["__metadata__"]
part = lambda name: data[8 + length + header[name]["data_offsets"][0]:8 + length + header[name]["data_offsets"][1]]
parts = [zstandard.ZstdDecompressor().decompress(part("z/dir"))]
parts += [part(name) for name in sorted(header) if name != "z/dir"]
with open(sys.argv[2], "wb") as out:
    out.write(b"\1" + b"".join(struct.pack("<H", len(p)) + p for p in parts))
