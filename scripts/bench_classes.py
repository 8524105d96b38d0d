#!/usr/bin/env python3
"""Mixtures and ward trees: emstream beside scikit-learn and scipy, the same points and starts, two threads each.

    pip install numpy scipy scikit-learn
    cargo build --release --example classes
    python3 scripts/bench_classes.py [--threads 2] [--repeat 3] [WINDOWS.npy]

WINDOWS.npy: (n, s, s) or (n, d); without it 1331 made-up windows of 32 x 32 pixels. Wall and CPU seconds, the best of
the repeats; CPU seconds of a process include reading the points.
"""
import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("windows", nargs="?")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeat", type=int, default=3)
parser.add_argument("--program", default="target/release/examples/classes")
args = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = str(args.threads)

import numpy as np  # noqa: E402
import warnings  # noqa: E402
from scipy.cluster.hierarchy import linkage  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402

warnings.simplefilter("ignore")
CLASSES = 5


def made_up(n=1331, side=32, seed=1):
    """Spots of five kinds on a lattice, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    kind = rng.integers(0, CLASSES, n)
    shift = rng.uniform(-0.5, 0.5, (n, 2, 1, 1))
    yy, xx = y - shift[:, 0], x - shift[:, 1]
    lattice = np.cos(0.6 * yy) * np.cos(0.6 * xx)
    spot = np.exp(-(yy**2 + xx**2) / (4 + 2 * kind[:, None, None])) * (kind[:, None, None] - 2)
    return (0.3 + 0.1 * lattice + 0.2 * spot + 0.03 * rng.normal(size=(n, side, side))).reshape(n, -1)


def theirs(work):
    """Wall and CPU seconds of the best repeat, and what came out."""
    best = None
    for _ in range(args.repeat):
        cpu, wall = time.process_time(), time.perf_counter()
        out = work()
        took = (time.perf_counter() - wall, time.process_time() - cpu)
        best = min(best, took) if best else took
    return best, out


def ours(*command):
    """The same for the program."""
    best = None
    for _ in range(args.repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([args.program, *command], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = dict(line.split() for line in done.stdout.splitlines())
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took = (float(said["seconds"]), cpu)
        best = min(best, took) if best else took
    return best, said


def from_labels(points, labels):
    """A mixture that starts where ours does: the covariances of the labelled points."""
    d = points.shape[1]
    weights = np.bincount(labels, minlength=CLASSES) / len(labels)
    means = np.stack([points[labels == k].mean(0) for k in range(CLASSES)])
    precisions = np.stack(
        [np.linalg.inv(np.cov(points[labels == k].T, ddof=0) + 1e-6 * np.eye(d)) for k in range(CLASSES)]
    )
    return lambda: GaussianMixture(
        CLASSES, weights_init=weights, means_init=means, precisions_init=precisions, random_state=0
    ).fit(points)


windows = np.load(args.windows).astype(float) if args.windows else made_up()
raw = windows.reshape(len(windows), -1)
raw = (raw - raw.min()) / np.ptp(raw)
away = raw - raw.mean(0)
scores = away @ np.linalg.svd(away, full_matrices=False)[2][:16].T
rng = np.random.default_rng(0)
many = scores[rng.integers(0, len(scores), 20000)] + 0.1 * scores.std(0) * rng.normal(size=(20000, scores.shape[1]))

rows = []
with tempfile.TemporaryDirectory() as folder:
    for name, points in (("16 components", scores), ("16 components, 20000 windows", many), ("pixels", raw)):
        path, start = os.path.join(folder, "points.npy"), os.path.join(folder, "labels.npy")
        labels = KMeans(CLASSES, n_init=1, random_state=0).fit(points).labels_
        np.save(path, np.ascontiguousarray(points))
        np.save(start, labels.astype("i8"))
        # Covariances of pixels have no inverse that scikit-learn would start from.
        if points.shape[1] <= 16:
            them, model = theirs(from_labels(points, labels))
            us, said = ours(path, "mixture", str(CLASSES), start)
            rows.append((f"mixture of {points.shape[0]} x {points.shape[1]} ({name})", us, them,
                         f"{said['rounds']} and {model.n_iter_} rounds, ln L {float(said['likelihood']):.6g} and {model.score(points):.6g}"))
        them, model = theirs(lambda: GaussianMixture(CLASSES, random_state=0).fit(points))
        us, said = ours(path, "mixture", str(CLASSES))
        rows.append((f"k-means and mixture of {points.shape[0]} x {points.shape[1]}", us, them,
                     f"{said['rounds']} and {model.n_iter_} rounds"))
    for name, points in (("pixels", raw), ("8000 x 16 components", many[:8000])):
        path = os.path.join(folder, "points.npy")
        np.save(path, np.ascontiguousarray(points))
        them, tree = theirs(lambda: linkage(points, "ward"))
        us, said = ours(path, "ward")
        rows.append((f"ward tree of {points.shape[0]} x {points.shape[1]} ({name})", us, them,
                     f"last merge {float(said['last']):.6g} and {tree[-1, 2]:.6g}"))

print(f"{'':52} {'emstream':>17} {'scikit-learn, scipy':>21}")
print(f"{'':52} {'wall':>8} {'CPU s':>8} {'wall':>12} {'CPU s':>8}")
for name, us, them, note in rows:
    print(f"{name:52} {us[0]:8.3f} {us[1]:8.3f} {them[0]:12.3f} {them[1]:8.3f}   {note}")
