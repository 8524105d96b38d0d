//! A merge tree, and how to cut it into clusters.

use crate::error::{Error, Result};

/// The merges of an agglomerative clustering, in scikit-learn's numbering: leaves 0..n are the positions, merge m makes
/// node n + m.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    leaves: usize,
    children: Vec<[u32; 2]>,
    distances: Vec<f64>,
}

impl Tree {
    /// A tree from its parts: `children` and `distances` of the `leaves` − 1 merges.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no leaves or 2³¹ or more, a merge is missing, joins a node that does not exist yet or
    /// was joined before, or has a distance that is negative or NaN.
    pub fn new(leaves: usize, children: Vec<[u32; 2]>, distances: Vec<f64>) -> Result<Self> {
        let bad = |what: String| Err(Error::parameter("merge tree", what));
        if leaves == 0 || leaves >= 1 << 31 || children.len() != leaves - 1 || distances.len() != leaves - 1 {
            return bad(format!(
                "{} merges and {} distances for {leaves} positions",
                children.len(),
                distances.len()
            ));
        }
        let mut joined = vec![false; 2 * leaves - 1];
        for (m, (pair, d)) in children.iter().zip(&distances).enumerate() {
            for &c in pair {
                if c as usize >= leaves + m || std::mem::replace(&mut joined[c as usize], true) {
                    return bad(format!("merge {m} joins node {c}, which is not free"));
                }
            }
            if d.is_nan() || *d < 0.0 {
                return bad(format!("merge {m} has distance {d}"));
            }
        }
        Ok(Tree {
            leaves,
            children,
            distances,
        })
    }

    /// Number of positions.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// The two nodes of each merge, in the order of merging: scikit-learn's `children_`.
    pub fn children(&self) -> &[[u32; 2]] {
        &self.children
    }

    /// The distance of each merge: scikit-learn's `distances_`. Infinite where disconnected parts were joined. With a
    /// connectivity constraint distances need not increase.
    pub fn distances(&self) -> &[f64] {
        &self.distances
    }

    /// The number of clusters for a distance threshold `d`: 1 + merges with a distance of at least `d`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `d` is negative or NaN.
    pub fn clusters_at(&self, d: f64) -> Result<usize> {
        if d.is_nan() || d < 0.0 {
            return Err(Error::parameter("--distance-threshold", format!("{d} is not a distance")));
        }
        Ok(1 + self.distances.iter().filter(|&&x| x >= d).count())
    }

    /// The distance thresholds `(above, to)` that give `k` clusters, `above` excluded: `None` if none does, as with equal distances.
    pub fn thresholds(&self, k: usize) -> Option<(f64, f64)> {
        let mut sorted = self.distances.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let to = match k {
            0 => return None,
            1 => f64::INFINITY,
            k => *sorted.get(k - 2)?,
        };
        let above = sorted.get(k - 1).copied().unwrap_or(0.0);
        (above < to).then_some((above, to))
    }

    /// The label of each position when all but the last `k` − 1 merges are done. Labels 0..k are numbered by the first position
    /// of each cluster.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless 1 ≤ k ≤ positions.
    pub fn cut_number(&self, k: usize) -> Result<Vec<i32>> {
        let n = self.leaves;
        if k == 0 || k > n {
            return Err(Error::parameter(
                "--clusters",
                format!("{k} is not between 1 and the number of positions, {n}"),
            ));
        }
        // From the last merge that is done to the first: a node hands its cluster down to its children.
        let mut cluster: Vec<u32> = (0..(2 * n - k) as u32).collect();
        for (m, pair) in self.children[..n - k].iter().enumerate().rev() {
            let c = cluster[n + m];
            pair.iter().for_each(|&child| cluster[child as usize] = c);
        }
        let mut number = vec![-1; cluster.len()];
        let mut next = 0;
        Ok(cluster[..n]
            .iter()
            .map(|&c| {
                let label = &mut number[c as usize];
                if *label < 0 {
                    *label = next;
                    next += 1;
                }
                *label
            })
            .collect())
    }

    /// [`Tree::cut_number`] with the number of clusters of [`Tree::clusters_at`].
    ///
    /// # Errors
    /// As [`Tree::clusters_at`].
    pub fn cut_distance(&self, d: f64) -> Result<Vec<i32>> {
        self.cut_number(self.clusters_at(d)?)
    }
}
