//! Single-linkage tree and condensed tree.

use super::reachability::Edge;

/// A merge of the single-linkage tree. Nodes 0..n are points, node n + i is the i-th merge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merge {
    /// First child.
    pub left: usize,
    /// Second child.
    pub right: usize,
    /// Distance at which they join.
    pub distance: f64,
    /// Points below.
    pub size: usize,
}

/// A row of the condensed tree: `child` (a point, or a cluster) leaves cluster `parent` at `lambda`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CondensedRow {
    /// A cluster: number of points + its position in the order of appearance; the root is the number of points.
    pub parent: usize,
    /// A point (below the number of points) or a cluster.
    pub child: usize,
    /// 1/distance at which it happens; infinite at distance 0.
    pub lambda: f64,
    /// Points in the child.
    pub size: usize,
}

/// The condensed tree: parents before children.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CondensedTree {
    /// Number of points n; clusters are numbered n (all points), n + 1, …
    pub points: usize,
    /// Number of clusters, the root included.
    pub clusters: usize,
    /// Rows.
    pub rows: Vec<CondensedRow>,
}

/// Joins the edges of a spanning tree in the order given (ascending distance).
pub(super) fn single_linkage(edges: &[Edge]) -> Vec<Merge> {
    let n = edges.len() + 1;
    let mut parent: Vec<usize> = (0..2 * n - 1).collect();
    let mut size: Vec<usize> = vec![1; 2 * n - 1];
    fn root(parent: &mut [usize], mut node: usize) -> usize {
        while parent[node] != node {
            parent[node] = parent[parent[node]];
            node = parent[node];
        }
        node
    }
    edges
        .iter()
        .enumerate()
        .map(|(i, e)| {
            let (left, right) = (root(&mut parent, e.from), root(&mut parent, e.to));
            let node = n + i;
            parent[left] = node;
            parent[right] = node;
            size[node] = size[left] + size[right];
            Merge {
                left,
                right,
                distance: e.distance,
                size: size[node],
            }
        })
        .collect()
}

/// Nodes below and including `from`, level by level.
fn breadth_first(merges: &[Merge], from: usize) -> Vec<usize> {
    let n = merges.len() + 1;
    let mut nodes = vec![from];
    let mut next = 0;
    while let Some(&node) = nodes.get(next) {
        if node >= n {
            nodes.extend([merges[node - n].left, merges[node - n].right]);
        }
        next += 1;
    }
    nodes
}

/// Keeps only the splits with at least `min_cluster_size` points on both sides.
pub(super) fn condense(merges: &[Merge], min_cluster_size: usize) -> CondensedTree {
    let n = merges.len() + 1;
    let size = |node: usize| if node < n { 1 } else { merges[node - n].size };
    let root = 2 * n - 2;
    // Cluster that each node of the single-linkage tree belongs to; none once it has fallen out.
    let mut cluster = vec![usize::MAX; 2 * n - 1];
    cluster[root] = n;
    let mut clusters = 1;
    let mut rows = Vec::with_capacity(n);
    for node in breadth_first(merges, root) {
        if node < n || cluster[node] == usize::MAX {
            continue;
        }
        let Merge {
            left, right, distance, ..
        } = merges[node - n];
        let lambda = if distance > 0.0 { 1.0 / distance } else { f64::INFINITY };
        let parent = cluster[node];
        let sides = [left, right].map(|side| (side, size(side) >= min_cluster_size));
        let split = sides[0].1 && sides[1].1;
        for (side, large) in sides {
            if split {
                cluster[side] = n + clusters;
                clusters += 1;
                rows.push(CondensedRow {
                    parent,
                    child: cluster[side],
                    lambda,
                    size: size(side),
                });
            } else if large {
                cluster[side] = parent;
            } else {
                let fallen = breadth_first(merges, side).into_iter().filter(|&p| p < n);
                rows.extend(fallen.map(|child| CondensedRow {
                    parent,
                    child,
                    lambda,
                    size: 1,
                }));
            }
        }
    }
    CondensedTree {
        points: n,
        clusters,
        rows,
    }
}
