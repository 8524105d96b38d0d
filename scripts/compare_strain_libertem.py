#!/usr/bin/env python3
"""Compares the lattices and strains of emstream and of LiberTEM with the truth of simulated scans.

    compare_strain_libertem.py [--emstream PROGRAM] [--work DIR] [--save DIR] SCAN…

SCAN is a parameter file of `emstream simulate polycrystal` (tests/data/strain_scans/*.toml are compared by default), or a .npy file
with NAME.npy.truth.h5 beside it. The true grains are the regions of both programs; each looks for the lattice of a region in the
log-sum of its frames and refines it in every frame, with the same template. Printed are, for each form of the correlation, the
median and the 95th percentile of the errors of a, b, zero (px, in LiberTEM's basis) and of strain and rotation, the ratio of
emstream's to LiberTEM's, and the share of true values that emstream's standard errors cover. Last comes the Cramér-Rao bound.
--save keeps LiberTEM's maps for tests/strain_scans.rs.

Needs: pip install libertem==0.16.0 "libertem-blobfinder[hdbscan]==0.6.1" h5py.
"""
import os

for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(v, "1")

import argparse
import pathlib
import subprocess

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Name, arguments of LiberTEM's run_refine, arguments of emstream.
FORMS = {
    "fast": (dict(correlation="fast", match="fast"), ["--correlation", "fast"]),
    "sparse": (dict(correlation="sparse", match="fast", steps=3), ["--correlation", "sparse"]),
    "fullframe": (dict(correlation="fullframe", match="fast"), ["--correlation", "full"]),
    "affine": (dict(correlation="fast", match="affine"), ["--match", "affine"]),
    "fast_upsample": (dict(correlation="fast", match="fast", upsample=20), ["--upsample", "20"]),
}
# Where `simulate` takes samples of a disk, in pixels along each axis.
POINTS = (-1 / 3, 0.0, 1 / 3)


def template(radius):
    """Inner and outer radius of the template for disks of this radius, as the published notebook has them for 1.7 px."""
    return round(radius - 0.2, 3), round(2 * radius + 0.6, 3)


def load_truth(path):
    with h5py.File(path) as f:
        truth = {k: f[k][...].astype(float) for k in ("zero", "a", "b", "strain")}
        truth["grain_id"] = f["grain_id"][...]
        truth["radius"] = float(f.attrs["disk_radius"])
        names = ("background", "background_length", "background_constant", "dose")
        truth["background"] = [float(f.attrs[k]) for k in names]
    return truth


# ---------------------------------------------------------------- the two programs


def libertem(scan, truth):
    """Maps (zero, a, b) of every form, and the median lattice of every grain."""
    import libertem.api as lt
    from libertem.executor.inline import InlineJobExecutor
    from libertem.udf.logsum import run_logsum
    from libertem_blobfinder.common import correlation, patterns
    from libertem_blobfinder.common.fullmatch import FullMatcher
    from libertem_blobfinder.udf.refinement import run_refine

    ctx = lt.Context(executor=InlineJobExecutor())
    ds = ctx.load("npy", path=str(scan))
    inner, outer = template(truth["radius"])
    pattern = patterns.BackgroundSubtraction(radius=inner, radius_outer=outer)
    matcher = FullMatcher(tolerance=3)
    indices = np.mgrid[-4:5, -4:5]
    nav = truth["grain_id"].shape
    maps = {form: np.full(nav + (3, 2), np.nan, np.float32) for form in FORMS}
    for grain in range(truth["grain_id"].max() + 1):
        roi = truth["grain_id"] == grain
        peaks = correlation.get_peaks(run_logsum(ctx, dataset=ds, roi=roi)["logsum"].data, pattern, 20)
        first = matcher.full_match(peaks)[0][0]
        for form, (how, _) in FORMS.items():
            found, _ = run_refine(
                ctx=ctx, dataset=ds, zero=first.zero, a=first.a, b=first.b, match_pattern=pattern, matcher=matcher,
                roi=roi, indices=indices, **how,
            )
            for i, k in enumerate(("zero", "a", "b")):
                maps[form][roi, i] = found[k].raw_data
    return maps


def emstream(program, scan, truth, work, arguments):
    """Maps (zero, a, b) and their standard errors, (ny, nx, 3, 2)."""
    inner, outer = template(truth["radius"])
    np.save(work / "labels.npy", truth["grain_id"].astype(np.int32))
    out = work / "out"
    command = [program, "--overwrite", "--backend", "cpu", "-q", "strain", scan, "-o", out, "--labels", work / "labels.npy"]
    command += ["--lattice-radius", inner, "--lattice-radius-outer", outer, *arguments]
    subprocess.run([str(c) for c in command], check=True)
    with h5py.File(out / "result.h5") as f:
        maps = np.stack([f[f"lattice/{k}"][...] for k in ("zero", "a", "b")], axis=2)
        errors = np.stack([f[f"lattice/{k}_error"][...] for k in ("zero", "a", "b")], axis=2)
    return maps.astype(float), errors.astype(float)


