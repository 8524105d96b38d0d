#!/usr/bin/env python3
"""How fast scans of uncompressed formats are read beside raw binary of the same pixels: scripts/bench_formats.py EMSTREAM [FOLDER] [--mib 512] [--runs 7]

Makes a file of each format (FOLDER needs room for some 13 of them; default: a temporary one), then times `EMSTREAM stats --ops mean` on each
and on the raw file by turns, and prints medians of the ratios. Everything comes from the page cache.
"""

import argparse
import random
import statistics
import struct
import subprocess
import tempfile
import time
from array import array
from pathlib import Path

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("emstream")
arguments.add_argument("folder", nargs="?", type=Path)
arguments.add_argument("--mib", type=int, default=512)
arguments.add_argument("--runs", type=int, default=7)
arguments = arguments.parse_args()

EDGE = 256  # pixels; 128 for EMPAD
EMPAD = 128


def tiles(count, size):
    """`count` frames out of a few different ones."""
    rng = random.Random(1)
    different = [rng.randbytes(size) for _ in range(16)]
    return (different[i % 16] for i in range(count))


def write(path, frames, head=b"", before=lambda i: b"", after=b"", tail=b""):
    with open(path, "wb") as file:
        file.write(head)
        for i, frame in enumerate(frames):
            file.write(before(i) + frame + after)
        file.write(tail)
    return path


def mib_header(i):
    rest = ",".join(["1.000000E+1"] + ["5.110000E+2"] * 7)
    text = f"MQ1,{i + 1:06d},00384,01,{EDGE:04d},{EDGE:04d},U16,   1x1,01,2024-05-06 07:08:09.000001,0.001000,0,0,0,{rest}"
    text += ",3RX,175,511,000,000,MQ1A,2024-05-06T07:08:09.000001178Z,1000000ns,12,"
    return text.encode().ljust(384, b"\0")


def mrc_header(count):
    words = array("i", [EDGE, EDGE, count, 6, 0, 0, 0, EDGE, EDGE, count]).tobytes().ljust(64, b"\0")
    return (words + array("i", [1, 2, 3]).tobytes()).ljust(208, b"\0") + b"MAP \x44\x44\0\0".ljust(1024 - 208, b"\0")


def ser_parts(count, size):
    """Header, what comes before and after each image, and the list of places."""
    text, unit = b"Position", b"m"
    dimension = struct.pack("<IddI", count, 0.0, 2e-9, 0) + struct.pack("<I", len(text)) + text + struct.pack("<I", len(unit)) + unit
    start = 34 + len(dimension)
    before = struct.pack("<ddIddIHII", 0, 3e-9, 0, 0, 2e-9, 0, 2, EDGE, EDGE)
    after = struct.pack("<HHI", 0x4152, 0, 1700000000)
    step = len(before) + size + len(after)
    head = struct.pack("<HHHIIIIQI", 0x4949, 0x0197, 0x0220, 0x4122, 0x4152, count, count, start + count * step, 1)
    places = array("Q", (start + i * step for i in range(count)))
    tags = array("Q", (start + i * step + len(before) + size for i in range(count)))
    return head + dimension, before, after, places.tobytes() + tags.tobytes()


def files(folder):
    """(format, file, flags, raw file with the same pixels, its flags)."""
    size = 2 * EDGE * EDGE
    count = arguments.mib * (1 << 20) // size
    raw = write(folder / "u16.raw", tiles(count, size))
    swapped = folder / "u16be.raw"
    floats = folder / "f32.raw"
    how = ["--sig-shape", f"{EDGE},{EDGE}", "--dtype"]
    write(swapped, tiles(count, size))
    yield "MIB", write(folder / "a.mib", tiles(count, size), before=mib_header), [], swapped, how + [">u2"]
    yield "MRC", write(folder / "a.mrc", tiles(count, size), mrc_header(count)), [], raw, how + ["u16"]
    head, before, after, tail = ser_parts(count, size)
    yield "SER", write(folder / "a_1.ser", tiles(count, size), head, lambda i: before, after, tail), [], raw, how + ["u16"]
    head = struct.pack("<13i", 256, 2, EDGE, EDGE, 16, 0, 0, 1, 1, 0, 0, 200, 64).ljust(256, b"\0")
    yield "TVIPS", write(folder / "a_000.tvips", tiles(count, size), head, lambda i: struct.pack("<IIi", i, 0, 0).ljust(64, b"\0")), [], raw, how + ["u16"]
    frame = 4 * EMPAD * EMPAD
    many = arguments.mib * (1 << 20) // frame
    write(floats, (array("f", map(float, f[: frame // 4])).tobytes() for f in tiles(many, frame)))
    data = (array("f", map(float, f[: frame // 4])).tobytes() for f in tiles(many, frame))
    write(folder / "scan_x1_y1.raw", data, after=bytes(1024))
    series = '<scan_parameters mode="acquire"><series_count>%d</series_count></scan_parameters>' % many
    (folder / "a.xml").write_text(f'<?xml version="1.0" ?>\n<root><raw_file filename="scan_x1_y1.raw"/>{series}</root>\n')
    yield "EMPAD", folder / "a.xml", [], floats, ["--sig-shape", f"{EMPAD},{EMPAD}", "--dtype", "f32"]
    for name, ending in [("npy", "npy"), ("TIFF", "tif"), ("HDF5", "h5"), ("EMD", "emd"), (".hspy", "hspy"), (".zspy", "zspy")]:
        path = folder / f"c.{ending}"
        subprocess.run([arguments.emstream, "convert", raw, *how, "u16", "-o", path, "--compression", "none"], check=True, capture_output=True)
        yield name, path, [], raw, how + ["u16"]


def seconds(path, flags):
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        command = [arguments.emstream, "stats", path, *flags, "--ops", "mean", "--backend", "cpu", "-o", f"{out}/s.h5"]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begin


with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
    print(f"{arguments.mib} MiB a file, {arguments.runs} runs\nformat   raw s   format s   raw/format (median, least, most)")
    for name, path, flags, raw, how in files(Path(folder)):
        seconds(path, flags), seconds(raw, how)  # into the page cache
        times = [(seconds(raw, how), seconds(path, flags)) for _ in range(arguments.runs)]
        ratios = [a / b for a, b in times]
        medians = [statistics.median(t) for t in zip(*times)]
        print(f"{name:8s} {medians[0]:5.2f}   {medians[1]:8.2f}   {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})", flush=True)
