#!/usr/bin/env python3
"""Times LiberTEM on the scans that `emstream bench --file` times, step by step, with two Dask workers (or --executor inline2).

    bench_libertem.py SCAN.npy… [--executor dask2] [--repeat 5] [--steps sum,sum+std,log-sum,masks,peaks] [--json FILE]
    bench_libertem.py SCAN.npy --steps strain --clusters 180 --repeat 1

Needs: pip install libertem "libertem-blobfinder[hdbscan]" scikit-learn psutil. Prints frames/s and GB/s of the median of the warm runs.

Masks: 300 stamps of 45 x 45 pixels for large frames, 7 x 7 for small ones. Peaks: run_refine with 25 peaks a frame, in crops of 44 x 44 or
8 x 8 pixels, lattice fit included. Strain: the steps of LiberTEM's example "Refine lattice parameters on polycrystalline sample": standard
deviation, 300 peaks of its correlation, feature vectors, ward clusters on the grid, and for each cluster log-sum, 20 peaks, full_match,
run_refine; no maps are drawn or saved.
"""
import os

for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(v, "1")

import argparse
import functools
import json
import pathlib
import statistics
import time

import numpy as np


def context(name):
    import libertem.api as lt

    kind, workers = name.rstrip("0123456789"), int("".join(c for c in name if c.isdigit()) or 1)
    if kind == "inline":
        from libertem.executor.inline import InlineJobExecutor

        return lt.Context(executor=InlineJobExecutor(inline_threads=workers))
    return lt.Context.make_with(kind, cpus=workers, gpus=0)


