//! Stability, choice of clusters, labels and probabilities.

use super::{Clustering, CondensedTree, Selection};

/// Chooses clusters from `tree` and labels its points.
pub(super) fn select(tree: CondensedTree, selection: Selection, allow_single_cluster: bool) -> Clustering {
    let n = tree.points;
    // λ at which each cluster appears, largest λ in its own rows, its children; clusters counted from the root = 0.
    let mut birth = vec![0.0_f64; tree.clusters];
    let mut death = vec![0.0_f64; tree.clusters];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); tree.clusters];
    let mut parent = vec![0; tree.clusters];
    for row in &tree.rows {
        let p = row.parent - n;
        death[p] = death[p].max(row.lambda);
        if row.child >= n {
            birth[row.child - n] = row.lambda;
            parent[row.child - n] = p;
            children[p].push(row.child - n);
        }
    }
    let mut stability = vec![0.0_f64; tree.clusters];
    for row in &tree.rows {
        let p = row.parent - n;
        stability[p] += (row.lambda - birth[p]) * row.size as f64;
    }

    let first = usize::from(!allow_single_cluster);
    let mut chosen = vec![false; tree.clusters];
    match selection {
        Selection::Eom => {
            let mut best = stability.clone();
            // Children have higher numbers than their parents.
            for c in (first..tree.clusters).rev() {
                let below: f64 = children[c].iter().map(|&k| best[k]).sum();
                // With infinite λ (coinciding points) the difference may be NaN: then the cluster stays whole.
                if below > stability[c] {
                    best[c] = below;
                } else {
                    chosen[c] = true;
                }
            }
            // Whatever lies below a chosen cluster belongs to it.
            let mut covered = vec![false; tree.clusters];
            for c in 1..tree.clusters {
                covered[c] = covered[parent[c]] || chosen[parent[c]];
                chosen[c] &= !covered[c];
            }
        }
        Selection::Leaf => {
            for c in 1..tree.clusters {
                chosen[c] = children[c].is_empty();
            }
        }
    }

    let mut label_of = vec![-1_i32; tree.clusters];
    let (mut stabilities, mut selected) = (Vec::new(), Vec::new());
    for c in 0..tree.clusters {
        if chosen[c] {
            label_of[c] = stabilities.len() as i32;
            selected.push(n + c);
            stabilities.push(stability[c]);
        }
    }
    // Label of the chosen cluster at or above each cluster, and that cluster.
    let mut owner: Vec<Option<usize>> = vec![None; tree.clusters];
    for c in 0..tree.clusters {
        owner[c] = if chosen[c] {
            Some(c)
        } else if c > 0 {
            owner[parent[c]]
        } else {
            None
        };
    }
    let mut labels = vec![-1; n];
    let mut probabilities = vec![0.0; n];
    for row in tree.rows.iter().filter(|r| r.child < n) {
        let Some(c) = owner[row.parent - n] else { continue };
        // If all points are one cluster, only its densest core is not noise.
        if c == 0 && row.lambda < death[0] {
            continue;
        }
        labels[row.child] = label_of[c];
        let top = death[c];
        probabilities[row.child] = if top == 0.0 || !row.lambda.is_finite() {
            1.0
        } else {
            row.lambda.min(top) / top
        };
    }
    Clustering {
        labels,
        probabilities,
        stabilities,
        selected,
        tree,
    }
}
