"""What the package hdbscan makes of equal weights in the reference embedding:  python cut_ties.py REFERENCE_FOLDER OUT.npz
The exact tree (Prim's, as `mst_linkage_core_vector` of the package builds it), the order in which the reference's tree joins its edges, and
labels, persistence and probabilities (every fifth) by the package's own functions after a stable sort."""
import sys
from pathlib import Path
import numpy as np
from hdbscan._hdbscan_linkage import label
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters

ref, out = Path(sys.argv[1]), {}
y = np.load(ref / "fixed_embedding.npy").astype(float)
square = np.zeros((len(y), len(y)))
for axis in y.T:
    square += (axis[:, None] - axis[None]) ** 2
d = np.sqrt(square)
nearest = np.sort(d, 1)


def prim(core):
    inside, reach, source, here, edges = np.zeros(len(d), bool), np.full(len(d), np.inf), np.zeros(len(d), int), 0, []
    for _ in range(len(d) - 1):
        inside[here] = True
        new = np.maximum(np.maximum(d[here], core[here]), core)
        closer = (new < reach) & ~inside
        reach[closer], source[closer] = new[closer], here
        there = int(np.where(inside, np.inf, reach).argmin())
        edges.append((source[there], there, reach[there]))
        here = there
    return np.array(edges, float)


for samples, sizes in ((10, (100,)), (5, (50, 20))):
    tree = prim(nearest[:, samples])
    order = np.argsort(tree[:, 2])
    assert np.array_equal(label(tree[order]), np.load(ref / f"hdbscan_{sizes[0]}_{samples}_eom.npz")["single_linkage"])
    out[f"tied_order_{samples}"] = tree[order][:, :2].astype(np.int32)
    stable = label(tree[np.argsort(tree[:, 2], kind="stable")])
    for size in sizes:
        condensed = condense_tree(stable, size)
        for method in ("eom", "leaf"):
            found = get_clusters(condensed, compute_stability(condensed), method, False, False, 0.0, 0)
            name = f"{size}_{samples}_{method}_stable"
            out[name + "_labels"] = found[0].astype(np.int32)
            out[name + "_probabilities"], out[name + "_persistence"] = found[1][::5], np.asarray(found[2])
np.savez_compressed(sys.argv[2], **out)
