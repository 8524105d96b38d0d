//! Core distances and the minimum spanning tree of mutual reachability.

use ndarray::ArrayView2;
use rayon::prelude::*;

/// An edge of the spanning tree: two points and their mutual reachability distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The end that was in the tree first.
    pub from: usize,
    /// The end that joined it.
    pub to: usize,
    /// Mutual reachability distance.
    pub distance: f64,
}

/// Euclidean distance, summed in the order of the coordinates.
#[inline(always)]
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (x, y) in a.iter().zip(b) {
        sum += (x - y) * (x - y);
    }
    sum.sqrt()
}

/// Rows of a (n, d) array as slices; `points` in standard layout (others are copied).
fn rows<R>(points: ArrayView2<f64>, with: impl FnOnce(&[f64], usize) -> R) -> R {
    let d = points.ncols();
    let points = points.as_standard_layout();
    with(points.as_slice().unwrap_or(&[]), d)
}

/// Distance of every point to its `k`-th nearest other point (k ≥ 1, at most n − 1).
pub fn core_distances(points: ArrayView2<f64>, k: usize) -> Vec<f64> {
    let n = points.nrows();
    if n < 2 || k == 0 || points.ncols() == 0 {
        return vec![0.0; n];
    }
    let k = k.min(n - 1);
    rows(points, |data, d| {
        data.par_chunks_exact(d)
            .enumerate()
            .map_init(
                || (Vec::with_capacity(k + 1), Vec::with_capacity(n)),
                |(nearest, all), (i, p)| {
                    let others = data
                        .chunks_exact(d)
                        .enumerate()
                        .filter(|&(j, _)| j != i)
                        .map(|(_, q)| distance(p, q));
                    if k > 64 {
                        all.clear();
                        all.extend(others);
                        return *all.select_nth_unstable_by(k - 1, f64::total_cmp).1;
                    }
                    // Few neighbours: keep them sorted; most candidates fail the one comparison with the last.
                    nearest.clear();
                    for v in others {
                        if nearest.len() < k || nearest.last().is_some_and(|&last| v < last) {
                            let at = nearest.partition_point(|&x| x <= v);
                            nearest.insert(at, v);
                            nearest.truncate(k);
                        }
                    }
                    nearest.last().copied().unwrap_or(0.0)
                },
            )
            .collect()
    })
}

/// Minimum spanning tree of the mutual reachability distances max(|p − q|, c(p), c(q)), `core` = c, by Prim's algorithm from
/// point 0: n − 1 edges in the order in which points join, the lowest index among equals, an edge replaced only by a
/// shorter one.
pub fn spanning_tree(points: ArrayView2<f64>, core: &[f64]) -> Vec<Edge> {
    struct Outside {
        point: usize,
        nearest: usize,
        distance: f64,
    }
    let n = points.nrows().min(core.len());
    let mut edges = Vec::with_capacity(n.saturating_sub(1));
    if n < 2 {
        return edges;
    }
    rows(points, |data, d| {
        // Points outside the tree, by index.
        let mut outside: Vec<Outside> = (1..n)
            .map(|point| Outside {
                point,
                nearest: 0,
                distance: f64::INFINITY,
            })
            .collect();
        let mut current = 0;
        while !outside.is_empty() {
            let here = &data[current * d..][..d];
            let core_here = core[current];
            let (mut best, mut best_at) = (f64::INFINITY, 0);
            for (at, o) in outside.iter_mut().enumerate() {
                let floor = core_here.max(core[o.point]);
                if floor < o.distance {
                    let reach = distance(here, &data[o.point * d..][..d]).max(floor);
                    if reach < o.distance {
                        o.distance = reach;
                        o.nearest = current;
                    }
                }
                if o.distance < best {
                    best = o.distance;
                    best_at = at;
                }
            }
            // Order-preserving removal: a move of memory, small next to the sweep above.
            let o = outside.remove(best_at);
            edges.push(Edge {
                from: o.nearest,
                to: o.point,
                distance: o.distance,
            });
            current = o.point;
        }
    });
    edges
}
