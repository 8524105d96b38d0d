//! How many clusters? Chosen from the merge tree, the features and the neighbourhood of positions.
//!
//! Distances of merges alone do not tell a grain boundary from strain or bending inside a large grain: both make distant means.
//! What tells them apart is *where* the difference happens. Between two grains all of it lies between neighbouring positions on
//! the two sides of the boundary; inside one grain it is spread over the whole of it. `docs/auto-clusters.md` has the formula,
//! how it was found, and how often it was right.

use super::grid::Grid;
use super::tree::Tree;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use std::collections::HashMap;

/// A merge must cost this many times what noise alone costs before it counts at all.
const NOISE: f64 = 5.0;
/// Weight above which a merge speaks for a boundary rather than against it.
const BALANCE: f64 = 0.5;
/// Clusters of fewer positions are outliers, not crystallites.
const SMALLEST: u32 = 4;
/// Merges are looked at as far as clusters of this many positions on average …
const MEAN_SIZE: usize = 12;
/// … and no further than this number of clusters (memory: three feature vectors in float64 for each).
const MOST: usize = 1024;

/// The chosen number of clusters and what spoke for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The number of clusters with the highest score.
    pub clusters: usize,
    /// The number with the second highest score, if more than one number is possible.
    pub runner_up: Option<usize>,
    /// `scores[k - 1]` is the score of k clusters.
    pub scores: Vec<f64>,
    /// `splits[k - 2]` describes the step from k − 1 to k clusters.
    pub splits: Vec<Split>,
}

/// One merge, seen from above: a cluster comes apart into two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Number of clusters after it.
    pub clusters: usize,
    /// Distance of the merge in the tree.
    pub distance: f64,
    /// Positions of the smaller part.
    pub smaller: usize,
    /// Share of the difference of the two means that happens across the boundary: about 1 for two grains, small for a gradient.
    pub contrast: f64,
    /// Cost of the merge in units of the noise of one feature vector; pure noise costs about 1.
    pub cost: f64,
    /// How much this split looks like a boundary, from 0 to 1.
    pub weight: f64,
}

/// Chooses the number of clusters for `tree`, which was made from `features` (positions × features) on `grid`.
///
/// Takes O(n·features) time. Memory: 12 bytes a position, and 24 bytes a feature for at most min(n / 12, 1024) clusters.
/// The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Parameter`] if tree, features and grid have different numbers of positions; [`Error::Cancelled`].
pub fn choose(tree: &Tree, features: ArrayView2<f32>, grid: &Grid, control: &Control) -> Result<Choice> {
    if grid.len() != tree.leaves() {
        return Err(Error::parameter(
            "clusters",
            format!("a tree of {} positions on a grid of {}", tree.leaves(), grid.len()),
        ));
    }
    // Every pair of neighbours once.
    let pairs = (0..grid.len()).flat_map(|i| grid.neighbours(i).map(move |j| [i, j as usize]).filter(|[i, j]| i < j));
    choose_with(tree, features, pairs, control)
}

/// As [`choose`], for any neighbourhood: `pairs` lists every pair of neighbouring positions once.
///
/// # Errors
/// As [`choose`]; [`Error::Parameter`] if a pair names a position that does not exist.
pub fn choose_with(
    tree: &Tree,
    features: ArrayView2<f32>,
    pairs: impl Iterator<Item = [usize; 2]>,
    control: &Control,
) -> Result<Choice> {
    let n = tree.leaves();
    if features.nrows() != n {
        return Err(Error::parameter(
            "features",
            format!("{} rows for a tree of {n} positions", features.nrows()),
        ));
    }
    let top = Top::new(tree);
    let sums = top.sums(features, control)?;
    let edges = top.edges(features, pairs, control)?;
    let splits: Vec<Split> = (2..=top.parts).map(|k| top.split(tree, k, &sums, &edges)).collect();
    let mut scores = vec![0.0];
    for split in &splits {
        scores.push(scores[scores.len() - 1] + split.weight - BALANCE);
    }
    // The highest score and the second; of equal ones the smaller number of clusters.
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]).then(i.cmp(&j)));
    Ok(Choice {
        clusters: order[0] + 1,
        runner_up: order.get(1).map(|k| k + 1),
        scores,
        splits,
    })
}

