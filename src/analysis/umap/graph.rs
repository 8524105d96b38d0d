//! The fuzzy neighbour graph: local scales, membership strengths, their union.
//!
//! L. McInnes, J. Healy, J. Melville, *UMAP*, arXiv:1802.03426, sections 3.1 and 4.1, with the details of the package umap-learn
//! 0.5 (search for σ by bisection, its lower bound).

use super::Neighbours;
use crate::error::{Error, Result};

/// Bisection for σ ends here.
const TOLERANCE: f64 = 1e-5;
const STEPS: usize = 64;
/// σ is at least this share of the mean distance.
const SMALLEST_SCALE: f64 = 1e-3;

/// A symmetric sparse matrix without diagonal: of each row the columns, ascending, with values. Both directions of an edge are
/// stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Where each row begins in `column` and `value`; one more entry than rows.
    pub start: Vec<usize>,
    /// Column of each entry.
    pub column: Vec<u32>,
    /// Membership strength of each entry, in (0, 1].
    pub value: Vec<f64>,
}

impl Graph {
    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.start.len().saturating_sub(1)
    }
    /// True without vertices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Entries of one row.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.start[i]..self.start[i + 1];
        self.column[range.clone()]
            .iter()
            .map(|&c| c as usize)
            .zip(self.value[range].iter().copied())
    }
    /// The graph without entries below `least`.
    pub fn pruned(&self, least: f64) -> Graph {
        let mut pruned = Graph {
            start: vec![0],
            ..Graph::default()
        };
        for i in 0..self.len() {
            for (j, v) in self.row(i).filter(|&(_, v)| v >= least) {
                pruned.column.push(j as u32);
                pruned.value.push(v);
            }
            pruned.start.push(pruned.column.len());
        }
        pruned
    }
    /// Number of the connected component of each vertex, in the order of their first vertices, and how many there are.
    pub fn components(&self) -> (Vec<usize>, usize) {
        let mut component = vec![usize::MAX; self.len()];
        let mut count = 0;
        let mut todo = Vec::new();
        for first in 0..self.len() {
            if component[first] != usize::MAX {
                continue;
            }
            component[first] = count;
            todo.push(first);
            while let Some(i) = todo.pop() {
                for (j, _) in self.row(i) {
                    if component[j] == usize::MAX {
                        component[j] = count;
                        todo.push(j);
                    }
                }
            }
            count += 1;
        }
        (component, count)
    }
}

/// Local scales of every point.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    /// ρ: the smallest distance above zero.
    pub rho: Vec<f64>,
    /// σ: Σ exp(−max(0, d − ρ)/σ) over the neighbours but the point itself is log₂ k.
    pub sigma: Vec<f64>,
}

/// Distances of each point become ρ and σ.
///
/// σ is bisected from 1 (doubled while there is no upper end) until the sum is within 1e-5 of log₂ k, in at most 64 steps, and is
/// at least 10⁻³ of the mean distance of the point, or of all points where a point has no distance above zero.
pub fn scales(neighbours: &Neighbours) -> Scales {
    let distance = neighbours.distance();
    let target = (neighbours.k() as f64).log2();
    let mean_of_all = distance.mean().unwrap_or(0.0);
    let of = |(_, row): (&[u32], &[f64])| {
        let nearest = row.iter().copied().filter(|&d| d > 0.0).fold(f64::INFINITY, f64::min);
        let nearest = if nearest.is_finite() { nearest } else { 0.0 };
        let mean = if nearest > 0.0 { mean(row) } else { mean_of_all };
        (nearest, bisect(&row[1..], nearest, target).max(SMALLEST_SCALE * mean))
    };
    let (rho, sigma) = neighbours.rows().map(of).unzip();
    Scales { rho, sigma }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// σ with Σ exp(−max(0, d − ρ)/σ) = `target`.
fn bisect(distances: &[f64], rho: f64, target: f64) -> f64 {
    let (mut low, mut high, mut middle) = (0.0, f64::INFINITY, 1.0_f64);
    for _ in 0..STEPS {
        let sum: f64 = distances.iter().map(|d| (-(d - rho).max(0.0) / middle).exp()).sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = middle;
            middle = (low + high) / 2.0;
        } else {
            low = middle;
            middle = if high.is_finite() { (low + high) / 2.0 } else { middle * 2.0 };
        }
    }
    middle
}