# ---------------------------------------------------------------- errors


def relation(maps, truth, grain):
    """Integer matrix and shift that turn the true lattice of a grain into the one that was found."""
    roi = (truth["grain_id"] == grain) & np.isfinite(maps).all(axis=(2, 3))
    true = np.stack([truth["a"], truth["b"]], axis=2)[roi]
    matrix = np.median(maps[roi][:, 1:] @ np.linalg.inv(true), axis=0)
    shift = np.median(np.einsum("nj,njk->nk", maps[roi][:, 0] - truth["zero"][roi], np.linalg.inv(true)), axis=0)
    rounded = np.round(matrix), np.round(shift)
    if abs(abs(np.linalg.det(rounded[0])) - 1) > 1e-9 or np.abs(matrix - rounded[0]).max() > 0.1:
        raise SystemExit(f"grain {grain}: another lattice was found, {matrix.tolist()} of the true one")
    return rounded


def in_true_basis(maps, truth):
    """Maps with a, b and zero of the truth."""
    out = np.full(maps.shape, np.nan)
    for grain in range(truth["grain_id"].max() + 1):
        roi = truth["grain_id"] == grain
        matrix, shift = relation(maps, truth, grain)
        vectors = np.linalg.inv(matrix) @ maps[roi][:, 1:]
        out[roi, 1:] = vectors
        out[roi, 0] = maps[roi][:, 0] - np.einsum("j,njk->nk", shift, vectors)
    return out


def in_basis_of(maps, like, truth):
    """Maps (in the true basis) in the basis that `like` has."""
    out = np.full(maps.shape, np.nan)
    for grain in range(truth["grain_id"].max() + 1):
        roi = truth["grain_id"] == grain
        matrix, shift = relation(like, truth, grain)
        out[roi, 1:] = matrix @ maps[roi][:, 1:]
        out[roi, 0] = maps[roi][:, 0] + np.einsum("j,njk->nk", shift, maps[roi][:, 1:])
    return out


def strain(a, b, a0, b0):
    """xx, yy, xy of U - 1 and the rotation, F = R U, rows and columns (y, x)."""
    f = np.stack([a, b], axis=-1) @ np.linalg.inv(np.stack([a0, b0], axis=-1))
    return polar(f)


def polar(f):
    angle = np.arctan2(f[..., 0, 1] - f[..., 1, 0], f[..., 1, 1] + f[..., 0, 0])
    c, s = np.cos(angle), np.sin(angle)
    # Rotation by the angle from +x towards +y, in (y, x): [[c, s], [-s, c]].
    rotation = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], -2)
    u = np.swapaxes(rotation, -1, -2) @ f
    return np.stack([u[..., 1, 1] - 1, u[..., 0, 0] - 1, (u[..., 0, 1] + u[..., 1, 0]) / 2, angle], axis=-1)


def errors(maps, like, truth):
    """Per frame: errors of a, b, zero in the basis of `like`, then of xx, yy, xy, rotation."""
    true = np.stack([truth["zero"], truth["a"], truth["b"]], axis=2)
    mine = in_true_basis(maps, truth)
    off = np.linalg.norm(in_basis_of(mine, like, truth) - in_basis_of(true, like, truth), axis=-1)
    f = np.eye(2) + truth["strain"]
    a0, b0 = (np.einsum("...ij,...j->...i", np.linalg.inv(f), truth[k]) for k in ("a", "b"))
    tensor = np.abs(strain(mine[:, :, 1], mine[:, :, 2], a0, b0) - polar(f))
    return np.concatenate([off[..., [1, 2, 0]], tensor], axis=-1).reshape(-1, 7)


# ---------------------------------------------------------------- the Cramér-Rao bound


def profile(dy, dx, radius):
    value = 0.0
    for py in POINTS:
        for px in POINTS:
            value = value + np.clip(radius + 0.5 - np.hypot(dy + py, dx + px), 0, 1)
    return value / len(POINTS) ** 2


def spots(frame_truth, shape, radius):
    """Indices, windows and profiles of the disks of a frame, and the profiles' derivatives."""
    zero, a, b = frame_truth
    half = int(np.ceil(radius)) + 2
    d = np.arange(-half, half + 1)
    for h in range(-8, 9):
        for k in range(-8, 9):
            p = zero + h * a + k * b
            base = np.round(p).astype(int)
            if (base < half).any() or (base >= np.array(shape) - half).any():
                continue
            yy, xx = np.meshgrid(base[0] + d, base[1] + d, indexing="ij")
            at = lambda dy, dx: profile(yy - p[0] - dy, xx - p[1] - dx, radius)
            e = 0.01
            slope = ((at(e, 0) - at(-e, 0)) / (2 * e), (at(0, e) - at(0, -e)) / (2 * e))
            yield (h, k), (yy, xx), at(0, 0), slope


