"""`emstream phases` beside umap-learn and hdbscan on five simulated scans.

    python scripts/compare_phases_umap.py [--program target/release/emstream] [--scans 5] [--seeds 10] [--folder DIR]

Each scan is simulated with another seed and analysed with the default recipe. Both programs get the same fused features and exact
neighbours; each embeds with the same number of seeds (densMAP, 3 components, 10 neighbours, min_dist 0) and clusters (HDBSCAN, exact tree,
min_cluster_size 100, min_samples 10, soft labels). Printed: the adjusted Rand index against the true phases, mean and all values, and whether
emstream's mean reaches umap-learn's less two standard errors. Needs: pip install h5py scikit-learn umap-learn hdbscan
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import hdbscan
import numpy as np
import umap
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

warnings.filterwarnings("ignore")


def emstream(program, *arguments):
    subprocess.run([program, "-q", *map(str, arguments)], check=True)


def peer(features, seed):
    """Soft labels by umap-learn and hdbscan."""
    near = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(features)
    distance, index = near.kneighbors(features)
    places = umap.UMAP(n_neighbors=10, n_components=3, min_dist=0.0, densmap=True, random_state=seed, n_jobs=1,
                       precomputed_knn=(index, distance.astype(np.float32), None)).fit_transform(features)
    found = hdbscan.HDBSCAN(min_cluster_size=100, min_samples=10, algorithm="prims_kdtree", prediction_data=True).fit(places.astype(float))
    shares = hdbscan.all_points_membership_vectors(found)
    return shares.argmax(1) if shares.ndim == 2 else np.zeros(len(features), int)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", default="target/release/emstream")
    options.add_argument("--scans", type=int, default=5)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--folder")
    options = options.parse_args()
    kept = tempfile.TemporaryDirectory()
    folder = Path(options.folder or kept.name)
    good = True
    for scan in range(1, options.scans + 1):
        place = folder / f"scan{scan}"
        emstream(options.program, "--overwrite", "simulate", "phases", "-o", place, "--seed", scan)
        emstream(options.program, "--overwrite", "--threads", 2, "--backend", "cpu", "phases", place / "dp.hspy", "--eds", place / "eds.hspy", "-o",
                 place / "out", "--runs", options.seeds, "--seed", 0, "--save-features")
        with h5py.File(place / "truth.h5") as f:
            truth = f["phase"][()].ravel()
        with h5py.File(place / "out" / "result.h5") as f:
            ours = [adjusted_rand_score(truth, run.ravel()) for run in f["stability/labels"][()]]
            answer = adjusted_rand_score(truth, f["clusters/labels_soft"][()].ravel())
            features = f["phases/features"][()].reshape(truth.size, -1)
        begun, theirs = time.perf_counter(), []
        for seed in range(options.seeds):
            theirs.append(adjusted_rand_score(truth, peer(features, seed)))
        limit = np.mean(theirs) - 2 * np.std(theirs, ddof=1) / np.sqrt(len(theirs))
        good &= np.mean(ours) >= limit
        print(f"scan {scan}: {features.shape[1]} features; emstream mean {np.mean(ours):.4f} ({min(ours):.4f} .. {max(ours):.4f}), answer {answer:.4f}; "
              f"umap-learn mean {np.mean(theirs):.4f} ({min(theirs):.4f} .. {max(theirs):.4f}), less two standard errors {limit:.4f}: "
              f"{'reached' if np.mean(ours) >= limit else 'MISSED'} ({time.perf_counter() - begun:.0f} s for umap-learn)", flush=True)
    sys.exit(0 if good else 1)


main()
