//! HDBSCAN: density-based clusters of points, with noise and with a degree of membership.
//!
//! Campello, Moulavi, Sander 2013 (doi:10.1007/978-3-642-37456-2_14) and Campello et al. 2015 (doi:10.1145/2733381), with
//! the condensed tree and the membership probabilities as defined by McInnes, Healy, Astels 2017
//! (doi:10.21105/joss.00205):
//!
//! 1. core distance c(p): distance to the `min_samples`-th nearest other point;
//! 2. mutual reachability d(p, q) = max(|p − q|, c(p), c(q)), and its minimum spanning tree;
//! 3. the single-linkage tree of that, condensed: a split counts only if both sides hold `min_cluster_size` points, else the
//!    smaller side falls out of the cluster at λ = 1/d;
//! 4. stability of a cluster = Σ over its points of (λ at which the point leaves − λ at which the cluster appears); clusters
//!    are chosen by excess of mass, or all leaves;
//! 5. probability of a point = min(λ at which it leaves, λ_max)/λ_max, λ_max the largest λ in the cluster's own rows.
//!
//! Mutual reachability has equal distances by construction (a point whose core distance is large reaches several others at
//! exactly that distance), and the order in which equal edges join decides which cluster such a point counts to. The order
//! here depends on the order of the points alone: Prim's tree from point 0, the lowest index among equals, edges sorted
//! stably. The package builds the same tree but sorts with NumPy's default sort, whose order of equal numbers depends on the
//! processor's instruction set; [`Hdbscan::cluster_tree`] takes an order that is known.

mod hierarchy;
mod membership;
mod reachability;
mod select;

pub use hierarchy::{CondensedRow, CondensedTree, Merge};
pub use membership::Memberships;
pub use reachability::{Edge, core_distances, spanning_tree};

use crate::error::{Error, Result};
use ndarray::ArrayView2;

/// How clusters are chosen from the condensed tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// Excess of mass: a cluster wins over its descendants unless their stabilities add up to more than its own.
    #[default]
    Eom,
    /// The leaves of the tree: many small, homogeneous clusters.
    Leaf,
}

/// Parameters.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hdbscan {
    /// Smallest group of points that is a cluster, at least 2.
    pub min_cluster_size: usize,
    /// Neighbours that define the density around a point; `None`: as `min_cluster_size`. Held to the number of points − 1.
    pub min_samples: Option<usize>,
    /// Choice of the clusters.
    pub selection: Selection,
    /// Whether all points together may be the only cluster.
    pub allow_single_cluster: bool,
}

impl Default for Hdbscan {
    fn default() -> Self {
        Hdbscan {
            min_cluster_size: 5,
            min_samples: None,
            selection: Selection::Eom,
            allow_single_cluster: false,
        }
    }
}

/// Result of [`Hdbscan::fit`].
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// Cluster of each point, from 0; −1: noise.
    pub labels: Vec<i32>,
    /// Degree of membership of each point in its cluster, 0 to 1; 0 for noise.
    pub probabilities: Vec<f64>,
    /// Stability of each cluster (sum of λ over its points).
    pub stabilities: Vec<f64>,
    /// The chosen clusters by their number in the tree, in the order of the labels.
    pub selected: Vec<usize>,
    /// The tree from which the clusters were chosen.
    pub tree: CondensedTree,
}

impl Clustering {
    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.stabilities.len()
    }

    /// True if every point is noise.
    pub fn is_empty(&self) -> bool {
        self.stabilities.is_empty()
    }
}

impl Hdbscan {
    /// Clusters of `points` (n, dimensions) by Euclidean distance. Time grows as n², memory as n. Fewer than two points, or
    /// fewer than a cluster needs, are all noise.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `min_cluster_size` below 2, `min_samples` 0, more than 2³⁰ points, or coordinates that are
    /// not finite.
    pub fn fit(&self, points: ArrayView2<f64>) -> Result<Clustering> {
        if self.min_cluster_size < 2 {
            return Err(Error::parameter("min_cluster_size", "a cluster has at least 2 points"));
        }
        let n = points.nrows();
        let wanted = self.min_samples.unwrap_or(self.min_cluster_size);
        if wanted == 0 {
            return Err(Error::parameter("min_samples", "must be at least 1"));
        }
        if n > 1 << 30 {
            return Err(Error::parameter("points", format!("{n} points are too many to cluster")));
        }
        if let Some(row) = points.rows().into_iter().position(|r| r.iter().any(|v| !v.is_finite())) {
            return Err(Error::parameter(
                "points",
                format!("point {row} has a coordinate that is not a finite number"),
            ));
        }
        if n < 2 {
            return Ok(Clustering {
                labels: vec![-1; n],
                probabilities: vec![0.0; n],
                stabilities: Vec::new(),
                selected: Vec::new(),
                tree: CondensedTree::default(),
            });
        }
        let points = points.as_standard_layout();
        let core = reachability::core_squares(points.view(), wanted.min(n - 1));
        let mut edges = reachability::tree_of_squares(points.view(), &core);
        edges.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        self.cluster_tree(&edges)
    }

    /// Clusters of the points that a spanning tree of mutual reachability joins. Its edges join in the order given: by ascending
    /// distance, equal ones as the caller decides.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `min_cluster_size` below 2 and for edges that are no spanning tree in ascending order.
    pub fn cluster_tree(&self, edges: &[Edge]) -> Result<Clustering> {
        if self.min_cluster_size < 2 {
            return Err(Error::parameter("min_cluster_size", "a cluster has at least 2 points"));
        }
        let ascending = edges.windows(2).all(|e| e[0].distance <= e[1].distance);
        let sound = edges.iter().all(|e| e.distance >= 0.0 && e.from.max(e.to) <= edges.len());
        let merges = if sound { hierarchy::single_linkage(edges) } else { Vec::new() };
        if !ascending || merges.last().is_none_or(|m| m.size != edges.len() + 1) {
            return Err(Error::parameter("edges", "are no spanning tree in ascending order"));
        }
        let tree = hierarchy::condense(&merges, self.min_cluster_size);
        Ok(select::select(tree, self.selection, self.allow_single_cluster))
    }
}
