//! Host steps of `phases`: nearest neighbours of positions by their features, clusters of an embedding.

use super::super::case::{Case, OnHost};
use super::super::timing::time;
use super::{Cases, Size};
use crate::analysis::hdbscan::Hdbscan;
use crate::control::Control;
use crate::kernels::nearest::{Metric, neighbors};
use crate::rng::Source;
use ndarray::Array2;
use std::hint::black_box;
use std::sync::Arc;

/// Neighbours of each position, and most positions: the work grows with their square.
const NEIGHBOURS: usize = 9;
const MOST: usize = 4000;
/// Dimensions of what is clustered.
const DIMENSIONS: usize = 3;

/// Exact neighbours by metric, and clusters with memberships of an embedding.
pub fn cases(size: &Size, control: &Control) -> Cases {
    let n = (size.nav[0] * size.nav[1]).min(MOST);
    let features = Arc::new(groups(n, size.features));
    let mut all: Vec<Box<dyn Case>> = Vec::new();
    for (name, note, metric) in [
        (
            "neighbours, euclidean",
            "Multiply-adds of the matrix product.",
            Metric::Euclidean,
        ),
        (
            "neighbours, chebyshev",
            "Differences and comparisons, 128 of them for each coordinate of eight points in first-level cache.",
            Metric::Chebyshev,
        ),
    ] {
        let (features, control) = (features.clone(), control.clone());
        let mut work = metric.work(size.features);
        // Each position is held against all others.
        work.operations *= n as u64;
        work.read = 4 * size.features as u64;
        let case = OnHost {
            name,
            note,
            unit: "positions",
            work,
            items: n as u64,
            parallel: true,
            run: Box::new(move || time(|| neighbors(features.view(), NEIGHBOURS, metric, &control).map(black_box))),
        };
        all.push(Box::new(case));
    }
    let places = groups(n, DIMENSIONS).mapv(f64::from);
    let clusters = OnHost {
        name: "hdbscan",
        note: "The spanning tree: distances from each new member to all points outside, from the second-level cache.",
        unit: "positions",
        work: crate::backend::stage::Work {
            read: 8 * DIMENSIONS as u64,
            written: 0,
            operations: n as u64 * (3 * DIMENSIONS as u64 + 3) * 3 / 2,
        },
        items: n as u64,
        parallel: true,
        run: Box::new(move || {
            time(|| {
                let hdbscan = Hdbscan {
                    min_cluster_size: 100,
                    min_samples: Some(10),
                    ..Hdbscan::default()
                };
                let found = hdbscan.fit(places.view())?;
                found.memberships(places.view()).map(black_box)
            })
        }),
    };
    all.push(Box::new(clusters));
    Ok(all)
}

/// Six groups with unit noise.
fn groups(n: usize, features: usize) -> Array2<f32> {
    let mut noise = Source::new(2, 0).sequence(0);
    let centres = Array2::from_shape_simple_fn((6, features), || 1.5 * noise.normal() as f32);
    Array2::from_shape_fn((n, features), |(i, k)| centres[[i * 6 / n, k]] + noise.normal() as f32)
}
