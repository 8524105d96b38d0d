//! Where the parts of a graph that is not connected belong.
//!
//! Nothing in the graph says which parts are alike, and forces between them are repulsive alone: what they start with decides. As in
//! umap-learn they start where the means of their points say; there these are embedded by affinities exp(−d²), which vanish between distant
//! parts. Here they lie along the principal components of these means, which keep their distances at any scale.

use super::graph::Graph;
use crate::analysis::pca::principal;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Parts further from the centre than this times the median part are drawn in to there: one far away would press all others together.
const FARTHEST: f64 = 3.0;
/// Least share of the largest distance from the centre that a part may fill, as two can lie in one place by the components that are kept.
const LEAST_ROOM: f64 = 0.02;

/// Points of each part, ascending.
pub fn members(part: &[usize], count: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); count];
    part.iter().enumerate().for_each(|(i, &p)| members[p].push(i));
    members
}

/// A place (parts, components) for each part of the graph, the largest distance from the centre 1; `None` if there is but one part.
pub fn places(graph: &Graph, features: ArrayView2<'_, f32>, components: usize, control: &Control) -> Result<Option<Array2<f64>>> {
    if features.nrows() != graph.len() {
        let what = format!("{} rows for {} points", features.nrows(), graph.len());
        return Err(Error::parameter("features", what));
    }
    let (part, count) = graph.components();
    if count == 1 {
        return Ok(None);
    }
    let mut means = Array2::<f64>::zeros((count, features.ncols()));
    for (row, &p) in features.rows().into_iter().zip(&part) {
        means.row_mut(p).zip_mut_with(&row, |m, v| *m += f64::from(*v));
    }
    for (mut mean, members) in means.rows_mut().into_iter().zip(members(&part, count)) {
        mean /= members.len() as f64;
    }
    // Medians, as one part far away would draw a mean to itself.
    for mut column in means.columns_mut() {
        let mut sorted = column.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let centre = sorted[sorted.len() / 2];
        column.mapv_inplace(|v| v - centre);
    }
    draw_in(&mut means);
    let found = principal(means.mapv(|v| v as f32).view(), components, control)?;
    let mut places = Array2::zeros((count, components));
    let kept = found.scores.ncols().min(components);
    places
        .slice_mut(ndarray::s![.., ..kept])
        .assign(&found.scores.slice(ndarray::s![.., ..kept]));
    Ok(Some(places))
}

/// Scales rows so that the longest is 1, those far longer than the median one cut.
fn draw_in(rows: &mut Array2<f64>) {
    let lengths: Vec<f64> = rows.rows().into_iter().map(|r| r.dot(&r).sqrt()).collect();
    let mut sorted = lengths.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let longest = sorted.last().copied().unwrap_or(0.0);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let most = if median > 0.0 {
        longest.min(FARTHEST * median)
    } else {
        longest
    };
    if most > 0.0 {
        for (mut row, length) in rows.rows_mut().into_iter().zip(lengths) {
            row /= most.max(length);
        }
    }
}

/// How far each part may reach about its place: half the distance to the next place.
pub fn rooms(places: ArrayView2<'_, f64>) -> Vec<f64> {
    let distance = |a: usize, b: usize| {
        let pairs = places.row(a).into_iter().zip(places.row(b));
        pairs.map(|(x, y)| (x - y).powi(2)).sum::<f64>()
    };
    let all = 0..places.nrows();
    let nearest = |a: usize| {
        let others = all.clone().filter(|b| *b != a);
        others.map(|b| distance(a, b)).fold(f64::INFINITY, f64::min)
    };
    let half: Vec<f64> = all.clone().into_par_iter().map(|a| 0.5 * nearest(a).sqrt()).collect();
    half.into_iter()
        .map(|r| if r.is_finite() { r.max(LEAST_ROOM) } else { 1.0 })
        .collect()
}
