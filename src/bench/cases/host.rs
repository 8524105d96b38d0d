//! Steps between the passes of `cluster`.

use super::super::case::OnHost;
use super::super::timing::time;
use super::{Cases, Size};
use crate::analysis::features::{column_scale, feature_matrix};
use crate::analysis::grid::Grid;
use crate::analysis::ward::ward;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::rng::Source;
use ndarray::Array2;
use std::hint::black_box;
use std::sync::Arc;

/// Distances that ward's clustering computes for each position: those to two neighbours at the start, and after each merge those to
/// what the new cluster touches, about five on a grid.
const DISTANCES: u64 = 7;

/// Scaling of features, and ward's clustering of them.
pub fn cases(size: &Size, control: &Control) -> Cases {
    let (grid, features) = (Arc::new(Grid::full(size.nav)?), Arc::new(grains(size)));
    let (p, n) = (size.features as u64, grid.len() as u64);
    let (g, f) = (grid.clone(), features.clone());
    let scaling = OnHost {
        name: "feature scaling",
        note: "Memory: features are read twice and written once.",
        unit: "positions",
        work: Work {
            read: 8 * p,
            written: 4 * p,
            operations: 3 * p,
        },
        items: n,
        parallel: false,
        run: Box::new(move || time(|| feature_matrix(f.view(), &column_scale(f.view())?, &g, 0.2).map(black_box))),
    };
    let control = control.clone();
    let clustering = OnHost {
        name: "ward",
        note: "Loads: sums of features of neighbours lie all over memory, and the queue of pairs misses the cache.",
        unit: "positions",
        work: Work {
            read: DISTANCES * 8 * p,
            written: 8 * p,
            operations: DISTANCES * 4 * p,
        },
        items: n,
        parallel: false,
        run: Box::new(move || {
            let matrix = (*features).clone();
            time(|| ward(matrix, &grid, &control).map(black_box))
        }),
    };
    Ok(vec![Box::new(scaling), Box::new(clustering)])
}

/// Features of square grains with noise.
fn grains(size: &Size) -> Array2<f32> {
    let [ny, nx] = size.nav;
    let mut noise = Source::new(1, 0).sequence(0);
    let grain = |i: usize| (i / nx / 16) * nx.div_ceil(16) + i % nx / 16;
    Array2::from_shape_fn((ny * nx, size.features), |(i, k)| {
        let level = ((grain(i) * 7919 + k * 104_729) % 1013) as f32 / 100.0;
        level + noise.unit() as f32
    })
}
