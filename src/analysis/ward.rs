//! Ward clustering of scan positions under the constraint that clusters are connected.
//!
//! The algorithm and its result are those of scikit-learn's `ward_tree` with a connectivity matrix: of all pairs of adjacent
//! clusters, the one with the smallest cost |A||B|/(|A|+|B|)·|mean A − mean B|² is joined (J. H. Ward, *J. Am. Stat. Assoc.* 58
//! (1963) 236). Sums run in scikit-learn's order, so trees agree to the last bit, ties included.
//!
//! Memory: the n × P features, which are overwritten, and about 300 bytes for each position. A cluster of two or more
//! positions owns at least two rows of n × P float32; its float64 sum of features lies in two of them.

use super::{grid::Grid, moments::Moments, tree::Tree};
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::Array2;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Up to this many disconnected parts, every pair may be joined; beyond, each part only with those that follow it.
const PARTS: usize = 1024;
/// How many.
const FOLLOWERS: usize = 16;
/// Merges between two looks at the control.
const CHECK: usize = 256;

/// The merge tree of `features` (positions × P, as [`super::features::feature_matrix`] makes them), one row for each position
/// of `grid`.
///
/// Disconnected parts of the grid are complete clusters before any of them are joined; joining them then follows the same cost,
/// but the tree records an infinite distance. (Of more than 1024 parts, each may join only the 16 that begin next in the
/// selection, and what these have been joined with.)
///
/// # Errors
/// [`Error::Parameter`] if there is not one row for each position, no column, or a value is NaN or infinite;
/// [`Error::Cancelled`].
pub fn ward(features: Array2<f32>, grid: &Grid, control: &Control) -> Result<Tree> {
    let n = grid.len();
    if features.nrows() != n {
        return Err(Error::parameter(
            "features",
            format!("{} rows for {n} positions", features.nrows()),
        ));
    }
    if features.ncols() == 0 {
        return Err(Error::parameter("features", "there are none"));
    }
    if let Some(((row, column), v)) = features.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::parameter(
            "features",
            format!("feature {column} of selected frame {row} is {v}"),
        ));
    }
    let mut state = State::new(features, grid);
    for node in 0..n {
        if node % CHECK == 0 {
            control.check()?;
        }
        let before: Vec<u32> = state.neighbours[node]
            .iter()
            .copied()
            .filter(|&m| (m as usize) < node)
            .collect();
        state.propose(node as u32, &before);
    }
    state.join_all(control)?;
    let parts: Vec<u32> = (0..state.sizes.len() as u32).filter(|&k| state.is_alive(k)).collect();
    if parts.len() > 1 {
        state.connect(parts, grid, control)?;
        state.infinite = true;
        state.join_all(control)?;
    }
    Tree::new(n, state.children, state.distances)
}

/// A possible merge: of all, the smallest (cost, node, node) is done first.
struct Candidate {
    cost: f64,
    /// The newer node, with the larger number.
    newer: u32,
    older: u32,
}

impl Ord for Candidate {
    fn cmp(&self, o: &Self) -> Ordering {
        self.cost
            .total_cmp(&o.cost)
            .then(self.newer.cmp(&o.newer))
            .then(self.older.cmp(&o.older))
    }
}
impl PartialOrd for Candidate {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl PartialEq for Candidate {
    fn eq(&self, o: &Self) -> bool {
        self.cmp(o) == Ordering::Equal
    }
}
impl Eq for Candidate {}

/// Nodes are numbered as in [`Tree`]; vectors over nodes grow with the tree.
struct State {
    moments: Moments,
    /// Positions in each node.
    sizes: Vec<u32>,
    /// The node that a node became part of; itself while it is alive.
    parents: Vec<u32>,
    /// Nodes that were neighbours when this node was made; what became of them are its neighbours now. Empty once joined.
    neighbours: Vec<Vec<u32>>,
    /// The last node whose neighbourhood counted this node.
    counted: Vec<u32>,
    heap: BinaryHeap<Reverse<Candidate>>,
    /// The heap's length at which joined nodes are cleared out.
    limit: usize,
    children: Vec<[u32; 2]>,
    distances: Vec<f64>,
    /// Record infinite distances from now on.
    infinite: bool,
    /// Mean features of the node that looks for partners, and its squared distances from them.
    mean: Vec<f64>,
    apart: Vec<f64>,
}

impl State {
    fn new(features: Array2<f32>, grid: &Grid) -> Self {
        let (n, p) = features.dim();
        let grown = |mut v: Vec<u32>| {
            v.reserve_exact(n - 1);
            v
        };
        State {
            moments: Moments::new(features),
            sizes: grown(vec![1; n]),
            parents: grown((0..n as u32).collect()),
            neighbours: (0..n).map(|i| grid.neighbours(i).collect()).collect(),
            counted: grown(vec![u32::MAX; n]),
            heap: BinaryHeap::new(),
            limit: 6 * n + 1024,
            children: Vec::with_capacity(n - 1),
            distances: Vec::with_capacity(n - 1),
            infinite: false,
            mean: vec![0.0; p],
            apart: Vec::new(),
        }
    }

