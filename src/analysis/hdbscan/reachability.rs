//! Core distances and the minimum spanning tree of mutual reachability, all pairs looked at, memory for n points only.

use crate::backend::cpu::isa::{Isa, per_isa};
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

/// Points that are looked at together; a multiple of every vector width.
const CHUNK: usize = 256;

/// Coordinates one after the other, so that loops over points become vector code.
struct Columns {
    n: usize,
    values: Vec<f64>,
}

impl Columns {
    fn of(points: ArrayView2<f64>) -> Columns {
        Columns {
            n: points.nrows(),
            values: points.t().iter().copied().collect(),
        }
    }
    fn dimensions(&self) -> usize {
        self.values.len().checked_div(self.n).unwrap_or(0)
    }
    /// Coordinates of point `i`.
    fn point(&self, i: usize, into: &mut Vec<f64>) {
        into.clear();
        into.extend((0..self.dimensions()).map(|d| self.values[d * self.n + i]));
    }
}

/// Adds (column − x)² to `sums`.
#[inline(always)]
fn add_squares(sums: &mut [f64; CHUNK], column: &[f64], x: f64) {
    for (s, &c) in sums.iter_mut().zip(column) {
        *s += (x - c) * (x - c);
    }
}

per_isa! {
    /// Squared distances from `point` to the points `start ..` of `columns` (at most [`CHUNK`]), summed in the order of the
    /// coordinates.
    fn squares(columns: &[f64], n: usize, start: usize, point: &[f64], sums: &mut [f64; CHUNK]) {
        *sums = [0.0; CHUNK];
        let end = n.min(start + CHUNK);
        for (column, &x) in columns.chunks_exact(n).zip(point) {
            add_squares(sums, &column[start..end], x);
        }
    }
}

/// The `k` smallest of the numbers shown to it, sorted.
struct Smallest {
    k: usize,
    kept: Vec<f64>,
}

impl Smallest {
    fn bound(&self) -> f64 {
        if self.kept.len() < self.k {
            f64::INFINITY
        } else {
            self.kept.last().copied().unwrap_or(f64::INFINITY)
        }
    }
    fn show(&mut self, v: f64) {
        let at = self.kept.partition_point(|&x| x <= v);
        self.kept.insert(at, v);
        self.kept.truncate(self.k);
    }
}

/// Distance of every point to its `k`-th nearest other point (k ≥ 1, at most n − 1).
pub fn core_distances(points: ArrayView2<f64>, k: usize) -> Vec<f64> {
    let mut core = core_squares(points, k);
    core.iter_mut().for_each(|c| *c = c.sqrt());
    core
}

/// Squares of [`core_distances`], as they were summed: their roots squared again would differ in the last bit, and reachabilities that are
/// equal would not be.
pub(super) fn core_squares(points: ArrayView2<f64>, k: usize) -> Vec<f64> {
    let n = points.nrows();
    if n < 2 || k == 0 || points.ncols() == 0 {
        return vec![0.0; n];
    }
    let k = k.min(n - 1);
    let (columns, isa) = (Columns::of(points), Isa::active());
    let scratch = || (Vec::new(), [0.0; CHUNK], Vec::new(), Vec::new());
    (0..n)
        .into_par_iter()
        .map_init(scratch, |(point, sums, kept, all), i| {
            columns.point(i, point);
            let few = k <= 64;
            let mut smallest = Smallest {
                k,
                kept: std::mem::take(kept),
            };
            smallest.kept.clear();
            all.clear();
            for start in (0..n).step_by(CHUNK) {
                squares(isa, &columns.values, n, start, point, sums);
                let seen = &mut sums[..CHUNK.min(n - start)];
                if let Some(own) = i.checked_sub(start).and_then(|at| seen.get_mut(at)) {
                    *own = f64::INFINITY;
                }
                if !few {
                    all.extend_from_slice(seen);
                    continue;
                }
                // Most groups fail the one comparison with the farthest that is kept.
                for group in seen.chunks(16) {
                    let bound = smallest.bound();
                    if group.iter().any(|&v| v < bound) {
                        group.iter().filter(|v| v.is_finite()).for_each(|&v| {
                            if v < smallest.bound() {
                                smallest.show(v)
                            }
                        });
                    }
                }
            }
            let square = if few {
                smallest.kept.last().copied().unwrap_or(0.0)
            } else {
                *all.select_nth_unstable_by(k - 1, f64::total_cmp).1
            };
            *kept = smallest.kept;
            square
        })
        .collect()
}

