#!/usr/bin/env python3
"""What coding saves in frames, beside zlib and LZMA: a Markdown table.

Usage: compression.py RECODE FRAMES...
RECODE is the program qcnet_recode; each of FRAMES is a file that `node NODE PICTURES -o X.frames` wrote, without
--compress. Where there is an X.entropy.safetensors (weights/entropy.py), it is measured, too. All sizes are means over a
file's frames, each compressed by itself, of the bits alone: a frame's header and checksum come on top (32 bytes and the
description of its map). zlib and LZMA are at their best level, without their own headers and checksums. Needs numpy.
"""
import lzma
import pathlib
import subprocess
import sys
import zlib

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "weights"))
from qcnet_train import frames  # noqa: E402 - it is found there


def payloads(path):
    """The bits of each frame, all maps behind each other."""
    _, maps = frames.read(path)
    return [b"".join(bits.tobytes() for bits in of_maps) for of_maps in zip(*(packed for _, packed in maps.values()))]


def zlib_size(data):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return len(compressor.compress(data) + compressor.flush())


def lzma_size(data):
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20}]  # as much as there is
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=filters))


def cells(raw, coded, encode, decode, encode_ns, decode_ns):
    return (f"{float(coded):.0f} ({100 * float(coded) / raw:.0f} %) | {float(encode):.3f}, {float(decode):.3f} |"
            f" {float(encode_ns):.0f}, {float(decode_ns):.0f}")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    recoded = subprocess.run(sys.argv[1:], check=False, capture_output=True, text=True)
    if recoded.returncode:
        sys.exit(recoded.stderr.strip() or f"{sys.argv[1]}: ended with {recoded.returncode}")
    print("| frames of | bits, bytes | zlib -9 | LZMA | --compress | ms | ns a bit | --entropy-model | ms | ns a bit |")
    print("|---" * 10 + "|")
    found = {}
    for name, *figures in (line.split("\t") for line in recoded.stdout.splitlines()):
        found.setdefault(name, []).append(figures)
    for name, coders in found.items():
        path, count, raw = pathlib.Path(name), int(coders[0][0]), float(coders[0][1])
        data = payloads(path)
        sizes = [sum(map(size, data)) / count for size in (zlib_size, lzma_size)]
        row = [f"{path.stem}, {count} pictures", f"{raw:.0f}", *(f"{size:.0f} ({100 * size / raw:.0f} %)" for size in sizes),
               *(cells(raw, *coder[2:]) for coder in coders), *([" | | "] if len(coders) == 1 else [])]
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