    fn is_alive(&self, node: u32) -> bool {
        self.parents[node as usize] == node
    }

    /// Joins the cheapest pair until there is none.
    fn join_all(&mut self, control: &Control) -> Result<()> {
        while let Some(Reverse(best)) = self.heap.pop() {
            if !(self.is_alive(best.newer) && self.is_alive(best.older)) {
                continue;
            }
            if self.children.len().is_multiple_of(CHECK) {
                control.check()?;
            }
            let (k, neighbours) = self.join(&best);
            self.propose(k, &neighbours);
            self.neighbours.push(neighbours);
            if self.heap.len() > self.limit {
                let parents = &self.parents;
                let alive = |node: u32| parents[node as usize] == node;
                self.heap.retain(|Reverse(c)| alive(c.newer) && alive(c.older));
                self.limit = self.limit.max(2 * self.heap.len());
            }
        }
        Ok(())
    }

    /// Makes one node of two; returns its number and its neighbours.
    fn join(&mut self, pair: &Candidate) -> (u32, Vec<u32>) {
        let (i, j) = (pair.newer as usize, pair.older as usize);
        let k = self.sizes.len() as u32;
        self.children.push([pair.older, pair.newer]);
        // The factor 2 makes the distance of two single positions the Euclidean one.
        self.distances.push(if self.infinite {
            f64::INFINITY
        } else {
            (2.0 * pair.cost).sqrt()
        });
        self.moments.join(i, j);
        self.sizes.push(self.sizes[i] + self.sizes[j]);
        self.parents.push(k);
        self.counted.push(k);
        (self.parents[i], self.parents[j]) = (k, k);
        let mut found = Vec::new();
        for list in [
            std::mem::take(&mut self.neighbours[i]),
            std::mem::take(&mut self.neighbours[j]),
        ] {
            for was in list {
                let is = self.root(was);
                if self.counted[is as usize] != k {
                    self.counted[is as usize] = k;
                    found.push(is);
                }
            }
        }
        (k, found)
    }

    /// What became of a node; halves the path to it.
    fn root(&mut self, mut node: u32) -> u32 {
        loop {
            let parent = self.parents[node as usize];
            if parent == node {
                return node;
            }
            let next = self.parents[parent as usize];
            self.parents[node as usize] = next;
            node = next;
        }
    }

    /// Puts the pairs of node `k` and each of `others`, all older, on the heap.
    fn propose(&mut self, k: u32, others: &[u32]) {
        if others.is_empty() {
            return;
        }
        let size = f64::from(self.sizes[k as usize]);
        self.moments.mean(k as usize, size, &mut self.mean);
        let sizes = &self.sizes;
        let size_of = |node: u32| f64::from(sizes[node as usize]);
        self.moments.distances2(&self.mean, others, size_of, &mut self.apart);
        for (&older, apart) in others.iter().zip(&self.apart) {
            let other = size_of(older);
            let cost = apart * (size * other / (size + other));
            self.heap.push(Reverse(Candidate { cost, newer: k, older }));
        }
    }

    /// Makes neighbours of disconnected parts.
    fn connect(&mut self, mut parts: Vec<u32>, grid: &Grid, control: &Control) -> Result<()> {
        let reach = if parts.len() <= PARTS {
            PARTS
        } else {
            // In the order of their first positions.
            let mut seen = vec![false; self.sizes.len()];
            parts.clear();
            for leaf in 0..grid.len() as u32 {
                let part = self.root(leaf);
                if !std::mem::replace(&mut seen[part as usize], true) {
                    parts.push(part);
                }
            }
            FOLLOWERS
        };
        for (at, &a) in parts.iter().enumerate() {
            let following = &parts[at + 1..parts.len().min(at + 1 + reach)];
            for &b in following {
                self.neighbours[a as usize].push(b);
                self.neighbours[b as usize].push(a);
            }
        }
        for (at, &a) in parts.iter().enumerate() {
            if at % CHECK == 0 {
                control.check()?;
            }
            let older: Vec<u32> = self.neighbours[a as usize].iter().copied().filter(|&b| b < a).collect();
            self.propose(a, &older);
        }
        Ok(())
    }
}