/// Directed strengths from new points to points that stay, without union: the rows are the new points. ρ is zero, so that no neighbour
/// is certain.
pub fn towards(neighbours: &Neighbours) -> Graph {
    let target = (neighbours.k() as f64).log2();
    let mut graph = Graph {
        start: vec![0],
        ..Graph::default()
    };
    for (columns, distances) in neighbours.rows() {
        let sigma = bisect(distances, 0.0, target).max(SMALLEST_SCALE * mean(distances));
        graph.column.extend_from_slice(columns);
        graph.value.extend(distances.iter().map(|&d| strength(d, 0.0, sigma)));
        graph.start.push(graph.column.len());
    }
    graph
}

/// Strength of the entry at distance `d` for local scales ρ and σ.
fn strength(d: f64, rho: f64, sigma: f64) -> f64 {
    if d <= rho || sigma == 0.0 {
        1.0
    } else {
        (-(d - rho) / sigma).exp()
    }
}

/// The union W = w + wᵀ − w·wᵀ (element by element) of all points' fuzzy neighbourhoods, w the strengths of each point's list
/// without the point itself.
pub fn fuzzy_union(neighbours: &Neighbours, scales: &Scales) -> Graph {
    let n = neighbours.len();
    // Directed strengths, then both directions of every pair side by side.
    let mut directed: Vec<(u32, u32, f64, bool)> = Vec::with_capacity(2 * n * neighbours.k());
    for (i, (columns, distances)) in neighbours.rows().enumerate() {
        for (&j, &d) in columns.iter().zip(distances) {
            if j as usize != i {
                let w = strength(d, scales.rho[i], scales.sigma[i]);
                directed.push((i as u32, j, w, false));
                directed.push((j, i as u32, w, true));
            }
        }
    }
    directed.sort_unstable_by_key(|&(row, column, _, mirrored)| (row, column, mirrored));
    let mut graph = Graph {
        start: vec![0; n + 1],
        ..Graph::default()
    };
    let mut last = None;
    for (row, column, w, _) in directed {
        if last == Some((row, column)) {
            if let Some(value) = graph.value.last_mut() {
                *value = *value + w - *value * w;
            }
            continue;
        }
        last = Some((row, column));
        graph.column.push(column);
        graph.value.push(w);
        graph.start[row as usize + 1] = graph.value.len();
    }
    // Rows without an entry begin where the one before them ended.
    for i in 1..=n {
        graph.start[i] = graph.start[i].max(graph.start[i - 1]);
    }
    graph
}

/// The distance of every entry of `graph`, the larger of the two that the lists hold.
///
/// # Errors
/// [`Error::Internal`] if the graph has an entry that no list holds.
pub fn entry_distances(graph: &Graph, neighbours: &Neighbours) -> Result<Vec<f64>> {
    let of = |i: usize, j: usize| {
        let (columns, distances) = neighbours.row(i);
        let at = columns.iter().position(|&c| c as usize == j);
        at.map(|at| distances[at])
    };
    let mut all = Vec::with_capacity(graph.value.len());
    for i in 0..graph.len() {
        for (j, _) in graph.row(i) {
            let d = match (of(i, j), of(j, i)) {
                (Some(a), Some(b)) => a.max(b),
                (Some(d), None) | (None, Some(d)) => d,
                (None, None) => return Err(Error::Internal("an edge between points that are no neighbours".into())),
            };
            all.push(d);
        }
    }
    Ok(all)
}
