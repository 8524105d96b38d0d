//! First positions.

use super::graph::Graph;
use super::{parts, spectral};
use crate::error::{Error, Result};
use crate::rng::Source;
use ndarray::{Array2, ArrayView2};

/// Largest coordinate of the first positions.
const EXTENT: f64 = 10.0;
/// Standard deviation of the noise that keeps equal points apart.
const NOISE: f64 = 1e-4;
/// A component of the graph below this size gets random positions: its spectrum says nothing.
fn too_small(n: usize, components: usize) -> bool {
    n < 2 * components || n <= components + 10
}

/// The smoothest vectors of the graph, scaled to at most 10, with a little noise, then each axis stretched to [0, 10]. Parts of the graph
/// that are not connected get their own vectors, each around a place of its own, of half the distance to the next place: the one given, or
/// unit vectors along the axes and against them, then further out along the same.
pub fn positions(graph: &Graph, components: usize, places: Option<ArrayView2<'_, f64>>, source: Source) -> Result<Array2<f32>> {
    let (part, count) = graph.components();
    if let Some(places) = places.filter(|p| p.dim() != (count, components)) {
        let what = format!("{:?} for {count} parts in {components} dimensions", places.dim());
        return Err(Error::parameter("places", what));
    }
    let rooms = places.map(parts::rooms);
    let mut all = Array2::zeros((graph.len(), components));
    for (p, members) in parts::members(&part, count).into_iter().enumerate() {
        let own = if too_small(members.len(), components) {
            scattered(members.len(), components, source, p)
        } else {
            let sub = if count == 1 { None } else { Some(part_of(graph, &members)) };
            let spectrum = spectral::smallest(sub.as_ref().unwrap_or(graph), components + 1, source)?;
            spectrum.vectors.slice(ndarray::s![.., 1..]).to_owned()
        };
        let largest = own.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        // Along an axis the distance to the next place is 1, across √2.
        let room = match &rooms {
            _ if count == 1 => 1.0,
            Some(rooms) => rooms[p],
            None => 0.5,
        };
        let scale = if largest > 0.0 { room / largest } else { 0.0 };
        let place = match &places {
            Some(places) if count > 1 => places.row(p).to_vec(),
            _ => on_axis(p, count, components),
        };
        for (row, &i) in own.rows().into_iter().zip(&members) {
            for d in 0..components {
                all[[i, d]] = place[d] + scale * row[d];
            }
        }
    }
    Ok(stretched(all, source))
}

/// Where part `p` of `parts` lies if nothing is known of them.
fn on_axis(p: usize, parts: usize, components: usize) -> Vec<f64> {
    let mut place = vec![0.0; components];
    if parts > 1 {
        let turn = p % (2 * components);
        let sign = if turn < components { 1.0 } else { -1.0 };
        place[turn % components] = sign * (1 + p / (2 * components)) as f64;
    }
    place
}

/// Uniform positions in [−1, 1].
fn scattered(n: usize, components: usize, source: Source, part: usize) -> Array2<f64> {
    let mut numbers = source.sequence(1 << 40 | part as u64);
    Array2::from_shape_simple_fn((n, components), || numbers.range(-1.0, 1.0))
}

/// The graph of some vertices that have no edges to others.
fn part_of(graph: &Graph, members: &[usize]) -> Graph {
    let mut number = vec![0; graph.len()];
    members.iter().enumerate().for_each(|(k, &i)| number[i] = k as u32);
    let mut part = Graph {
        start: vec![0],
        ..Graph::default()
    };
    for &i in members {
        for (j, v) in graph.row(i) {
            part.column.push(number[j]);
            part.value.push(v);
        }
        part.start.push(part.column.len());
    }
    part
}

/// Scales to a largest coordinate of 10, adds noise, and stretches each axis to [0, 10].
fn stretched(mut all: Array2<f64>, source: Source) -> Array2<f32> {
    let largest = all.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let scale = if largest > 0.0 { EXTENT / largest } else { 0.0 };
    for (i, mut row) in all.rows_mut().into_iter().enumerate() {
        let mut numbers = source.sequence(1 << 41 | i as u64);
        row.iter_mut().for_each(|v| *v = *v * scale + NOISE * numbers.normal());
    }
    for mut axis in all.columns_mut() {
        let low = axis.iter().copied().fold(f64::INFINITY, f64::min);
        let high = axis.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scale = if high > low { EXTENT / (high - low) } else { 0.0 };
        axis.mapv_inplace(|v| (v - low) * scale);
    }
    all.mapv(|v| v as f32)
}