/// Points outside the tree, by index; those that joined are taken out from time to time.
struct Outside {
    n: usize,
    /// Coordinates one after the other, `n` each.
    columns: Vec<f64>,
    /// Squared core distance; infinite once a point has joined.
    core: Vec<f64>,
    /// Squared reachability to the nearest point of the tree; infinite once a point has joined.
    reach: Vec<f64>,
    /// That point.
    nearest: Vec<u32>,
    point: Vec<u32>,
}

per_isa! {
    /// Shows the points outside a new member of the tree; gives back the position of the one that is nearest to the tree now, the
    /// first among equals.
    fn sweep(outside: &mut Outside, member: u32, at: &[f64], core: f64, sums: &mut [f64; CHUNK]) -> usize {
        let n = outside.n;
        let (mut best, mut best_chunk) = (f64::INFINITY, 0);
        for start in (0..n).step_by(CHUNK) {
            let end = n.min(start + CHUNK);
            *sums = [0.0; CHUNK];
            for (column, &x) in outside.columns.chunks_exact(n).zip(at) {
                add_squares(sums, &column[start..end], x);
            }
            let (cores, reaches) = (&outside.core[start..end], &mut outside.reach[start..end]);
            let nearest = &mut outside.nearest[start..end];
            let mut least = f64::INFINITY;
            for (((&square, &own), reach), nearest) in sums.iter().zip(cores).zip(reaches).zip(nearest) {
                let new = square.max(core).max(own);
                let closer = new < *reach;
                *reach = if closer { new } else { *reach };
                *nearest = if closer { member } else { *nearest };
                least = if *reach < least { *reach } else { least };
            }
            if least < best {
                best = least;
                best_chunk = start;
            }
        }
        let chunk = &outside.reach[best_chunk..n.min(best_chunk + CHUNK)];
        best_chunk + chunk.iter().position(|&r| r == best).unwrap_or(0)
    }
}

impl Outside {
    /// All points but the first, with squared core distances.
    fn new(columns: &Columns, core: &[f64]) -> Outside {
        let m = columns.n - 1;
        Outside {
            n: m,
            columns: columns
                .values
                .chunks_exact(columns.n)
                .flat_map(|c| c[1..].iter().copied())
                .collect(),
            core: core[1..].to_vec(),
            reach: vec![f64::MAX; m],
            nearest: vec![0; m],
            point: (1..=m as u32).collect(),
        }
    }
    /// Marks the point at `at` as a member.
    fn join(&mut self, at: usize) {
        self.core[at] = f64::INFINITY;
        self.reach[at] = f64::INFINITY;
    }
    /// Forgets the members.
    fn compact(&mut self) {
        let stays: Vec<usize> = (0..self.n).filter(|&i| self.core[i].is_finite()).collect();
        let n = self.n;
        self.columns = self
            .columns
            .chunks_exact(n)
            .flat_map(|c| stays.iter().map(|&i| c[i]))
            .collect();
        self.core = stays.iter().map(|&i| self.core[i]).collect();
        self.reach = stays.iter().map(|&i| self.reach[i]).collect();
        self.nearest = stays.iter().map(|&i| self.nearest[i]).collect();
        self.point = stays.iter().map(|&i| self.point[i]).collect();
        self.n = stays.len();
    }
}

/// Minimum spanning tree of the mutual reachability distances max(|p − q|, c(p), c(q)), `core` = c, by Prim's algorithm from
/// point 0: n − 1 edges in the order in which points join, the lowest index among equals, an edge replaced only by a
/// shorter one. Fewer than 2³² points.
pub fn spanning_tree(points: ArrayView2<f64>, core: &[f64]) -> Vec<Edge> {
    let squares: Vec<f64> = core.iter().map(|c| c * c).collect();
    tree_of_squares(points, &squares)
}

/// [`spanning_tree`] for squared core distances.
pub(super) fn tree_of_squares(points: ArrayView2<f64>, core: &[f64]) -> Vec<Edge> {
    let n = points.nrows().min(core.len());
    let mut edges = Vec::with_capacity(n.saturating_sub(1));
    if n < 2 {
        return edges;
    }
    let columns = Columns::of(points.slice(ndarray::s![..n, ..]));
    let mut outside = Outside::new(&columns, core);
    let (isa, mut sums) = (Isa::active(), [0.0; CHUNK]);
    let (mut current, mut at, mut joined) = (0, Vec::new(), 0);
    while edges.len() + 1 < n {
        columns.point(current, &mut at);
        let next = sweep(isa, &mut outside, current as u32, &at, core[current], &mut sums);
        current = outside.point[next] as usize;
        edges.push(Edge {
            from: outside.nearest[next] as usize,
            to: current,
            distance: outside.reach[next].sqrt(),
        });
        outside.join(next);
        joined += 1;
        if joined * 8 > outside.n {
            outside.compact();
            joined = 0;
        }
    }
    edges
}
