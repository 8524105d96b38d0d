//! Soft memberships and outlier scores: how far every point, noise included, belongs to every chosen cluster.
//!
//! Outlier scores (GLOSH) are those of Campello, Moulavi, Zimek, Sander 2015 (doi:10.1145/2733381). Memberships follow
//! the definition of the package hdbscan (L. McInnes, J. Healy, S. Astels, doi:10.21105/joss.00205): a part by distance to the
//! densest points of each cluster, a part by the height at which the point merges with it in the tree, and the probability to
//! lie in any cluster at all.

use super::{Clustering, CondensedTree};
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Memberships of n points in K clusters, with the three factors they are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Memberships {
    /// (n, K): share by distance to the clusters' densest points; rows sum to 1.
    pub distance: Array2<f64>,
    /// (n, K): share by height of merging in the tree; rows sum to 1, ratios are at most e.
    pub outlier: Array2<f64>,
    /// (n): probability of being in some cluster.
    pub some_cluster: Array1<f64>,
    /// (n, K): the memberships: `some_cluster` times the normalised product of the two shares.
    pub values: Array2<f64>,
}

impl Memberships {
    /// The cluster of largest membership of each point, the first among equals; −1 where there is no cluster.
    pub fn labels(&self) -> Vec<i32> {
        let largest = |row: ndarray::ArrayView1<f64>| {
            let mut best = (-1, f64::NEG_INFINITY);
            for (k, &v) in row.iter().enumerate() {
                if v > best.1 {
                    best = (k as i32, v);
                }
            }
            best.0
        };
        self.values.rows().into_iter().map(largest).collect()
    }
}

/// What the condensed tree says of its clusters (counted from the root = 0) and points. Coinciding points leave at an infinite λ;
/// here they leave at the largest finite one of the tree, so that every ratio is finite.
struct Heights {
    /// Parent of each cluster, the root its own.
    parent: Vec<usize>,
    /// λ at which each cluster parts from its parent, 0 for the root.
    birth: Vec<f64>,
    /// Largest λ in the cluster's own rows.
    own: Vec<f64>,
    /// Cluster that each point leaves, and its λ.
    left: Vec<(usize, f64)>,
}

impl Heights {
    fn of(tree: &CondensedTree) -> Heights {
        let n = tree.points;
        let finite = tree.rows.iter().map(|r| r.lambda).filter(|l| l.is_finite());
        let largest = finite.fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let mut heights = Heights {
            parent: vec![0; tree.clusters],
            birth: vec![0.0; tree.clusters],
            own: vec![0.0; tree.clusters],
            left: vec![(0, 0.0); n],
        };
        for row in &tree.rows {
            let (cluster, lambda) = (row.parent - n, row.lambda.min(largest));
            heights.own[cluster] = heights.own[cluster].max(lambda);
            if row.child < n {
                heights.left[row.child] = (cluster, lambda);
            } else {
                heights.parent[row.child - n] = cluster;
                heights.birth[row.child - n] = lambda;
            }
        }
        heights
    }

    /// Clusters from `cluster` up to the root.
    fn path(&self, cluster: usize) -> Vec<usize> {
        let mut path = vec![cluster];
        let mut at = cluster;
        while at != 0 {
            at = self.parent[at];
            path.push(at);
        }
        path
    }

    /// λ at which the branches of `a` and `b` part; `None` if one lies above the other.
    fn parting(&self, a: usize, b: usize) -> Option<f64> {
        let (mut a, mut b) = (self.path(a), self.path(b));
        // From the root downwards: the first place where the paths differ.
        while let (Some(x), Some(y)) = (a.pop(), b.pop()) {
            if x != y {
                return Some(self.birth[y]);
            }
        }
        None
    }
}

impl Clustering {
    /// Stability of each cluster over the most it could be: points with its label times the largest λ of the tree. Zero if λ is
    /// infinite somewhere (coinciding points).
    pub fn persistence(&self) -> Vec<f64> {
        let largest = self.tree.rows.iter().map(|r| r.lambda).fold(0.0, f64::max);
        let mut sizes = vec![0_usize; self.len()];
        for &label in self.labels.iter().filter(|&&l| l >= 0) {
            sizes[label as usize] += 1;
        }
        let share = |(&stability, &size): (&f64, &usize)| {
            let most = size as f64 * largest;
            if most > 0.0 && most.is_finite() {
                stability / most
            } else {
                0.0
            }
        };
        self.stabilities.iter().zip(&sizes).map(share).collect()
    }

    /// GLOSH score of each point: (M − λ)/M with λ at which it leaves its cluster and M the largest λ in that cluster and below
    /// it. 0 in the densest places, towards 1 for outliers.
    pub fn outlier_scores(&self) -> Vec<f64> {
        let heights = Heights::of(&self.tree);
        let mut deepest = heights.own.clone();
        // Children have higher numbers than their parents.
        for c in (1..self.tree.clusters).rev() {
            let p = heights.parent[c];
            deepest[p] = deepest[p].max(deepest[c]);
        }
        let score = |&(cluster, lambda): &(usize, f64)| {
            let most = deepest[cluster];
            if most > 0.0 { (most - lambda) / most } else { 0.0 }
        };
        heights.left.iter().map(score).collect()
    }

