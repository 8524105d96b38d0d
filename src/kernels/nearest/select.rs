//! From proposed distances to the nearest points: candidates by bounds, the choice in float64.

use super::{Bounds, Metric, Neighbors, Tiles};
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Candidates of a point before the hopeless ones are dropped, beyond four times those wanted.
const SPARE: usize = 48;
/// Lanes of sums in float64.
const LANES: usize = 8;

/// Σ over coordinates of a function of the difference, in fixed lanes and order.
#[inline(always)]
pub(super) fn lanes(a: &[f32], b: &[f32], zero: f64, add: impl Fn(f64, f64) -> f64, join: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [zero; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] = add(sums[l], f64::from(a[l]) - f64::from(b[l]));
        }
    }
    for (s, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *s = add(*s, f64::from(*a) - f64::from(*b));
    }
    sums.into_iter().fold(zero, join)
}

/// a·b, a·a, b·b
pub(super) fn products(a: &[f32], b: &[f32]) -> [f64; 3] {
    let mut sums = [[0.0; LANES]; 3];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut add = |l: usize, a: f32, b: f32| {
        let (a, b) = (f64::from(a), f64::from(b));
        sums[0][l] += a * b;
        sums[1][l] += a * a;
        sums[2][l] += b * b;
    };
    for (a, b) in a.iter().zip(b) {
        (0..LANES).for_each(|l| add(l, a[l], b[l]));
    }
    a_rest.iter().zip(b_rest).enumerate().for_each(|(l, (a, b))| add(l, *a, *b));
    sums.map(|s| s.into_iter().sum())
}

/// A point that may be among the nearest: the least and the most that its distance can be.
#[derive(Clone, Copy)]
struct Candidate {
    least: f32,
    most: f32,
    index: u32,
}

/// Exact distance of two points by their numbers.
type Exact<'a> = dyn Fn(usize, u32) -> f64 + Sync + 'a;

/// Candidates of the points of one block.
struct Block<'a> {
    /// Number of the first point.
    first: usize,
    k: usize,
    exact: &'a Exact<'a>,
    /// The k-th smallest `most` so far of each point: whatever is farther at least does not count.
    limit: Vec<f32>,
    lists: Vec<Vec<Candidate>>,
}

impl<'a> Block<'a> {
    fn new(points: std::ops::Range<usize>, k: usize, exact: &'a Exact<'a>) -> Block<'a> {
        Block {
            first: points.start,
            k,
            exact,
            limit: vec![f32::INFINITY; points.len()],
            lists: vec![Vec::new(); points.len()],
        }
    }

    #[cold]
    fn offer(&mut self, point: usize, candidate: Candidate) {
        let room = 4 * self.k + SPARE;
        self.lists[point].push(candidate);
        if self.lists[point].len() >= room {
            self.prune(point);
            // Bounds that overlap tell no more: many others are equally far, or nearly.
            if self.lists[point].len() > room / 2 {
                self.settle(point);
            }
        }
    }

    fn prune(&mut self, point: usize) {
        let list = &mut self.lists[point];
        if list.len() < self.k {
            return;
        }
        let (_, kth, _) = list.select_nth_unstable_by(self.k - 1, |a, b| a.most.total_cmp(&b.most));
        let limit = self.limit[point].min(kth.most);
        list.retain(|c| c.least <= limit);
        self.limit[point] = limit;
    }

    /// Keeps the k nearest by exact distance and number: none of the others can be among the nearest of all.
    fn settle(&mut self, point: usize) {
        let own = self.first + point;
        let list = &mut self.lists[point];
        let mut exact: Vec<(f64, Candidate)> = list.iter().map(|&c| ((self.exact)(own, c.index), c)).collect();
        let order = |a: &(f64, Candidate), b: &(f64, Candidate)| a.0.total_cmp(&b.0).then(a.1.index.cmp(&b.1.index));
        exact.select_nth_unstable_by(self.k - 1, order);
        list.clear();
        list.extend(exact[..self.k].iter().map(|e| e.1));
        self.prune(point);
    }
}

fn lock<'a, 'b>(block: &'a Mutex<Block<'b>>) -> std::sync::MutexGuard<'a, Block<'b>> {
    block.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Distances of a pair of blocks, in a tile, with their error.
struct Offer<'a> {
    tile: &'a [f32],
    bounds: Bounds<'a>,
    rows: usize,
    columns: usize,
}