/// The upper end of a merge tree: `parts` clusters and the merges that join them. Its nodes are numbered from 0: the parts and the
/// merges, in the order of the tree, so children come before parents and the root is last.
struct Top {
    parts: usize,
    /// Tree number of the first merge that is not done.
    first_merge: usize,
    /// Part of each position.
    part: Vec<u32>,
    /// Positions below each node.
    size: Vec<u32>,
    children: Vec<[u32; 2]>,
    parent: Vec<u32>,
    /// Whether a node is the second child of its parent.
    second: Vec<bool>,
}

/// Sums over the pairs of neighbours.
struct Edges {
    /// For each merge: sum of f_j − f_i over pairs with i in its first and j in its second child, and their number.
    jump: Array2<f64>,
    crossing: Vec<u64>,
    /// For each part: sum of |f_j − f_i|² over pairs inside it, and their number.
    inside: Vec<(f64, u64)>,
}

impl Top {
    fn new(tree: &Tree) -> Self {
        let n = tree.leaves();
        let parts = (n / MEAN_SIZE).clamp(2, MOST).min(n);
        let first_merge = n - parts;
        // Nodes of the top are numbered in ascending order of their numbers in the tree.
        let mut number = vec![u32::MAX; 2 * n - 1];
        let above = &tree.children()[first_merge..];
        let mut nodes: Vec<u32> = above.iter().flatten().copied().chain([(2 * n - 2) as u32]).collect();
        nodes.sort_unstable();
        nodes.iter().zip(0..).for_each(|(&node, i)| number[node as usize] = i);
        let children: Vec<[u32; 2]> = above.iter().map(|pair| pair.map(|c| number[c as usize])).collect();
        // Below the top, nodes hand their part down to their children.
        for m in (0..first_merge).rev() {
            for c in tree.children()[m] {
                number[c as usize] = number[n + m];
            }
        }
        number.truncate(n);
        let mut size = vec![0u32; nodes.len()];
        number.iter().for_each(|&p| size[p as usize] += 1);
        let (mut parent, mut second) = (vec![u32::MAX; nodes.len()], vec![false; nodes.len()]);
        for (m, &[a, b]) in children.iter().enumerate() {
            size[parts + m] = size[a as usize] + size[b as usize];
            parent[a as usize] = (parts + m) as u32;
            parent[b as usize] = (parts + m) as u32;
            second[b as usize] = true;
        }
        Top {
            parts,
            first_merge,
            part: number,
            size,
            children,
            parent,
            second,
        }
    }

    /// Sum of the feature vectors below each node.
    fn sums(&self, features: ArrayView2<f32>, control: &Control) -> Result<Array2<f64>> {
        let mut sums = Array2::<f64>::zeros((self.size.len(), features.ncols()));
        for (i, row) in features.rows().into_iter().enumerate() {
            if i % 4096 == 0 {
                control.check()?;
            }
            sums.row_mut(self.part[i] as usize).zip_mut_with(&row, |s, &f| *s += f as f64);
        }
        for (m, &[a, b]) in self.children.iter().enumerate() {
            let total = &sums.row(a as usize) + &sums.row(b as usize);
            sums.row_mut(self.parts + m).assign(&total);
        }
        Ok(sums)
    }

