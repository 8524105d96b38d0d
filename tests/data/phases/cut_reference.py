"""Cuts what tests/phases_analysis.rs needs out of the full reference arrays:  python cut_reference.py REFERENCE_FOLDER OUT.npz
Every fifth point where an array has one value per point."""
import sys
from pathlib import Path
import numpy as np
ref, out = Path(sys.argv[1]), sys.argv[2]
o = {}
o["embedding"] = np.load(ref / "fixed_embedding.npy")
o["truth"] = np.load(ref / "truth.npy").ravel().astype(np.int32)
knn = np.load(ref / "knn.npz")
o["index"] = knn["index_euclidean"][:, :10].astype(np.int32)
o["distance"] = knn["distance_euclidean"][:, :10]
x = np.load(ref / "scaled.npz")["scaled_f32"].astype(np.float64)  # itself and its 15 nearest neighbours
square = (x * x).sum(1)
square = square[:, None] + square[None] - 2 * x @ x.T
np.fill_diagonal(square, -1)
o["nearest"] = np.argsort(square, axis=1, kind="stable")[:, :16].astype(np.int32)
g = np.load(ref / "graph_float64_euclidean.npz")
keep = g["row"] % 5 == 0
o["graph_row"], o["graph_column"], o["graph_value"] = g["row"][keep], g["col"][keep], g["val"][keep]
o["graph_entries"] = np.array([len(g["row"])], np.int32)
o["rho"], o["sigma"] = g["rho"][::5], g["sigma"][::5]
u = np.load(ref / "umap_euclidean.npz")
o["curve"] = np.array([u["a"], u["b"]])
o["eigenvalues"] = u["laplacian_eigenvalues"]
o["data_radii"] = u["rad_orig_check"][::5]
o["kept"] = np.array([u["kept_densmap"].sum(), u["kept_plain"].sum()], np.int32)
d = np.load(ref / "densmap_state.npz")
o["state_radius"], o["state_phi"], o["state_weight"] = d["log_radius_embedding"][::5], d["phi_sum"][::5], d["weight"][::5]
o["state_numbers"] = np.array([d["re_mean"], d["re_std"], d["re_cov"], d["mu_tot"]])
keep = d["edge_row"] % 25 == 0
o["edge_row"], o["edge_column"], o["edge_coefficient"] = d["edge_row"][keep], d["edge_col"][keep], d["edge_coefficient"][keep]
o["edge_mu"] = d["edge_mu"][keep]
for f in sorted(ref.glob("hdbscan_*.npz")):
    z, name = np.load(f), f.stem[len("hdbscan_"):]
    o[name + "_weights"] = z["mst_weights_sorted"][::5]
    o[name + "_core"] = z["core_distance"][::5]
    o[name + "_labels"] = z["labels"].astype(np.int32)
    for key in ("stability", "persistence"):
        o[name + "_" + key] = z[key]
    o[name + "_selected"] = z["selected"].astype(np.int32)
    o[name + "_clusters"] = np.array([len(z["stability_id"])], np.int32)
    for key in ("probabilities", "outlier_scores", "prob_in_some_cluster", "memberships", "membership_distance", "membership_outlier"):
        o[name + "_" + key] = z[key][::5]
s = np.load(ref / "stability.npz")
for m in ("euclidean", "chebyshev"):
    o[m + "_runs"] = s[m + "_labels"].reshape(5, -1).astype(np.int32)
    for key in ("ari", "nmi"):
        o[f"{m}_{key}"] = s[f"{m}_{key}"]
    o[m + "_reference"] = np.array([s[m + "_reference_run"]], np.int32)
    for key in ("agreement", "pairwise_agreement"):
        o[f"{m}_{key}"] = s[f"{m}_{key}"].ravel()
np.savez_compressed(out, **o)
