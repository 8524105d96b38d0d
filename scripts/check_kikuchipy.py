#!/usr/bin/env python3
"""Checks files of `ebsd convert` with kikuchipy, and the reverse.

    pip install kikuchipy==0.13.1
    python scripts/check_kikuchipy.py path/to/emstream

Converts tests/data/ebsd/patterns.zip with its orientations to kikuchipy's layout, loads the result with kikuchipy and compares
shape, values, calibration, static background, pattern centre and orientations with the input; then saves a signal with kikuchipy
and compares what emstream reads from it.
"""
import pathlib
import subprocess
import sys
import tempfile

import h5py
import kikuchipy as kp
import numpy as np

data = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "ebsd"


def run(*args):
    subprocess.run([sys.argv[1], *map(str, args)], check=True)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    ours, theirs = folder / "ours.h5", folder / "theirs.h5"
    common = ["--ctf", data / "map.ctf", "--pc", "0.421,0.2206,0.6049", "--bin", 2]
    run("ebsd", "convert", data / "patterns.zip", "-o", ours, *common)
    run("ebsd", "convert", data / "patterns.zip", "-o", theirs, "--to", "kikuchipy", *common)

    with h5py.File(ours) as f:
        g = f["Scan/EBSD"]
        x, y = g["Data/X BEAM"][:], g["Data/Y BEAM"][:]
        patterns = np.zeros((4, 5, 24, 30), "u2")
        patterns[y, x] = g["Data/RawPatterns"][:]
        background = g["Data/StaticBackground"][:]
    table = np.load(data / "ctf_table.npy")

    s = kp.load(theirs)
    assert s.data.shape == (4, 5, 24, 30) and s.data.dtype == np.uint16
    assert (s.data == patterns).all()
    assert [a.scale for a in s.axes_manager.navigation_axes] == [0.25, 0.25]
    assert (s.static_background == background).all()
    assert np.allclose(s.detector.pc_average, (0.421, 0.2206, 0.6049))
    assert s.detector.sample_tilt == 70
    euler = np.rad2deg(s.xmap.rotations.to_euler())
    turned = lambda a: np.c_[np.cos(np.deg2rad(a)), np.sin(np.deg2rad(a))]
    assert np.allclose(turned(euler[:, 0]), turned(table[:, 5]), atol=1e-6)
    assert np.allclose(euler[:, 1], table[:, 6], atol=1e-4)
    assert s.xmap.phases[1].space_group.number == 225
    assert np.allclose(s.xmap.prop["bc"], table[:, 9])

    back, npy = folder / "back.h5", folder / "back.npy"
    s.rescale_intensity(dtype_out=np.uint8)
    s.save(back)
    run("pick", back, "--at", "2,3", "-o", npy)
    assert (np.load(npy) == s.data[2, 3]).all()
print("kikuchipy", kp.__version__, "reads what emstream writes, and the reverse")
