#!/usr/bin/env python3
"""Picks the few patterns and values of the EBSD reference set that the tests need.

    python make_ebsd.py REFERENCE_DIR OUT_DIR

Patterns are whole; results as large as a pattern keep every fifth row and column (`thin`).
"""
import io
import sys
import zipfile

import h5py
import numpy as np
import tifffile

ref, out = sys.argv[1], sys.argv[2]
load = lambda name: np.load(f"{ref}/{name}.npz")
thin = lambda a: a[..., ::5, ::5]

truth = load("truth")
points = truth["points"]
with zipfile.ZipFile(f"{ref}/patterns.zip") as z:
    image = lambda r, c: tifffile.imread(io.BytesIO(z.read(f"Images/{r}_{c}.tiff")))
    raw = np.stack([image(r, c) for r, c in points])
static = tifffile.imread(f"{ref}/StaticBackground.tiff")
pipeline = load("pipeline")
np.savez_compressed(f"{out}/patterns.npz", raw=raw, static=static, processed=pipeline["B_static_s15_c1_99_u8"])

small = {}
for k, v in load("background").items():
    small[k] = thin(v)
for k, v in pipeline.items():
    if k[0] in "ACDEFGHI":
        small[k] = thin(v[:2])
    elif k.startswith("float"):
        small[k] = v
contrast = load("contrast")
for k in ("u8_0001", "u16_0001", "u8_default", "stretch_3_97", "clahe", "clahe_kernel8"):
    small[k] = thin(contrast[k])
small["percentiles"] = contrast["percentiles"]
small["local_norm_k6"] = thin(load("similarity")["local_norm_k6"])
binning = load("binning")
for k in ("mean2", "mean4", "mean7"):
    small[k] = binning[k][:2]
np.savez_compressed(f"{out}/processing.npz", **small)

small = {}
kikuchipy = load("kikuchipy")
for k, v in kikuchipy.items():
    if v.shape[-2:] == (120, 160):
        small[k] = thin(v[:1])
# The set's `rescaled_u8_p05_995` was overwritten in place by the equalisation that followed: made again here.
import kikuchipy as kp

signal = kp.signals.EBSD(raw[:1][None].copy(), static_background=static)
signal.remove_static_background("divide", show_progressbar=False)
signal.rescale_intensity(dtype_out=np.uint8, percentiles=(0.5, 99.5), show_progressbar=False)
small["rescaled_u8_p05_995"] = np.asarray(signal.data)[0].copy()
small["downsample4_u16"] = kikuchipy["downsample4_u16"][:2]
for k in ("iq_raw_full", "iq_raw_not_normalized"):
    small[k] = np.array([kikuchipy[k][r, c] for r, c in points])
small["iq_processed_binned"] = kikuchipy["iq_processed_binned"][:3, :4]
small["adp_processed"] = kikuchipy["adp_processed"][:3, :4]
small["ndp_matrices_processed"] = kikuchipy["ndp_matrices_processed"][:3, :4]
small["average_circular3_u16"] = kikuchipy["average_circular3_u16"][:2, :3]
with h5py.File(f"{ref}/map_binned2.h5") as f, h5py.File(f"{ref}/map_binned2_processed.h5") as g:
    where = f["Scan/EBSD/Header/indexmap"][:3, :4]
    take = lambda d: np.stack([[d[i] for i in row] for row in where])
    small["map_raw"] = take(f["Scan/EBSD/Data/RawPatterns"])
    small["map_processed"] = take(g["Scan/EBSD/Data/Patterns"])
np.savez_compressed(f"{out}/kikuchipy.npz", **small)

hough = load("hough")
small = {k: hough[k] for k in hough if k[:5] in ("input", "otsu0", "otsu1", "otsu2", "otsu3", "peaks", "theta", "rho")}
for i in range(2):
    small[f"accumulator{i}"] = hough[f"accumulator{i}"]
    small[f"butterfly{i}"] = thin(hough[f"butterfly{i}"])
for k, v in load("bands_truth").items():
    small[k] = v
