#!/usr/bin/env python3
"""Crystallite maps of bullseye scans: emstream beside LiberTEM and scikit-learn, both against the truth.

    python -m venv venv && venv/bin/pip install libertem==0.16.0 "libertem-blobfinder[hdbscan]==0.6.1" scikit-learn h5py scipy
    venv/bin/python scripts/compare_bullseye.py --emstream target/release/emstream [--work DIR] [--time]
    venv/bin/python scripts/compare_bullseye.py --emstream … --scan SCAN.h5 TRUTH.npy [--scan …]

Simulates five scans with other seeds, doses down to 50 electrons a frame, and 3 px of descan (or takes the given ones), runs the
published analysis (log-sum, template, log of the standard deviation, 500 peaks, feature vectors, ward) with LiberTEM, and
`emstream cluster` with the same template and the same number of clusters, that of the truth. Prints the adjusted Rand
index of each against the truth. With --time also prints seconds and peak memory of both for each scan, each in a process of
its own with two cores, one after the other.
"""
import os

for _v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_v, "1")

import argparse
import functools
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

SPEC = "bullseye:2.8,8,11.5,16,cross=1,size=31"
SCANS = [(101, 7000), (102, 1000), (103, 300), (104, 100), (105, 50)]
PEAKS = 500


def dataset_of(path):
    """The only four-dimensional dataset of a file."""
    found = []
    with h5py.File(path) as f:
        f.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) and o.ndim == 4 else None)
    return found[0]


def template():
    """The same image as SPEC."""
    import libertem.masks as masks
    c, y, x = 15, *np.ogrid[0:31, 0:31]
    r2 = (x - c) ** 2 + (y - c) ** 2
    kw = dict(centerX=c, centerY=c, imageSizeX=31, imageSizeY=31, antialiased=True)
    t = masks.circular(**kw, radius=2.8) + masks.ring(**kw, radius=11.5, radius_inner=8)
    t[t == 0] = -0.01
    t[((abs(y - c) <= 1) | (abs(x - c) <= 1)) & (r2 >= 64)] = -0.01
    t[r2 > 256] = 0
    return masks.balance(t)


def libertem(path, clusters, workers):
    """Labels by the published analysis; `workers` 1 runs in this process."""
    import libertem.api as lt
    import sklearn.cluster
    from libertem.executor.inline import InlineJobExecutor
    from libertem.udf.logsum import LogsumUDF
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.stddev import run_stddev
    from libertem_blobfinder.common import correlation, patterns
    from sklearn.feature_extraction.image import grid_to_graph
    ctx = lt.Context(executor=InlineJobExecutor()) if workers == 1 else lt.Context.make_with("dask", cpus=workers, gpus=0)
    ds = ctx.load("HDF5", path=str(path), ds_path=dataset_of(path))
    (y, x), (fy, fx) = ds.shape.nav, ds.shape.sig
    pattern = patterns.UserTemplate(template())
    logsum = ctx.run_udf(dataset=ds, udf=LogsumUDF())["logsum"].data
    correlation.get_peaks(logsum, match_pattern=pattern, num_peaks=1)
    std = np.asarray(run_stddev(ctx, ds)["std"])
    peaks = correlation.get_peaks(np.log(std - np.min(std) + 1), match_pattern=pattern, num_peaks=PEAKS)
    stack = functools.partial(patterns.feature_vector, imageSizeX=fx, imageSizeY=fy, peaks=peaks, match_pattern=pattern)
    udf = ApplyMasksUDF(mask_factories=stack, use_sparse=True, mask_count=len(peaks), mask_dtype=np.float32)
    raw = ctx.run_udf(dataset=ds, udf=udf)["intensity"].data
    vectors = (raw / np.abs(raw).mean(axis=(0, 1))).reshape(y * x, -1)
    ward = sklearn.cluster.AgglomerativeClustering(
        linkage="ward", connectivity=grid_to_graph(n_x=y, n_y=x), n_clusters=clusters)
    labels = ward.fit(vectors).labels_.reshape(y, x)
    # The notebook goes on with the log-sum of each cluster.
    for c in range(clusters):
        ctx.run_udf(dataset=ds, udf=LogsumUDF(), roi=labels == c)
    ctx.close()
    return labels


