#!/usr/bin/env python3
"""Times LiberTEM on the scans that benches/passes.rs times, step by step, with two Dask workers (or --executor inline2).

    bench_libertem.py SCAN.npy… [--executor dask2] [--repeat 5] [--json FILE]

Needs: pip install libertem libertem-blobfinder psutil. Prints frames/s and GB/s of the median of the warm runs.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=pathlib.Path)
    parser.add_argument("--executor", default="dask2")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()

    import libertem
    from libertem.udf.logsum import LogsumUDF
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.stddev import StdDevUDF
    from libertem.udf.sum import SumUDF
    from libertem_blobfinder.common import patterns

    rows = []
    with context(args.executor) as ctx:
        for path in args.scans:
            scan = ctx.load("npy", path=str(path))
            nav, sig = tuple(scan.shape.nav), tuple(scan.shape.sig)
            frames = int(np.prod(nav))
            size = frames * int(np.prod(sig)) * np.dtype(scan.dtype).itemsize
            # Stamps of 45 x 45 pixels for large frames, 7 x 7 for small ones, as in benches/passes.rs.
            pattern = (
                patterns.BackgroundSubtraction(radius=11, radius_outer=22)
                if sig[1] > 200
                else patterns.BackgroundSubtraction(radius=1.5, radius_outer=2.5)
            )
            i = np.arange(300)
            peaks = np.stack([i * 7919 % sig[0], i * 104729 % sig[1]], axis=1)
            stack = functools.partial(
                patterns.feature_vector, imageSizeX=sig[1], imageSizeY=sig[0], peaks=peaks, match_pattern=pattern
            )
            masks = ApplyMasksUDF(mask_factories=stack, use_sparse=True, mask_count=len(peaks), mask_dtype=np.float32)
            steps = {"sum": SumUDF(), "sum+std": StdDevUDF(), "log-sum": LogsumUDF(), "300 masks": masks}
            for step, udf in steps.items():
                times = []
                for _ in range(args.repeat + 1):
                    begun = time.perf_counter()
                    ctx.run_udf(dataset=scan, udf=udf)
                    times.append(time.perf_counter() - begun)
                seconds = statistics.median(times[1:])
                row = {
                    "scan": path.name,
                    "step": step,
                    "program": f"LiberTEM {libertem.__version__} {args.executor}",
                    "frames_per_s": frames / seconds,
                    "GB_per_s": size / seconds / 1e9,
                    "median_s": seconds,
                }
                rows.append(row)
                print(f"{path.name:<24}{step:<18}{row['frames_per_s']:>11.0f}{row['GB_per_s']:>9.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
