"""Speed of `emstream phases` beside umap-learn, hdbscan and scikit-learn, in one run.

    OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python scripts/bench_phases.py [--program target/release/emstream] [--points 7500]
        [--features 7300] [--threads 2] [--skip-umap] [--skip-chebyshev] [--shuffle]

Features: groups with a smooth variation inside and unit noise, group after group as regions of a scan are, or in any order with
`--shuffle`. Wall seconds of each step, and CPU seconds (all threads) of the whole program and of each step of the others; on a shared machine CPU seconds are steadier. Brute-force chebyshev by scikit-learn is timed for 1/30 of the
points and multiplied. Every call of the others comes after one on small data, so that numba has compiled; what umap-learn compiles anew in every
densMAP fit belongs to it. Needs: pip install h5py scikit-learn umap-learn hdbscan
"""

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import hdbscan
import numpy as np
import umap
from sklearn.neighbors import NearestNeighbors

warnings.filterwarnings("ignore")


def data(n, f, seed=0, groups=6, rank=8):
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, groups, n))
    x = rng.standard_normal((n, f), dtype=np.float32)
    x += (rng.standard_normal((groups, f), dtype=np.float32) * 1.5)[group]
    x += rng.standard_normal((n, rank), dtype=np.float32) @ (0.3 * rng.standard_normal((rank, f), dtype=np.float32))
    return x


def timed(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(options, folder, metric):
    """Wall seconds of each step, CPU seconds of the program, and the embedding."""
    out = folder / f"out_{metric}"
    before = children()
    subprocess.run([options.program, "-q", "--overwrite", "--backend", "cpu", "--threads", str(options.threads), "phases", folder / "scan.npy",
                    "--features", folder / "features.npy", "--metric", metric, "--runs", "1", "--seed", "10", "-o", out], check=True)
    cpu = children() - before
    with h5py.File(out / "result.h5") as f:
        steps = f["provenance/timings"]
        names = [s.decode() if isinstance(s, bytes) else s for s in steps["step"][()]]
        seconds = dict(zip(names, steps["seconds"][()]))
        embedding = f["embedding"][()].reshape(options.points, -1)
    step = lambda start: sum(v for k, v in seconds.items() if k.startswith(start))
    return dict(neighbours=step("neighbours"), embedding=step("embedding"), clusters=step("clusters"), cpu=cpu), embedding


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--program", default="target/release/emstream")
    options.add_argument("--points", type=int, default=7500)
    options.add_argument("--features", type=int, default=7300)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--skip-umap", action="store_true")
    options.add_argument("--skip-chebyshev", action="store_true")
    options.add_argument("--shuffle", action="store_true")
    options = options.parse_args()
    print(f"load average {os.getloadavg()}, {options.threads} threads", flush=True)
    x = data(options.points, options.features)
    if options.shuffle:
        np.random.default_rng(1).shuffle(x)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "features.npy", x)
        columns = max(d for d in range(1, int(options.points**0.5) + 1) if options.points % d == 0)
        np.save(folder / "scan.npy", np.random.default_rng(1).integers(0, 9, (columns, options.points // columns, 4, 4)).astype(np.uint8))
        euclidean, embedding = ours(options, folder, "euclidean")
        print("emstream euclidean", json.dumps(euclidean), flush=True)
        brute = lambda metric, rows: NearestNeighbors(n_neighbors=10, algorithm="brute", metric=metric, n_jobs=options.threads).fit(x).kneighbors(rows)
        _, wall, cpu = timed(lambda: brute("euclidean", x))
        print(f"scikit-learn euclidean: wall {wall:.2f} s, CPU {cpu:.2f} s; ratio of wall {wall / euclidean['neighbours']:.2f}", flush=True)
        if not options.skip_chebyshev:
            chebyshev, _ = ours(options, folder, "chebyshev")
            print("emstream chebyshev", json.dumps(chebyshev), flush=True)
            some = max(1, options.points // 30)
            _, wall, cpu = timed(lambda: brute("chebyshev", x[:some]))
            factor = options.points / some
            print(f"scikit-learn chebyshev: wall {factor * wall:.1f} s, CPU {factor * cpu:.1f} s (extrapolated); "
                  f"ratio of wall {factor * wall / chebyshev['neighbours']:.1f}", flush=True)

        def cluster():
            found = hdbscan.HDBSCAN(min_cluster_size=100, min_samples=10, prediction_data=True, core_dist_n_jobs=1).fit(embedding.astype(float))
            return hdbscan.all_points_membership_vectors(found)

        cluster()
        _, wall, cpu = timed(cluster)
        print(f"hdbscan with memberships: wall {wall:.3f} s, CPU {cpu:.3f} s; emstream wall {euclidean['clusters']:.3f} s; "
              f"ratio {wall / euclidean['clusters']:.2f}", flush=True)
        if not options.skip_umap:
            fit = lambda x: umap.UMAP(densmap=True, n_neighbors=10, n_components=3, min_dist=0.0, random_state=10, n_jobs=1).fit_transform(x)
            fit(data(4500, 20))
            _, wall, cpu = timed(lambda: fit(x))
            own = euclidean["neighbours"] + euclidean["embedding"]
            print(f"umap-learn densMAP, seeded: wall {wall:.2f} s, CPU {cpu:.2f} s; emstream with exact neighbours: wall {own:.2f} s; "
                  f"ratio {wall / own:.2f}", flush=True)


main()