impl Offer<'_> {
    /// Hands every pair that may matter to its row's block.
    fn own(&self, to: &mut Block<'_>, count: [usize; 2]) {
        for r in 0..count[0] {
            for c in (0..count[1]).filter(|c| self.columns + c != self.rows + r) {
                let candidate = self.candidate(r, c, count[1]);
                if candidate.least <= to.limit[r] {
                    to.offer(
                        r,
                        Candidate {
                            index: (self.columns + c) as u32,
                            ..candidate
                        },
                    );
                }
            }
        }
    }

    /// The same for both blocks.
    fn both(&self, of_rows: &mut Block<'_>, of_columns: &mut Block<'_>, count: [usize; 2]) {
        for r in 0..count[0] {
            for c in 0..count[1] {
                let candidate = self.candidate(r, c, count[1]);
                if candidate.least <= of_rows.limit[r] {
                    of_rows.offer(
                        r,
                        Candidate {
                            index: (self.columns + c) as u32,
                            ..candidate
                        },
                    );
                }
                if candidate.least <= of_columns.limit[c] {
                    of_columns.offer(
                        c,
                        Candidate {
                            index: (self.rows + r) as u32,
                            ..candidate
                        },
                    );
                }
            }
        }
    }

    #[inline(always)]
    fn candidate(&self, r: usize, c: usize, width: usize) -> Candidate {
        let [least, most] = self.bounds.around(self.tile[r * width + c], r, c);
        Candidate { least, most, index: 0 }
    }
}

/// The search over all pairs of blocks.
pub(super) fn search(
    points: &[f32],
    coordinates: usize,
    k: usize,
    metric: Metric,
    tiles: &dyn Tiles,
    control: &Control,
) -> Result<Neighbors> {
    let n = points.len() / coordinates;
    let size = tiles.block();
    let blocks = n.div_ceil(size);
    let range = |b: usize| b * size..((b + 1) * size).min(n);
    let point = |i: usize| &points[i * coordinates..][..coordinates];
    let exact = |a: usize, b: u32| metric.distance(point(a), point(b as usize));
    let state: Vec<Mutex<Block<'_>>> = (0..blocks).map(|b| Mutex::new(Block::new(range(b), k, &exact))).collect();
    // Along diagonals, so that threads work on different blocks.
    let pairs: Vec<(usize, usize)> = (0..blocks)
        .flat_map(|apart| (0..blocks - apart).map(move |b| (b, b + apart)))
        .collect();
    control.progress.begin("neighbours", pairs.len() as u64, 0);
    let done = pairs.par_iter().try_for_each_init(
        || vec![0.0f32; size * size],
        |tile, &(a, b)| {
            control.check()?;
            let (rows, columns) = (range(a), range(b));
            let count = [rows.len(), columns.len()];
            let tile = &mut tile[..count[0] * count[1]];
            // Limits only fall: those of now hold for what is offered later.
            let limits = [a, b].map(|block| lock(&state[block]).limit.clone());
            tiles.tile(rows.clone(), columns.clone(), [&limits[0], &limits[1]], tile)?;
            let offer = Offer {
                tile,
                bounds: tiles.bounds().of(rows.start, columns.start),
                rows: rows.start,
                columns: columns.start,
            };
            // Locks in the order of the blocks; a is never above b.
            let mut of_rows = lock(&state[a]);
            if a == b {
                offer.own(&mut of_rows, count);
            } else {
                offer.both(&mut of_rows, &mut lock(&state[b]), count);
            }
            control.progress.advance(1);
            Ok::<(), Error>(())
        },
    );
    control.progress.end();
    done?;
    choose([n, k], state, size, &exact, control)
}

/// Distances of the candidates in float64, and the nearest of them.
fn choose(
    [n, k]: [usize; 2],
    state: Vec<Mutex<Block<'_>>>,
    size: usize,
    exact_of: &Exact<'_>,
    control: &Control,
) -> Result<Neighbors> {
    let mut index = Array2::zeros((n, k));
    let mut distance = Array2::zeros((n, k));
    let (index_flat, distance_flat) = (
        index.as_slice_mut().unwrap_or(&mut []),
        distance.as_slice_mut().unwrap_or(&mut []),
    );
    let rows = index_flat
        .par_chunks_mut(size * k)
        .zip(distance_flat.par_chunks_mut(size * k));
    rows.zip(state).enumerate().try_for_each(|(b, ((index, distance), block))| {
        control.check()?;
        let mut block = block.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut exact: Vec<(f64, u32)> = Vec::new();
        for (r, (index, distance)) in index.chunks_exact_mut(k).zip(distance.chunks_exact_mut(k)).enumerate() {
            let own = b * size + r;
            exact.clear();
            let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            block.prune(r);
            exact.extend(block.lists[r].iter().map(|c| (exact_of(own, c.index), c.index)));
            exact.sort_unstable_by(order);
            if exact.len() < k {
                return Err(Error::Internal(format!(
                    "point {own} has {} candidates for {k} neighbours",
                    exact.len()
                )));
            }
            for (e, (i, d)) in exact.iter().zip(index.iter_mut().zip(distance)) {
                (*d, *i) = *e;
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(Neighbors { index, distance })
}
