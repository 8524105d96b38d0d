"""Writes h5/{spectra.hspy,emd1.h5,emd0.h5} beside this script (needs numpy and h5py): axes and metadata as HyperSpy 2.5, emdfile 0.0.15
(EMD 1.0) and py4DSTEM 0.11 leave them.

Value (y, x, i, j) is 1000 y + 100 x + 10 i + j, as in make_h5.py; a spectrum is a frame of 4 x 6 in one row.
"""
import pathlib

import h5py
import numpy as np

here = pathlib.Path(__file__).parent / "h5"
y, x, i, j = np.ogrid[0:3, 0:5, 0:4, 0:6]
four = (1000 * y + 100 * x + 10 * i + j).astype("<u2")
spectra = four.reshape(3, 5, 24)


def axes(group):
    for k, (name, size, scale, offset, unit) in enumerate(
        [("y", 3, 2.0, 0.0, "nm"), ("_None_", 5, 2.5, 0.0, "nm"), ("Energy", 24, 0.01, -0.1, "keV")]
    ):
        a = group.create_group(f"axis-{k}")
        a.attrs.update(_type="UniformDataAxis", name=name, size=size, scale=scale, offset=offset, units=unit)
        a.attrs.update(navigate=k < 2, is_binned=False)


with h5py.File(here / "spectra.hspy", "w") as f:
    f.attrs.update(file_format="HyperSpy", file_format_version="3.3")
    g = f.create_group("Experiments/scan")
    g.create_dataset("data", data=spectra, chunks=(2, 2, 10), compression="gzip", shuffle=True)
    axes(g)
    m = g.create_group("metadata")
    m.create_group("General").attrs["title"] = "a line"
    m.create_group("Signal").attrs["signal_type"] = "EDS_TEM"
    m.create_group("Acquisition_instrument/TEM").attrs["beam_energy"] = 200.0
    text = h5py.string_dtype()
    for name, values in [("elements", ["Al", "Cu"]), ("xray_lines", ["Al_Ka", "Cu_Ka"])]:
        m.create_dataset(f"Sample/_list_{name}", data=np.array(values, dtype=object), dtype=text, chunks=(2,), compression="gzip")
    # A signal in the metadata of another; its integers use 12 of 16 bits.
    inner = m.create_group("twelve")
    axes(inner)
    t = h5py.h5t.STD_U16LE.copy()
    t.set_precision(12)
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_chunk((1, 5, 24))
    p.set_deflate(4)
    d = h5py.h5d.create(inner.id, b"data", t, h5py.h5s.create_simple(spectra.shape), p)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, spectra)
with h5py.File(here / "emd1.h5", "w") as f:
    f.attrs.update(emd_group_type="file", version_major=1, version_minor=0, authoring_program="emdfile")
    root = f.create_group("datacube_root")
    root.attrs["emd_group_type"] = "root"
    g = root.create_group("datacube")
    g.attrs.update(emd_group_type="array", python_class="DataCube")
    g["data"] = four
    for k, (name, step, unit) in enumerate([("Rx", 1, "pixels"), ("Ry", 1, "pixels"), ("Qx", 1, "pixels"), ("Qy", 0.03, "A^-1")]):
        g[f"dim{k}"] = np.array([0, step])
        g[f"dim{k}"].attrs.update(name=name, units=unit)
    c = root.create_group("metadatabundle/calibration")
    for key, value in [("Q_pixel_size", 0.02), ("Q_pixel_units", "A^-1"), ("R_pixel_size", 2.5), ("R_pixel_units", "nm")]:
        c[key] = value
with h5py.File(here / "emd0.h5", "w") as f:
    f.attrs.update(version_major=0, version_minor=11)
    g = f.create_group("4DSTEM_experiment/data/datacubes/datacube_0")
    g["data"] = four
    for k, n in enumerate(four.shape, 1):
        g[f"dim{k}"] = np.arange(n)
        g[f"dim{k}"].attrs["units"] = "[pix]"
    c = f.create_group("4DSTEM_experiment/metadata/metadata_0/calibration")
    c.attrs.update(Q_pixel_size=0.02, Q_pixel_size_units="A^-1")
    c = f.create_group("4DSTEM_experiment/metadata/metadata_0/microscope")
    c.attrs.update(R_pixel_size=2.5, R_pixel_size_units="nm")
