"""Writes the small HDF5 files beside this script (needs numpy and h5py): layouts and attributes of other programs.

Pixel (y, x, i, j) of every 4-D array is 1000 y + 100 x + 10 i + j, in 3-D arrays 100 n + 10 i + j.
"""
import pathlib
import h5py
import numpy as np

here = pathlib.Path(__file__).parent / "h5"
here.mkdir(exist_ok=True)
y, x, i, j = np.ogrid[0:3, 0:5, 0:4, 0:6]
four = 1000 * y + 100 * x + 10 * i + j
three = four[0]


def new(name, **kw):
    return h5py.File(here / name, "w", **kw)


with new("types.h5") as f:
    for t in ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8", ">u8", "<i8", ">i8", "<f4", ">f4", "<f8", ">f8"]:
        data = (four % 128).astype(t) if t in ("u1", "i1") else four.astype(t)
        name = t.replace("<", "le_").replace(">", "be_")
        f[f"contiguous/{name}"] = data
        f.create_dataset(f"chunked/{name}", data=data, chunks=(2, 2, 3, 4), compression="gzip", shuffle=True)
with new("half.h5") as f:
    half = (four % 128 - 60) / 8
    half[0, 0, 0, :4] = 65504, -(2.0**-24), -65504, 0.333251953125
    for t in ["<f2", ">f2"]:
        name = t.replace("<", "le_").replace(">", "be_")
        f[f"contiguous/{name}"] = half.astype(t)
        f.create_dataset(f"chunked/{name}", data=half.astype(t), chunks=(2, 2, 3, 4), compression="gzip", shuffle=True)
    bfloat16 = h5py.h5t.IEEE_F32LE.copy()
    bfloat16.set_fields(15, 7, 8, 0, 7)
    bfloat16.set_size(2)
    bfloat16.set_ebias(127)
    h5py.h5d.create(f.id, b"bfloat16", bfloat16, h5py.h5s.create_simple((3, 5, 4, 6)))
with new("layouts.h5") as f:
    u2 = four.astype("<u2")
    f.create_dataset("lzf", data=u2, chunks=(1, 3, 4, 6), compression="lzf")
    f.create_dataset("plain", data=u2, chunks=(1, 1, 4, 6))
    f.create_dataset("checked", data=u2, chunks=(3, 5, 2, 6), fletcher32=True)
    f.create_dataset("stack", data=three.astype("<u2"), chunks=(2, 4, 6), compression="gzip")
    f.create_dataset("partly", shape=(3, 5, 4, 6), dtype="<u2", chunks=(1, 5, 4, 6), fillvalue=7)
    f["partly"][1] = u2[1]
    f["too_wide"] = (four.astype("<u8") << 24)
    f["signed_wide"] = -four.astype("<i8")
    f["image"] = u2[0, 0]
    f["five"] = u2[None]
    f["text"] = np.full((3, 2, 2), b"abc")
    f["complex"] = four.astype("c8")
    f.create_dataset("empty", shape=(3, 0, 4, 6), dtype="u2")
    f.create_dataset("unwritten", shape=(1 << 20, 1 << 8, 64, 64), dtype="u2", chunks=(1, 1, 64, 64))
    f.create_dataset("huge", shape=(1 << 30, 1 << 30, 64, 64), dtype="u2", chunks=(1, 1, 64, 64))
    f.create_dataset("external", shape=(3, 5, 4, 6), dtype="u2", external=[("elsewhere.raw", 0, 720)])
    v = h5py.VirtualLayout((3, 5, 4, 6), "u2")
    v[:] = h5py.VirtualSource("elsewhere.h5", "d", (3, 5, 4, 6))
    f.create_virtual_dataset("virtual", v)
    p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    p.set_chunk((1, 5, 4, 6))
    p.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, (0, 2))
    d = h5py.h5d.create(f.id, b"bitshuffle", h5py.h5t.STD_U16LE, h5py.h5s.create_simple((3, 5, 4, 6)), p)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, u2)
with new("userblock.h5", userblock_size=1024) as f:
    f["deep/inside/data"] = four.astype("<u2")
with new("emd.h5") as f:
    g = f.create_group("4DSTEM_experiment/data/datacubes/datacube_0")
    g["data"] = four.astype("<u2")
    for k, (n, step, unit) in enumerate([(3, 2.0, "nm"), (5, 2.5, "nm"), (4, 0.01, "A^-1"), (6, 0.02, "A^-1")], 1):
        g[f"dim{k}"] = step * np.arange(n)
        g[f"dim{k}"].attrs["units"] = f"[{unit}]" if k == 1 else unit
with new("py4dstem.h5") as f:
    g = f.create_group("datacube_root/datacube")
    g["data"] = four.astype("<u2")
    for k, (step, unit) in enumerate([(2.0, "nm"), (2.5, "nm"), (0.01, "A^-1"), (0.02, "A^-1")]):
        g[f"dim{k}"] = np.array([0, step])
        g[f"dim{k}"].attrs["units"] = unit
with new("hyperspy.hspy") as f:
    g = f.create_group("Experiments/scan")
    g.create_dataset("data", data=four.astype("<u2"), chunks=(1, 5, 4, 6), compression="gzip")
    for k, (step, unit) in enumerate([(2.0, "nm"), (2.5, "nm"), (0.01, "1/A"), (0.02, "<undefined>")]):
        a = g.create_group(f"axis-{k}")
        a.attrs["scale"] = step
        a.attrs["units"] = np.bytes_(unit) if k == 1 else unit
with new("nothing.h5") as f:
    f["note"] = "no numbers"