def emstream(program, path, clusters, out, *flags):
    number = ["--clusters", str(clusters)]
    subprocess.run([program, "-q", "--backend", "cpu", "--overwrite", "cluster", path, "-o", out, "--dataset", dataset_of(path),
                    "--template", SPEC, "--log-std", "--feature-peaks", str(PEAKS), "--position-weight", "0", *number, *flags],
                   check=True, stdout=subprocess.DEVNULL)
    with h5py.File(pathlib.Path(out) / "result.h5") as f:
        return f["clusters/labels"][:]


def measured(command):
    """Seconds and peak memory (MiB, largest process) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--emstream", default="target/release/emstream")
    ap.add_argument("--work", type=pathlib.Path, help="keep scans and results here")
    ap.add_argument("--scan", nargs=2, action="append", metavar=("SCAN", "TRUTH.npy"))
    ap.add_argument("--time", action="store_true")
    ap.add_argument("--libertem-only", nargs=2, metavar=("SCAN", "CLUSTERS"), help=argparse.SUPPRESS)
    ap.add_argument("--emstream-only", nargs=2, metavar=("SCAN", "CLUSTERS"), help=argparse.SUPPRESS)
    args = ap.parse_args()
    keep = tempfile.TemporaryDirectory()
    work = args.work or pathlib.Path(keep.name)
    work.mkdir(parents=True, exist_ok=True)
    if args.libertem_only:
        libertem(args.libertem_only[0], int(args.libertem_only[1]), 2)
        return
    if args.emstream_only:
        emstream(args.emstream, args.emstream_only[0], args.emstream_only[1], work / "timed")
        return
    from sklearn.metrics import adjusted_rand_score
    scans = []
    for path, truth in args.scan or []:
        scans.append((path, np.load(truth)))
    for seed, electrons in [] if args.scan else SCANS:
        path = work / f"bullseye_{seed}.h5"
        if not path.exists():
            subprocess.run([args.emstream, "-q", "simulate", "bullseye", "-o", path, "--seed", str(seed), "--electrons",
                            str(electrons), "--descan", "3"], check=True, stdout=subprocess.DEVNULL)
        with h5py.File(f"{path}.truth.h5") as f:
            scans.append((str(path), f["grain_id"][:]))
    print("| scan | electrons | clusters | LiberTEM | emstream | emstream --descan fit |\n|---|---|---|---|---|---|")
    rows = []
    for path, truth in scans:
        clusters = int(truth.max()) + 1
        with h5py.File(path) as f:
            data = f[dataset_of(path)]
            electrons = data[:: max(1, len(data) // 4)].sum(axis=(2, 3)).mean()
        ari = lambda labels: adjusted_rand_score(truth.ravel(), labels.ravel())
        row = [ari(libertem(path, clusters, 1)), ari(emstream(args.emstream, path, clusters, work / "out")),
               ari(emstream(args.emstream, path, clusters, work / "out", "--descan", "fit"))]
        rows.append(row)
        print(f"| {pathlib.Path(path).stem} | {electrons:.0f} | {clusters} | " + " | ".join(f"{v:.4f}" for v in row) + " |", flush=True)
        if args.time:
            script = [sys.executable, __file__, "--emstream", args.emstream, "--work", str(work)]
            for who in ("libertem", "emstream"):
                seconds, memory = measured([*script, f"--{who}-only", path, str(clusters)])
                print(f"    {who}: {seconds:.2f} s, {memory:.0f} MiB", flush=True)
    print("| mean | | | " + " | ".join(f"{v:.4f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
