"""Writes h5/filters.h5 beside this script (needs numpy, h5py and hdf5plugin): one dataset for each filter and layout of chunks.

Pixel (y, x, i, j) of every 4-D array is 1000 y + 100 x + 10 i + j, as in make_h5.py; `large/*` is one frame of 64 x 96 pixels for
blocks that are split and leave a remainder: ((37 i + 11 j) % 256) (i % 3 == 0) + i.
"""
import pathlib

import h5py
import hdf5plugin
import numpy as np

here = pathlib.Path(__file__).parent / "h5"
y, x, i, j = np.ogrid[0:3, 0:5, 0:4, 0:6]
four = (1000 * y + 100 * x + 10 * i + j).astype("<u2")
i, j = np.ogrid[0:64, 0:96]
large = (((37 * i + 11 * j) % 256) * (i % 3 == 0) + i).astype("<u2")[None]

gzip = dict(compression="gzip", compression_opts=4)
filters = {
    "gzip": gzip,
    "gzip_shuffle": dict(gzip, shuffle=True),
    "gzip_shuffle_fletcher": dict(gzip, shuffle=True, fletcher32=True),
    "fletcher": dict(fletcher32=True),
    "shuffle": dict(shuffle=True),
    "lzf": dict(compression="lzf"),
    "lzf_shuffle": dict(compression="lzf", shuffle=True),
    "bitshuffle": hdf5plugin.Bitshuffle(cname="none"),
    "bitshuffle_lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "bitshuffle_lz4_blocks": hdf5plugin.Bitshuffle(nelems=64, cname="lz4"),
    "bitshuffle_zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "lz4": hdf5plugin.LZ4(),
    "lz4_blocks": hdf5plugin.LZ4(nbytes=1000),
    "zstd": hdf5plugin.Zstd(),
}
for cname in ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]:
    for name, shuffle in [("", 0), ("_shuffle", 1), ("_bitshuffle", 2)]:
        filters[f"blosc_{cname}{name}"] = hdf5plugin.Blosc(cname=cname, clevel=5, shuffle=shuffle)
chunks = {"frame": (1, 1, 4, 6), "frames": (1, 2, 4, 6), "parts": (2, 3, 3, 4), "whole": (3, 5, 4, 6)}

with h5py.File(here / "filters.h5", "w") as f:
    for name, kw in filters.items():
        f.create_dataset(f"parts/{name}", data=four, chunks=chunks["parts"], **kw)
        f.create_dataset(f"large/{name}", data=large, chunks=large.shape, **kw)
    for name, shape in chunks.items():
        f.create_dataset(f"chunks/{name}", data=four, chunks=shape, **dict(gzip, shuffle=True))
        for t in [">u2", "<f4", ">f8"]:
            f.create_dataset(f"types/{name}_{t[1:]}", data=four.astype(t), chunks=shape, **hdf5plugin.Bitshuffle(cname="lz4"))
    # Some chunks were never written; one skips its optional filter.
    d = f.create_dataset("partly", shape=four.shape, dtype="<u2", chunks=(1, 2, 4, 6), fillvalue=7, **gzip)
    d[1] = four[1]
    d = f.create_dataset("skipped", shape=four.shape, dtype="<u2", chunks=(1, 5, 4, 6), **dict(gzip, shuffle=True))
    d[:] = four
    d.id.write_direct_chunk((1, 0, 0, 0), four[1].tobytes(), filter_mask=3)
# Indices of chunks other than the old B-tree.
with h5py.File(here / "filters_v110.h5", "w", libver=("v110", "v110")) as f:
    f.create_dataset("fixed", data=four, chunks=(1, 2, 4, 6), **gzip)
    f.create_dataset("single", data=four, chunks=four.shape, **gzip)
    f.create_dataset("extensible", data=four, chunks=(1, 2, 4, 6), maxshape=(None, 5, 4, 6), **gzip)
    f.create_dataset("btree", data=four, chunks=(1, 2, 4, 6), maxshape=(None, None, 4, 6), **gzip)