    /// Points of highest density of each chosen cluster: those that leave the leaves below it last.
    pub fn exemplars(&self) -> Vec<Vec<usize>> {
        let n = self.tree.points;
        let heights = Heights::of(&self.tree);
        let mut leaf = vec![true; self.tree.clusters];
        for row in self.tree.rows.iter().filter(|r| r.child >= n) {
            leaf[row.parent - n] = false;
        }
        // Chosen cluster at or above each cluster.
        let mut owner = vec![None; self.tree.clusters];
        for (k, &c) in self.selected.iter().enumerate() {
            owner[c - n] = Some(k);
        }
        for c in 1..self.tree.clusters {
            owner[c] = owner[c].or(owner[heights.parent[c]]);
        }
        let mut exemplars = vec![Vec::new(); self.len()];
        for (point, &(cluster, lambda)) in heights.left.iter().enumerate() {
            if let (true, Some(k)) = (leaf[cluster] && lambda == heights.own[cluster], owner[cluster]) {
                exemplars[k].push(point);
            }
        }
        exemplars
    }

    /// Memberships of all points, `points` (n, dimensions) being those that were clustered. No value is NaN, and no row of a
    /// clustering that found something is zero.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `points` has another number of rows.
    pub fn memberships(&self, points: ArrayView2<f64>) -> Result<Memberships> {
        let (n, clusters) = (self.labels.len(), self.len());
        if points.nrows() != n {
            return Err(Error::parameter(
                "points",
                format!("{} rows for {n} clustered points", points.nrows()),
            ));
        }
        let mut result = Memberships {
            distance: Array2::zeros((n, clusters)),
            outlier: Array2::zeros((n, clusters)),
            some_cluster: Array1::zeros(n),
            values: Array2::zeros((n, clusters)),
        };
        if clusters == 0 {
            return Ok(result);
        }
        let heights = Heights::of(&self.tree);
        let chosen: Vec<usize> = self.selected.iter().map(|c| c - self.tree.points).collect();
        // λ of merging of every cluster of the tree with every chosen one.
        let parting: Vec<Vec<Option<f64>>> = (0..self.tree.clusters)
            .map(|s| chosen.iter().map(|&c| heights.parting(s, c)).collect())
            .collect();
        let points = points.as_standard_layout();
        let exemplars: Vec<Array2<f64>> = self.exemplars().iter().map(|e| points.select(Axis(0), e)).collect();

        let rows = (
            result.distance.axis_iter_mut(Axis(0)),
            result.outlier.axis_iter_mut(Axis(0)),
            result.some_cluster.iter_mut(),
            result.values.axis_iter_mut(Axis(0)),
        );
        let ((distance, outlier), (some, values)) = ((rows.0, rows.1), (rows.2, rows.3));
        let mut work: Vec<_> = distance.zip(outlier).zip(some.zip(values)).collect();
        work.par_iter_mut()
            .enumerate()
            .for_each(|(i, ((distance, outlier), (some, values)))| {
                for (d, of) in distance.iter_mut().zip(&exemplars) {
                    *d = nearest(points.row(i), of);
                }
                shares_by_distance(distance.as_slice_mut().unwrap_or(&mut []));
                let (left, lambda) = heights.left[i];
                let merge = |k: usize| parting[left][k].unwrap_or(lambda);
                let (mut best, mut sum) = (0, 0.0);
                for k in 0..clusters {
                    if merge(k) > merge(best) {
                        best = k;
                    }
                    let height = merge(k).max(f64::MIN_POSITIVE);
                    outlier[k] = (-(heights.own[left] + 1e-8) / height).exp().exp();
                    sum += outlier[k];
                }
                outlier.iter_mut().for_each(|o| *o /= sum);
                **some = merge(best) / heights.own[chosen[best]].max(lambda).max(f64::MIN_POSITIVE);
                let product: f64 = distance.iter().zip(outlier.iter()).map(|(a, o)| a * o).sum();
                for (m, (a, o)) in values.iter_mut().zip(distance.iter().zip(outlier.iter())) {
                    *m = a * o / product * **some;
                }
            });
        drop(work);
        Ok(result)
    }
}

/// Distance from a point to the nearest row of `of`; infinite if there is none.
fn nearest(point: ndarray::ArrayView1<f64>, of: &Array2<f64>) -> f64 {
    let square = |row: ndarray::ArrayView1<f64>| row.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    of.rows().into_iter().map(square).fold(f64::INFINITY, f64::min).sqrt()
}

/// Distances become shares that go with their inverse; a cluster at distance zero takes all.
fn shares_by_distance(distances: &mut [f64]) {
    let touching = distances.iter().filter(|d| **d == 0.0).count();
    if touching > 0 {
        distances
            .iter_mut()
            .for_each(|d| *d = if *d == 0.0 { 1.0 / touching as f64 } else { 0.0 });
        return;
    }
    let sum: f64 = distances.iter().map(|d| 1.0 / d).sum();
    distances.iter_mut().for_each(|d| *d = 1.0 / *d / sum);
}