np.savez_compressed(f"{out}/bands.npz", **small)

similarity = load("similarity")
small = {k: v for k, v in similarity.items() if v.size <= 36}
dictionary = load("dictionary")
for k in ("patterns", "experimental", "ncc", "nip", "top5"):
    small[k] = dictionary[k]
np.savez_compressed(f"{out}/similarity.npz", **small)

bse = load("virtual_bse")
at = lambda a: np.array([a[r, c] for r, c in points])
small = {k: at(bse[k]) for k in ("vbse", "vkiku", "total", "fsd6", "com_xy")}
small["rows"] = np.array([bse["rows"][:, r, c] for r, c in points])
small["cols"] = np.array([bse["cols"][:, r, c] for r, c in points])
for k in ("rebin_5x3", "rebin_6x8", "total_vflat", "total_hflat", "vrange_total", "shading"):
    small[k] = bse[k]
small["total_map"] = bse["total"]
small["com_map"] = bse["com_xy"]
small["cells_rows_2_3"] = bse["vbse"][:, :, 2:4]
for k in ("rgb_rows", "rgb_row_ratio", "row_asymmetry"):
    small[k] = bse[k][[3, 2][k != "rgb_rows"]]
small["points"] = points
np.savez_compressed(f"{out}/bse.npz", **small)

# Neighbours: sums are made pixel by pixel, so that every fifth pixel of the whole map is enough; what is rescaled needs whole patterns.
kikuchipy = load("kikuchipy")
neighbours = load("neighbours")
similarity = load("similarity")
binning = load("binning")
small = {k: thin(v) if v.ndim == 2 else v for k, v in neighbours.items()}
with h5py.File(f"{ref}/map_binned2.h5") as f:
    stack, where = f["Scan/EBSD/Data/RawPatterns"][()], f["Scan/EBSD/Header/indexmap"][()]
    small["map_thin"] = thin(stack[where])
    small["around"] = stack[where[6:9, 9:12]]
    small["static_binned"] = f["Scan/EBSD/Data/StaticBackground"][()]
    small["average_gauss3_std1_u16"] = kikuchipy["average_gauss3_std1_u16"][0, :2]
with zipfile.ZipFile(f"{ref}/patterns.zip") as z:
    small["raw_corner"] = np.stack([[image(r, c) for c in range(3)] for r in range(3)])
    all_raw = np.stack([[image(r, c) for c in range(where.shape[1])] for r in range(where.shape[0])])
small["adp_raw"] = kikuchipy["adp_raw"][:2, :2]
small["iq_raw_corner"] = kikuchipy["iq_raw_full"][:3, :3]
small["ncc_right"], small["ncc_down"] = similarity["ncc_right"][:3, :2], similarity["ncc_down"][:2, :3]
small["noise"], small["radial_power"] = similarity["noise"], similarity["radial_power"]
small["raw_thin"], small["map_mean_thin"] = all_raw[..., ::10, ::10], binning["map_mean_pattern"][::10, ::10]
small["bse_map"] = np.array([binning["bse_map"][r, c] for r, c in points])
for k in ("sum2", "sum4", "sum7"):
    small[k] = binning[k][:2]
small["static_mean2"], small["static_mean4"] = binning["static_mean2"], binning["static_mean4"]
small["vbse_roi"] = np.array([kikuchipy["vbse_roi_10_5_40_30"][r, c] for r, c in points])
small["vbse_grid5x5"] = np.array([kikuchipy["vbse_grid5x5"][..., r, c] for r, c in points])
for k in ("kiku_total", "kiku_com_xy", "vkiku"):
    small[k] = bse[k][:3, :4]
small["kiku_row3"], small["kiku_rgb_row3"] = bse["vkiku"][:, :, 3, ::3], bse["kiku_rgb_rows"][3]
small["clahe_u16"], small["stretch_3_97_minmax"] = thin(contrast["clahe_u16"]), contrast["stretch_3_97_minmax"]
np.savez_compressed(f"{out}/neighbours.npz", **small)
