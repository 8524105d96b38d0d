#!/usr/bin/env python3
"""Times the commands of `emstream ebsd` and the same work done by others, one after the other in one run, and prints the ratios.

    python -m venv venv && venv/bin/pip install kikuchipy==0.13.1 pyebsdindex==0.3.10.1 h5py scipy
    venv/bin/python scripts/bench_ebsd.py [--emstream PROGRAM] [--work DIR] [--patterns N] [--templates N] [--only NAME,…] [--json FILE]

Patterns are made by `emstream simulate ebsd`. emstream runs as a program from file to file on the CPU: starting, reading, writing and the
report count. The others work on arrays in memory, after one run to warm up. Both use as many threads as there are cores (--threads). Given for each
are patterns a second by the clock and by CPU seconds (user and system time of all threads), the best of --repeat runs: on a machine with
other work only the latter means much. Ratios are emstream's rate over the other's.

process   static and dynamic background with stretch of 240 × 240 u16, against kikuchipy's two steps, and against a plain loop over patterns
bands     bands of 60 × 60, 120 × 120 and 240 × 240 patterns, against PyEBSDIndex on the CPU
gzip      the sum of all patterns of a gzip-compressed file, against reading them with h5py
compare   the best 20 of a dictionary of 60 × 60 templates for each pattern, against kikuchipy
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATTERNS = "Scan/EBSD/Data/RawPatterns"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--emstream", default=ROOT / "target" / "release" / "emstream", type=pathlib.Path)
    p.add_argument("--work", type=pathlib.Path, help="folder for the patterns (default: a temporary one)")
    p.add_argument("--patterns", type=int, default=2000)
    p.add_argument("--templates", type=int, default=5000)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--only", default="process,bands,gzip,compare")
    p.add_argument("--json", type=pathlib.Path)
    return p.parse_args()


options = arguments()
# Before numpy and numba are loaded.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, str(options.threads))
warnings.filterwarnings("ignore")

import h5py
import numpy as np

rows = []


def row(label, unit, count, times):
    """Keeps and prints a row; `times` are pairs of seconds by the clock and of the CPU."""
    wall, cpu = (min(t[i] for t in times) for i in (0, 1))
    rows.append(dict(name=label, unit=unit, count=count, wall_s=wall, cpu_s=cpu))
    print(f"{label:58s} {count / wall:12.0f} {unit}/s {count / cpu:12.0f} {unit}/CPU s", flush=True)
    return rows[-1]


def ratio(ours, theirs, aim):
    wall, cpu = (theirs[k] / ours[k] * ours["count"] / theirs["count"] for k in ("wall_s", "cpu_s"))
    ours.setdefault("ratios", []).append(dict(to=theirs["name"], wall=wall, cpu=cpu, aim=aim))
    print(f"    ratio to {theirs['name']}: {wall:.2f} by the clock, {cpu:.2f} by CPU seconds (aim {aim})", flush=True)


def program(*args):
    """One run of emstream: seconds by the clock and of the CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    # HDF5's locks would not let the next run open a file that this process still has open.
    environment = dict(os.environ, HDF5_USE_FILE_LOCKING="FALSE")
    args = [str(options.emstream), *map(str, args), "--backend", "cpu", "--threads", str(options.threads), "-q", "--overwrite"]
    subprocess.run(args, check=True, env=environment, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def emstream(label, unit, count, *args):
    return row("emstream " + label, unit, count, [program(*args) for _ in range(options.repeat)])


def other(label, unit, count, work, prepare=lambda: ()):
    def once():
        given = prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            work(*given)
        return time.perf_counter() - wall, time.process_time() - cpu

    once()
    return row(label, unit, count, [once() for _ in range(options.repeat)])


def simulated(folder, edge, count):
    """A file of simulated patterns, a square map or nearly; and their number."""
    ny = max(int(count**0.5), 1)
    nx = count // ny
    path = folder / f"raw{edge}.h5"
    if not path.exists():
        program("simulate", "ebsd", "--nav-shape", f"{ny},{nx}", "--sig-shape", f"{edge},{edge}", "-o", path)
    return path, ny, nx


def patterns(path, dataset=PATTERNS):
    with h5py.File(path) as f:
        return f[dataset][:]


def process(folder):
    path, ny, nx = simulated(folder, 240, options.patterns)
    n = ny * nx
    ours = emstream("ebsd process 240×240 u16, sigma 15, to u8", "patterns", n, "ebsd", "process", path, "-o", folder / "out.h5")
    import kikuchipy as kp

    raw = patterns(path).reshape(ny, nx, 240, 240)
    static = patterns(path, "Scan/EBSD/Data/StaticBackground")

    def both(signal):
        signal.remove_static_background("subtract", show_progressbar=False)
        signal.remove_dynamic_background("subtract", filter_domain="frequency", show_progressbar=False)

    signal = lambda: (kp.signals.EBSD(raw.copy(), static_background=static),)
    ratio(ours, other("kikuchipy static and dynamic background", "patterns", n, both, signal), 5)
    few = raw.reshape(n, 240, 240)[:50]
    loop = other("loop over patterns", "patterns", len(few), lambda: [plain(p, static) for p in few])
    ratio(ours, loop, 30)


def plain(pattern, static, sigma=15.0):
    """The default of `ebsd process` for one pattern, written down plainly: both transforms made anew, a power of two in size."""
    flat = pattern / static.astype(float)
    m = int(3 * sigma)
    g = np.exp(-((np.arange(m) - (3 * sigma - 1) / 2) ** 2) / (2 * sigma**2))
    window = np.outer(g, g) / g.sum() ** 2
    padded = np.pad(flat, [(m // 2, m - 1 - m // 2)] * 2, mode="edge")
    size = [1 << int(np.ceil(np.log2(k))) for k in padded.shape]
    spectrum = np.fft.rfft2(padded, size) * np.fft.rfft2(window[::-1, ::-1], size)
    h, w = pattern.shape
    low = np.fft.irfft2(spectrum, size)[m - 1 : m - 1 + h, m - 1 : m - 1 + w]
    signal = flat / low
    a, b = np.percentile(signal, (1, 99))
    return ((np.clip(signal, a, b) - a) / (b - a) * 255).astype(np.uint8)


def bands(folder):
    from pyebsdindex import ebsd_index

    for edge in (60, 120, 240):
        path, ny, nx = simulated(folder, edge, options.patterns)
        n = ny * nx
        clear = folder / f"clear{edge}.h5"
        program("ebsd", "process", path, "-o", clear)
        ours = emstream(f"ebsd bands {edge}×{edge}", "patterns", n, "ebsd", "bands", clear, "-o", folder / "out.h5")
        data = patterns(clear, "Scan/EBSD/Data/Patterns")
        finder = ebsd_index.EBSDIndexer(
            phaselist=["FCC"], vendor="KIKUCHIPY", PC=np.array([0.42, 0.22, 0.6]), sampleTilt=70.0, camElev=0.0, patDim=(edge, edge)
        )
        find = lambda: finder.bandDetectPlan.find_bands(data, verbose=0, chunksize=256)
        theirs = other(f"PyEBSDIndex find_bands {edge}×{edge}", "patterns", n, find)
        ratio(ours, theirs, 5)


def gzip(folder):
    path, ny, nx = simulated(folder, 240, options.patterns)
    n = min(ny * nx, 2000)
    packed = folder / "gzip.h5"
    with h5py.File(packed, "w") as f:
        f.create_dataset("patterns", data=patterns(path)[:n], chunks=(1, 240, 240), compression="gzip", compression_opts=9)
    ours = emstream("stats of gzip patterns 240×240 u16", "patterns", n, "stats", packed, "--dataset", "patterns", "--ops", "sum", "-o", folder / "out.h5")

    def read():
        with h5py.File(packed) as f:
            stack = f["patterns"]
            for i in range(n):
                stack[i]

    ratio(ours, other("h5py gzip patterns read", "patterns", n, read), 3)


def compare(folder):
    import kikuchipy as kp
    from orix.crystal_map import CrystalMap, PhaseList
    from orix.quaternion import Rotation

    path, ny, nx = simulated(folder, 60, options.patterns)
    n, m = ny * nx, options.templates
    dictionary = folder / "dictionary.npy"
    source, _, _ = simulated(folder, 60, options.patterns)
    stack = patterns(source).astype(np.float32)
    # Mixtures of patterns with noise: as similar to one another as those of a dictionary.
    random = np.random.default_rng(1)
    templates = np.stack([0.7 * stack[random.integers(n)] + 0.3 * stack[random.integers(n)] for _ in range(m)])
    templates += random.normal(0, templates.std() / 10, templates.shape).astype(np.float32)
    np.save(dictionary, templates)
    args = ["ebsd", "compare", path, "--templates", dictionary, "--keep", 20, "-o", folder / "out.h5"]
    ours = emstream(f"ebsd compare 60×60 with {m} templates", "comparisons", n * m, *args)
    phases = PhaseList(names="ni", point_groups="m-3m")
    crystal = lambda: CrystalMap(rotations=Rotation.random(m), phase_list=phases)

    def signals():
        templates_signal = kp.signals.EBSD(templates.copy())
        templates_signal.xmap = crystal()
        return kp.signals.EBSD(stack.reshape(ny, nx, 60, 60).copy()), templates_signal

    theirs = other("kikuchipy dictionary_indexing ncc", "comparisons", n * m, lambda e, t: e.dictionary_indexing(t, metric="ncc", keep_n=20), signals)
    ratio(ours, theirs, 2.5)


with contextlib.ExitStack() as stack:
    folder = options.work or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only.split(","):
        work = {"process": process, "bands": bands, "gzip": gzip, "compare": compare}.get(name)
        if work is None:
            sys.exit(f"--only: `{name}` is none of process, bands, gzip, compare")
        work(folder)
    if options.json:
        options.json.write_text(json.dumps(dict(threads=options.threads, rows=rows), indent=1))