    /// Every pair belongs to one part, or to the merge that joins its two positions.
    fn edges(&self, features: ArrayView2<f32>, pairs: impl Iterator<Item = [usize; 2]>, control: &Control) -> Result<Edges> {
        let mut edges = Edges {
            jump: Array2::zeros((self.children.len(), features.ncols())),
            crossing: vec![0; self.children.len()],
            inside: vec![(0.0, 0); self.parts],
        };
        let mut joined: HashMap<(u32, u32), (usize, bool)> = HashMap::new();
        for (count, [i, j]) in pairs.enumerate() {
            if count % 4096 == 0 {
                control.check()?;
            }
            let (Some(&u), Some(&v)) = (self.part.get(i), self.part.get(j)) else {
                return Err(Error::parameter(
                    "neighbours",
                    format!("pair {i}, {j} of {} positions", self.part.len()),
                ));
            };
            let (from, to) = (features.row(i), features.row(j));
            if u == v {
                let square: f64 = from.iter().zip(to).map(|(&a, &b)| (b as f64 - a as f64).powi(2)).sum();
                let (sum, number) = &mut edges.inside[u as usize];
                *sum += square;
                *number += 1;
                continue;
            }
            let (merge, reverse) = *joined.entry((u, v)).or_insert_with(|| self.join(u, v));
            edges.crossing[merge] += 1;
            let sign = if reverse { -1.0 } else { 1.0 };
            for ((s, &a), &b) in edges.jump.row_mut(merge).iter_mut().zip(from).zip(to) {
                *s += sign * (b as f64 - a as f64);
            }
        }
        Ok(edges)
    }

    /// The merge that joins two different parts, and whether the first is on its second side.
    fn join(&self, u: u32, v: u32) -> (usize, bool) {
        let (mut u, mut v, mut below) = (u as usize, v as usize, u as usize);
        // Parents have larger numbers than children, so the smaller of two nodes cannot be an ancestor of the other.
        while u != v {
            if u < v {
                below = u;
                u = self.parent[u] as usize;
            } else {
                v = self.parent[v] as usize;
            }
        }
        (u - self.parts, self.second[below])
    }

    /// The step from `k` − 1 to `k` clusters.
    fn split(&self, tree: &Tree, k: usize, sums: &Array2<f64>, edges: &Edges) -> Split {
        let m = self.parts - k;
        let [a, b] = self.children[m].map(|c| c as usize);
        let (size_a, size_b) = (self.size[a] as f64, self.size[b] as f64);
        let number = edges.crossing[m];
        let (mut square, mut across) = (0.0, 0.0);
        for ((&sa, &sb), &jump) in sums.row(a).iter().zip(sums.row(b)).zip(edges.jump.row(m)) {
            let difference = sb / size_b - sa / size_a;
            square += difference * difference;
            across += difference * jump;
        }
        let distance = tree.distances()[self.first_merge + m];
        let (noise, pairs) = self.inside(self.parts + m, edges);
        let noise = if pairs > 0 { noise / (2.0 * pairs as f64) } else { 0.0 };
        let cost = size_a * size_b / (size_a + size_b) * square / noise;
        let contrast = across / (number as f64 * square);
        let smaller = self.size[a].min(self.size[b]);
        let weight = if distance.is_infinite() || number == 0 {
            // Parts of the region of interest that do not touch are never one cluster.
            1.0
        } else if smaller < SMALLEST || square == 0.0 {
            0.0
        } else {
            (contrast * (1.0 - NOISE / cost).max(0.0)).clamp(0.0, 1.0)
        };
        let weight = if weight.is_nan() { 0.0 } else { weight };
        Split {
            clusters: k,
            distance,
            smaller: smaller as usize,
            contrast,
            cost,
            weight,
        }
    }

    /// Sum and number of squared neighbour differences inside the parts below a node.
    fn inside(&self, node: usize, edges: &Edges) -> (f64, u64) {
        let (mut open, mut total) = (vec![node], (0.0, 0));
        while let Some(node) = open.pop() {
            match node.checked_sub(self.parts).and_then(|m| self.children.get(m)) {
                Some(&[a, b]) => open.extend([b as usize, a as usize]),
                None => {
                    total.0 += edges.inside[node].0;
                    total.1 += edges.inside[node].1;
                }
            }
        }
        total
    }
}
