"""Cuts a small scan out of the reference scan and computes what its features, scaling and neighbours must be, with NumPy, SciPy and
scikit-learn:  python cut_scan.py REFERENCE_FOLDER OUT_FOLDER   (writes dp.hspy, eds.hspy, scan.npz)"""
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.distance import cdist
from sklearn.preprocessing import RobustScaler

ref, out = Path(sys.argv[1]), Path(sys.argv[2])
ROWS, COLUMNS = slice(8, 20), slice(2, 26)
BEAM, KEEP, VARIANCE, EXPONENT = (14.75, 15.25, 2.5), 0.4, 0.25, 2.4
EXCLUDE = [(7.85, 8.24), (8.72, 9.08)]


def cut(name):
    """The same file with fewer positions."""
    with h5py.File(ref / name) as old, h5py.File(out / name, "w") as new:
        new.attrs.update(old.attrs)
        signal = list(old["Experiments"])[0]
        whole, group = old["Experiments"][signal], new.create_group(f"Experiments/{signal}")
        group.attrs.update(whole.attrs)
        for member in whole:
            if member != "data":
                whole.copy(member, group)
        data = whole["data"][ROWS, COLUMNS]
        group.create_dataset("data", data=data, chunks=(4, 8) + data.shape[2:], compression="gzip", compression_opts=9, shuffle=True)
        for axis, n in zip(("axis-0", "axis-1"), data.shape):
            group[axis].attrs["size"] = n
        return data


dp, eds = cut("dp.hspy"), cut("eds.hspy")
ny, nx = dp.shape[:2]
o = {"truth": np.load(ref / "truth.npy")[ROWS, COLUMNS].astype(np.int32)}


def log_or_zero(x):
    return np.log(x, out=np.zeros_like(x), where=x > 0)


binned = dp.astype(np.float64).reshape(ny, nx, 32, 2, 32, 2).sum((3, 5)).reshape(ny * nx, -1)
y, x = np.mgrid[:32, :32]
beam = np.hypot(y - BEAM[0], x - BEAM[1]) <= BEAM[2]
for name, values in (("raw", binned), ("log", log_or_zero(binned))):
    std = np.where(beam, 0.0, values.std(0).reshape(32, 32))
    n = int(np.ceil(KEEP * std.size))
    o[f"std_{name}"] = std
    o[f"pixels_{name}"] = np.flatnonzero(np.isin(std, np.sort(std.ravel())[::-1][:n])).astype(np.int32)
flat = eds.reshape(ny * nx, -1).astype(np.float64)
energy = -0.1 + 0.01 * np.arange(flat.shape[1])
o["variance"] = flat.var(0)
keep = o["variance"] > VARIANCE
for low, high in EXCLUDE:
    keep &= ~((energy >= low) & (energy <= high))
o["channels"] = np.flatnonzero(keep).astype(np.int32)
patterns = log_or_zero(binned[:, o["pixels_raw"]]).astype(np.float32)
spectra = np.log1p(flat[:, keep]).astype(np.float32)
both = np.concatenate((patterns.astype(np.float64), spectra.astype(np.float64) * np.exp(EXPONENT)), axis=1)
scaler = RobustScaler().fit(both)
o["centre"], o["scale"] = scaler.center_, scaler.scale_
scaled = scaler.transform(both).astype(np.float32)
o["scaled"] = scaled[::12]
o["largest_pattern"] = np.array([RobustScaler().fit_transform(patterns.astype(np.float64)).max()])
o["largest_spectrum"] = np.array([scaled[:, patterns.shape[1]:].max()])
for metric, name in (("euclidean", "euclidean"), ("chebyshev", "chebyshev"), ("cityblock", "manhattan"), ("cosine", "cosine")):
    d = cdist(scaled.astype(np.float64), scaled.astype(np.float64), metric)
    np.fill_diagonal(d, np.inf)
    index = np.argsort(d, axis=1, kind="stable")[:, :9]
    o[f"distance_{name}"] = np.take_along_axis(d, index, 1)
    o[f"index_{name}"] = index.astype(np.int32)
np.savez_compressed(out / "scan.npz", **o)
