#!/usr/bin/env python3
"""The small EBSD map in the layouts of Bruker's HDF5, EMsoft's EMEBSD and Oxford's .ebsp, written byte by byte and read back by kikuchipy.

    pip install kikuchipy==0.13.1
    python make_ebsd_formats.py ebsd/

Patterns are those of `small.npy` (4, 5, 12, 15), orientations those of `ctf_table.npy`.
"""
import struct
import sys
import tempfile
import warnings

import h5py
import kikuchipy as kp
import numpy as np

folder = sys.argv[1]
patterns = np.load(f"{folder}/small.npy").reshape(4, 5, 12, 15)
table = np.load(f"{folder}/ctf_table.npy")
rng = np.random.default_rng(7)
rows, columns, height, width = patterns.shape
warnings.simplefilter("ignore")


def bruker(path, region):
    """`region`: rows and columns of the header are those of the SEM image, and `SEM/IX`, `SEM/IY` tell where points lie in it."""
    # Without these, kikuchipy takes the order of the file.
    order = rng.permutation(rows * columns) if region else np.arange(rows * columns)
    y, x = np.divmod(order, columns)
    flat = patterns.reshape(-1, height, width)
    with h5py.File(path, "w") as f:
        f["Manufacturer"], f["Version"] = "Bruker Nano", "Esprit 2.X"
        g = f.create_group("Scan 0/EBSD")
        d, h, s = g.create_group("Data"), g.create_group("Header"), g.create_group("SEM")
        d["RawPatterns"] = flat[order]
        d["PCX"], d["PCY"], d["DD"] = (np.full(20, v) for v in (0.421, 0.2206, 0.6049))
        for k, name in enumerate(("phi1", "PHI", "phi2")):
            d[name] = table[order, 5 + k]
        d["Phase"], d["MAD"] = table[order, 0].astype("i4"), table[order, 8]
        d["RadonQuality"], d["NIndexedBands"] = table[order, 9].astype("f4"), table[order, 3].astype("i4")
        d["X BEAM"], d["Y BEAM"] = x.astype("i4"), y.astype("i4")
        h["Grid Type"], h["NROWS"], h["NCOLS"] = "isometric", rows, columns
        h["XSTEP"], h["YSTEP"], h["PatternHeight"], h["PatternWidth"] = 0.25, 0.25, height, width
        h["KV"], h["Sample Tilt"], h["CameraTilt"] = 20.0, 70.0, 5.0
        h["StaticBackground"] = patterns.mean(axis=(0, 1)).astype("u2")
        h["Phases/1/Name"], h["Phases/1/IT"], h["Phases/1/SpaceGroup"] = "Nickel", 225, "F m#ovl3m"
        h["Phases/1/LatticeConstants"] = np.array([3.524, 3.524, 3.524, 90, 90, 90], "f4")
        if region:
            del h["NROWS"], h["NCOLS"]
            h["NROWS"], h["NCOLS"] = 300, 400
            s["IX"], s["IY"] = (x + 37).astype("i4"), (y + 2).astype("i4")
    assert (kp.load(path).data == patterns).all()


bruker(f"{folder}/bruker.h5", False)
bruker(f"{folder}/bruker_region.h5", True)

with h5py.File(f"{folder}/emsoft.h5", "w") as f:
    text = lambda s: np.array([s.encode()], "S80")
    f["EMheader/EBSD/ProgramName"], f["EMheader/EBSD/Version"] = text("EMEBSD.f90"), text("5_0_20200324_0")
    f["EMData/EBSD/EBSDPatterns"] = patterns.reshape(-1, height, width)
    f["EMData/EBSD/EulerAngles"] = np.deg2rad(table[:, 5:8]).astype("f4")
    f["EMData/EBSD/xtalname"] = text("crystals/ni.xtal")
    n = f.create_group("NMLparameters/EBSDNameList")
    binning, delta = 4, 70.0
    n["numsx"], n["numsy"], n["binning"], n["delta"] = width, height, binning, delta
    n["energymax"], n["thetac"] = 20.0, 5.0
    n["xpc"], n["ypc"] = (0.5 - 0.421) * width * binning, (0.5 - 0.2206) * height * binning
    n["L"] = 0.6049 * height * binning * delta
    f["NMLparameters/MCCLNameList/sig"] = 70.0
    c = f.create_group("CrystalData")
    c["LatticeParameters"] = np.array([0.3524, 0.3524, 0.3524, 90, 90, 90])
    c["SpaceGroupNumber"], c["Natomtypes"], c["Atomtypes"] = 225, 1, np.array([28])
    c["AtomData"] = np.array([[0.0], [0.0], [0.0], [1.0], [0.005]])
s = kp.load(f"{folder}/emsoft.h5", scan_size=(rows, columns))
assert (s.data == patterns).all()
assert np.allclose(s.detector.pc_average, (0.421, 0.2206, 0.6049)), s.detector.pc_average


def ebsp(path, version, patterns, missing=(), dtype="u1", shuffle=True):
    height, width = patterns.shape[2:]
    begin = {0: 0, 1: 8, 2: 8, 3: 8}.get(version, 9)
    n = rows * columns
    order = np.concatenate([r * columns + rng.permutation(columns) for r in range(rows)]) if shuffle else np.arange(n)
    body, starts = b"", np.zeros(n, "<i8")
    for i in order:
        if i in missing:
            continue
        r, c = divmod(int(i), columns)
        pixels = patterns[r, c].astype(f"<{dtype}")
        starts[i] = begin + 8 * n + len(body)
        body += struct.pack("<2i", c, r) if version >= 5 else b""
        body += struct.pack("<4i", 0, height, width, pixels.nbytes) + pixels.tobytes()
        x, y = 0.25 * c, 0.25 * r
        if version == 1:
            body += struct.pack("<2d", x, y)
        elif version > 1:
            body += struct.pack("<?d?d", True, x, True, y)
    with open(path, "wb") as f:
        if version > 0:
            f.write(struct.pack("<q", -version))
        if version > 3:
            f.write(b"\x00")
        f.write(starts.tobytes() + body)


# kikuchipy finds the end of the table only for patterns of 1600 pixels and more: it sees the same files with larger ones.
larger = np.kron(patterns, np.ones((4, 4), "u1"))
for version, options in (
    (0, {"shuffle": False}),
    (1, {"shuffle": False}),
    (2, {"dtype": "u2"}),
    (4, {"missing": (3, 11, 12)}),
    (5, {"shuffle": False}),
):
    ebsp(f"{folder}/v{version}.ebsp", version, patterns, **options)
    with tempfile.TemporaryDirectory() as temp:
        ebsp(f"{temp}/v.ebsp", version, larger, **options)
        got = kp.load(f"{temp}/v.ebsp")
    assert got.data.dtype == np.dtype(options.get("dtype", "u1"))
    if version == 0:
        assert (got.data == larger.reshape(-1, *larger.shape[2:])).all()
    elif "missing" in options:
        assert len(got.data) == 17
    else:
        assert (got.data == larger).all() and got.axes_manager[0].scale == 0.25
print("kikuchipy", kp.__version__, "reads all of them")