def strain(ctx, scan, clusters, order):
    """Seconds of each step."""
    import sklearn.cluster
    import sklearn.feature_extraction.image
    from libertem.udf.logsum import run_logsum
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.stddev import run_stddev
    from libertem_blobfinder.common import correlation, patterns
    from libertem_blobfinder.common.fullmatch import FullMatcher
    from libertem_blobfinder.udf.refinement import run_refine

    seconds, begun = {}, time.perf_counter()

    def done(step):
        nonlocal begun
        now = time.perf_counter()
        seconds[step] = seconds.get(step, 0.0) + now - begun
        begun = now

    (ny, nx), (h, w) = scan.shape.nav, scan.shape.sig
    std = np.asarray(run_stddev(ctx, scan)["std"])
    done("statistics")
    pattern = patterns.BackgroundSubtraction(radius=1.5, radius_outer=2.5)
    peaks = correlation.get_peaks(std, pattern, 300)
    done("correlation")
    stack = functools.partial(patterns.feature_vector, imageSizeX=w, imageSizeY=h, peaks=peaks, match_pattern=pattern)
    masks = ApplyMasksUDF(mask_factories=stack, use_sparse=True, mask_count=len(peaks), mask_dtype=np.float32)
    features = ctx.run_udf(dataset=scan, udf=masks)["intensity"].data.reshape(-1, len(peaks)).T.copy()
    done("features")
    features = features / np.abs(features).mean(axis=1)[:, np.newaxis]
    yy, xx = np.mgrid[0:ny, 0:nx] * 0.2
    features = np.vstack((features, yy.flatten(), xx.flatten()))
    ward = sklearn.cluster.AgglomerativeClustering(
        metric="euclidean",
        linkage="ward",
        connectivity=sklearn.feature_extraction.image.grid_to_graph(n_x=ny, n_y=nx),
        compute_distances=True,
        n_clusters=clusters,
    )
    labels = ward.fit(features.T).labels_.reshape((ny, nx))
    done("ward")
    pattern, matcher = patterns.BackgroundSubtraction(radius=1.5, radius_outer=4.0), FullMatcher(tolerance=3)
    indices = np.mgrid[-order : order + 1, -order : order + 1]
    failed = 0
    for c in range(clusters):
        roi = labels == c
        logsum = run_logsum(ctx, dataset=scan, roi=roi)["logsum"].data
        done("cluster log-sums")
        matches = matcher.full_match(correlation.get_peaks(logsum, pattern, 20))[0]
        done("lattices")
        if not matches:
            failed += 1
            continue
        m = matches[0]
        run_refine(ctx=ctx, dataset=scan, zero=m.zero, a=m.a, b=m.b, match_pattern=pattern, matcher=matcher, roi=roi, indices=indices)
        done("refinement")
    seconds["strain, all steps"] = sum(seconds.values())
    return seconds, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=pathlib.Path)
    parser.add_argument("--executor", default="dask2")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--steps", default="sum,sum+std,log-sum,masks,peaks")
    parser.add_argument("--clusters", type=int, default=180)
    parser.add_argument("--order", type=int, default=4, help="strain: lattice indices from -ORDER to ORDER")
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()

    import libertem
    from libertem.udf.logsum import LogsumUDF
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.stddev import StdDevUDF
    from libertem.udf.sum import SumUDF
    from libertem_blobfinder.common import patterns
    from libertem_blobfinder.common.gridmatching import Matcher
    from libertem_blobfinder.udf.refinement import run_refine

    program = f"LiberTEM {libertem.__version__} {args.executor}"
    rows = []
    with context(args.executor) as ctx:
        for path in args.scans:
            scan = ctx.load("npy", path=str(path))
            nav, sig = tuple(scan.shape.nav), tuple(scan.shape.sig)
            frames = int(np.prod(nav))
            size = frames * int(np.prod(sig)) * np.dtype(scan.dtype).itemsize

            def report(step, times, **more):
                seconds = statistics.median(times)
                row = {
                    "scan": path.name,
                    "step": step,
                    "program": program,
                    "runs": len(times),
                    "frames_per_s": frames / seconds,
                    "GB_per_s": size / seconds / 1e9,
                    "median_s": seconds,
                    "load": os.getloadavg()[0],
                    **more,
                }
                rows.append(row)
                print(f"{path.name:<28}{step:<20}{row['frames_per_s']:>11.0f}{row['GB_per_s']:>9.2f}{seconds:>10.3f} s", flush=True)

            large = sig[1] > 200
            of = lambda radius, outer: patterns.BackgroundSubtraction(radius=radius, radius_outer=outer)
            # As in src/bench/cases/masks.rs and correlate.rs.
            stamp, spot = (of(11, 22), of(11, 22)) if large else (of(1.5, 2.5), of(1.5, 4.0))
            i = np.arange(300)
            at = np.stack([i * 7919 % sig[0], i * 104729 % sig[1]], axis=1)
            stack = functools.partial(patterns.feature_vector, imageSizeX=sig[1], imageSizeY=sig[0], peaks=at, match_pattern=stamp)
            masks = ApplyMasksUDF(mask_factories=stack, use_sparse=True, mask_count=len(at), mask_dtype=np.float32)
            refine = dict(
                zero=np.array(sig) / 2, a=np.array((0.0, 0.13 * sig[1])), b=np.array((0.13 * sig[0], 0.0)), indices=np.mgrid[-2:3, -2:3]
            )
            run = {
                "sum": lambda: ctx.run_udf(dataset=scan, udf=SumUDF()),
                "sum+std": lambda: ctx.run_udf(dataset=scan, udf=StdDevUDF()),
                "log-sum": lambda: ctx.run_udf(dataset=scan, udf=LogsumUDF()),
                "masks": lambda: ctx.run_udf(dataset=scan, udf=masks),
                "peaks": lambda: run_refine(ctx=ctx, dataset=scan, match_pattern=spot, matcher=Matcher(), **refine),
            }
            names = {
                "masks": "300 stamps 45×45" if large else "300 stamps 7×7",
                "peaks": "25 peaks fast 44×44" if large else "25 peaks fast 8×8",
            }
            for step in args.steps.split(","):
                if step == "strain":
                    seconds, failed = {}, 0
                    for _ in range(args.repeat):
                        times, failed = strain(ctx, scan, args.clusters, args.order)
                        for name, s in times.items():
                            seconds.setdefault(name, []).append(s)
                    for name, times in seconds.items():
                        report(name, times, clusters=args.clusters, clusters_without_lattice=failed)
                    continue
                times = []
                for _ in range(args.repeat + 1):
                    begun = time.perf_counter()
                    run[step]()
                    times.append(time.perf_counter() - begun)
                report(names.get(step, step), times[1:])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