def bound(data, truth, like, per_grain=6):
    """Median errors of a, b and zero, in the basis of `like`, of an estimator that reaches the bound. It knows radius, background and
    spot intensities; the latter are means over neighbouring frames."""
    ids, radius = truth["grain_id"], truth["radius"]
    amplitude, length, constant, dose = truth["background"]
    shape = data.shape[2:]
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    lattice = lambda i: (truth["zero"][i], truth["a"][i], truth["b"][i])
    background = lambda i: dose * (
        amplitude * np.exp(-np.hypot(yy - truth["zero"][i][0], xx - truth["zero"][i][1]) / length) + constant
    )
    rng = np.random.default_rng(0)
    samples = []
    for grain in range(ids.max() + 1):
        members = np.argwhere(ids == grain)
        matrix, shift = relation(like, truth, grain)
        for y, x in members[:: max(1, len(members) // per_grain)][:per_grain]:
            sums = {}
            for i in members[np.abs(members - (y, x)).max(axis=1) <= 2]:
                i = tuple(i)
                rest = data[i] - background(i)
                for index, (wy, wx), s, _ in spots(lattice(i), shape, radius):
                    sums.setdefault(index, []).append((s * rest[wy, wx]).sum() / (s * s).sum())
            expected, slopes = background((y, x)), np.zeros((6,) + shape)
            for (h, k), (wy, wx), s, slope in spots(lattice((y, x)), shape, radius):
                intensity = max(np.mean(sums[h, k]), 0)
                expected[wy, wx] += intensity * s
                for c in range(2):
                    for g, factor in ((c, 1), (2 + c, h), (4 + c, k)):
                        # Moving the disk by +d moves its profile by -d under the pixels.
                        slopes[g][wy, wx] += factor * intensity * slope[c]
            flat = slopes.reshape(6, -1)
            covariance = np.linalg.inv((flat / expected.reshape(-1)) @ flat.T)
            error = rng.multivariate_normal(np.zeros(6), covariance, 2000).reshape(-1, 3, 2)
            vectors = matrix @ error[:, 1:]
            zero = error[:, 0] + np.einsum("j,njk->nk", shift, error[:, 1:])
            samples.append(np.linalg.norm(np.stack([vectors[:, 0], vectors[:, 1], zero], axis=1), axis=-1))
    return np.median(np.concatenate(samples), axis=0)


# ---------------------------------------------------------------- the table

QUANTITIES = ("a", "b", "zero", "xx", "yy", "xy", "rotation")


def spread(e):
    """Median and 95th percentile of every column; a missing result is an infinite error."""
    e = np.where(np.isfinite(e), e, np.inf)
    return np.quantile(e, [0.5, 0.95], axis=0, method="nearest")


def compare(name, scan, truth, args):
    print(f"\n{name}")
    maps = libertem(scan, truth)
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(args.save / f"{name}.npz", **maps)
    like = maps["fast"]
    forms = {form: (form, arguments) for form, (_, arguments) in FORMS.items()}
    forms["joint"] = ("fast", [])  # The default.
    worst = 0.0
    for form, (reference, arguments) in forms.items():
        found, claimed = emstream(args.emstream, scan, truth, args.work, arguments)
        ours, theirs = spread(errors(found, like, truth)), spread(errors(maps[reference], like, truth))
        true = in_basis_of(np.stack([truth["zero"], truth["a"], truth["b"]], axis=2), found, truth)
        covered = (np.abs(found - true) <= claimed)[np.isfinite(found)].mean()
        print(f"  {form}: standard errors cover {100 * covered:.1f} % of the true values")
        for i, q in enumerate(QUANTITIES):
            ratio = ours[:, i] / theirs[:, i]
            worst = max(worst, *ratio) if form != "joint" else worst
            print(
                f"    {q:<9}{ours[0, i]:.5f} / {ours[1, i]:.5f}   LiberTEM {theirs[0, i]:.5f} / {theirs[1, i]:.5f}"
                f"   ratio {ratio[0]:.3f} / {ratio[1]:.3f}"
            )
        if form == "joint":
            limit = bound(np.load(scan, mmap_mode="r"), truth, like)
            print("    Cramér-Rao bound, medians: " + ", ".join(f"{q} {v:.5f}" for q, v in zip(QUANTITIES, limit)))
            print("    joint / bound:             " + ", ".join(f"{q} {o / v:.2f}" for q, o, v in zip(QUANTITIES, ours[0], limit)))
    print(f"  largest ratio to LiberTEM, joint aside: {worst:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="*", type=pathlib.Path)
    parser.add_argument("--emstream", default=ROOT / "target/release/emstream", help="the program")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("compare_strain"), help="folder for scans and results")
    parser.add_argument("--save", type=pathlib.Path, help="folder for LiberTEM's maps")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for path in args.scans or sorted((ROOT / "tests/data/strain_scans").glob("*.toml")):
        scan = path
        if path.suffix == ".toml":
            scan = args.work / f"{path.stem}.npy"
            command = [args.emstream, "--overwrite", "simulate", "polycrystal", "--params", path, "-o", scan]
            subprocess.run([str(c) for c in command], check=True)
        compare(path.stem, scan, load_truth(scan.with_name(scan.name + ".truth.h5")), args)


if __name__ == "__main__":
    main()
