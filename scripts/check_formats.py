#!/usr/bin/env python3
"""Opens what `emstream convert` and `ebsd maps --write` write with h5py, HyperSpy's RosettaSciIO, emdfile, tifffile, zarr and orix.

    pip install h5py rosettasciio emdfile tifffile zarr orix hyperspy
    python scripts/check_formats.py path/to/emstream

Pixels, types, order of axes, steps and units are compared with the input; says what was checked, and ends with an error at the first difference.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import rsciio.blockfile
import rsciio.emd
import rsciio.hspy
import rsciio.tiff
import rsciio.zspy
import tifffile
import zarr
from orix import io as orix_io

program = sys.argv[1]
data = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "ebsd"
NAV, STEPS = (6, 9), ((0.5, "nm"), (0.25, "nm"), (0.017, "1/nm"), (0.017, "1/nm"))


def run(*args):
    subprocess.run([program, "-q", "--overwrite", *map(str, args)], check=True)


def axes(found, what):
    """Steps and units of RosettaSciIO's axes, in the order of the array."""
    found = sorted(found, key=lambda a: a.get("index_in_array", 0)) if all("index_in_array" in a for a in found) else found
    for axis, (step, unit) in zip(found, STEPS, strict=True):
        assert abs(axis["scale"] / step - 1) < 1e-6 and str(axis["units"]).replace(" ", "") == unit, (what, axis, step, unit)


def source(path, pixels):
    """A calibrated HDF5 scan as HyperSpy writes it."""
    with h5py.File(path, "w") as f:
        g = f.create_group("Experiments/made")
        g["data"] = pixels
        for i, (step, unit) in enumerate(STEPS):
            a = g.create_group(f"axis-{i}").attrs
            a["scale"], a["units"], a["offset"], a["size"], a["navigate"] = step, unit, 0.0, pixels.shape[i], i < 2


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    rng = np.random.default_rng(1)
    for dtype, shape in (("u1", (32, 32)), ("u2", (33, 40)), ("i4", (16, 20)), ("f4", (300, 400))):
        pixels = (rng.random((*NAV, *shape)) * 100).astype(dtype)
        made = folder / "made.hspy"
        source(made, pixels)
        same = lambda got: got.dtype == pixels.dtype and got.shape == pixels.shape and (got == pixels).all()
        for codec in ("none", "gzip:3"):
            out = folder / "a.h5"
            run("convert", made, "-o", out, "--compression", codec)
            with h5py.File(out) as f:
                assert same(f["data"][:])
                for i, (step, unit) in enumerate(STEPS):
                    dim = f[f"dim{i + 1}"]
                    assert len(dim) == pixels.shape[i] and np.isclose(dim[1] - dim[0], step) and dim.attrs["units"] == unit
            out = folder / "a.hspy"
            run("convert", made, "-o", out, "--compression", codec)
            (signal,) = rsciio.hspy.file_reader(out)
            assert same(signal["data"])
            axes(signal["axes"], "hspy")
            assert [a["navigate"] for a in signal["axes"]] == [True, True, False, False]
            out = folder / "a.emd"
            run("convert", made, "-o", out, "--compression", codec)
            (signal,) = rsciio.emd.file_reader(out)
            assert same(signal["data"])
            axes(signal["axes"], "emd")
        for codec in ("none", "gzip", "zstd"):
            out = folder / "a.zspy"
            run("convert", made, "-o", out, "--compression", codec)
            assert same(zarr.open(str(out), mode="r")["Experiments/a/data"][:])
            (signal,) = rsciio.zspy.file_reader(str(out))
            assert same(signal["data"])
            axes(signal["axes"], "zspy")
        run("convert", made, "-o", folder / "a.npy")
        assert same(np.load(folder / "a.npy"))
        out = folder / "a.tif"
        run("convert", made, "-o", out)
        with tifffile.TiffFile(out) as f:
            assert len(f.pages) == NAV[0] * NAV[1]
            assert (np.stack([p.asarray() for p in f.pages]).reshape(pixels.shape) == pixels).all()
            series = f.series[0]
            assert series.axes == "TZYX" and same(series.asarray()), (series.axes, series.shape)
            assert f.imagej_metadata["unit"] == "1/nm"
        (signal,) = rsciio.tiff.file_reader(out)
        got = {a["name"]: a for a in signal["axes"]}
        for name in ("width", "height"):
            # RosettaSciIO takes ImageJ's unit over where it is micrometres only.
            assert abs(got[name]["scale"] / 0.017 - 1) < 1e-6, got
        if dtype == "u1":
            out = folder / "a.blo"
            run("convert", made, "-o", out)
            (signal,) = rsciio.blockfile.file_reader(out)[:1]
            assert (signal["data"] == pixels).all()
            assert [a["scale"] for a in signal["axes"]][:2] == [0.5, 0.25]
        print(f"{dtype} {shape}: hdf5, hspy, emd, zspy, npy, tiff{', blo' if dtype == 'u1' else ''}")

    # A class of py4DSTEM: emdfile needs it at hand for whole files, not for the calibration.
    with h5py.File(folder / "a.emd") as f:
        root = f["datacube_root"]
        assert f.attrs["emd_group_type"] == "file" and root.attrs["emd_group_type"] == "root"
        assert root["metadatabundle/calibration/Q_pixel_units"][()].decode() == "1/nm"
    try:
        import py4DSTEM

        cube = py4DSTEM.read(str(folder / "a.emd"))
        assert cube.data.shape == pixels.shape and cube.calibration.get_Q_pixel_size() == 0.017
        print("py4DSTEM", py4DSTEM.__version__)
    except ImportError as e:
        print("py4DSTEM was not asked:", e)

    table = np.load(data / "ctf_table.npy")
    for ending in ("ang", "ctf"):
        out = folder / f"map.{ending}"
        run("ebsd", "maps", data / "map.ctf", "--write", out, "--where", "bc > 100")
        xmap = orix_io.load(str(out))
        shown = table[:, 9] > 100
        assert xmap.shape == (4, 5) and (xmap.is_indexed == shown).all(), xmap
        assert np.isclose([xmap.dx, xmap.dy], 0.25).all() and xmap.scan_unit == "um"
        euler, want = np.rad2deg(xmap.rotations.to_euler())[shown], table[shown, 5:8]
        assert np.abs((euler - want + 180) % 360 - 180).max() < 1e-3
        phase = xmap.phases[1]
        assert phase.name == "Nickel" and phase.point_group.laue.name == "m-3m", phase
        assert np.isclose(phase.structure.lattice.a, 3.524)
        assert np.allclose(xmap.prop["iq" if ending == "ang" else "BC"][shown], table[shown, 9])
    print("orix reads .ang and .ctf")
