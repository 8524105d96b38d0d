//! Nearly the nearest other points, for many points: neighbours of neighbours.
//!
//! W. Dong, M. Charikar, K. Li, *Efficient k-nearest neighbor graph construction for generic similarity measures*, WWW 2011
//! (doi:10.1145/1963405.1963487), from a start by random trees (S. Dasgupta, Y. Freund, *Random projection trees and low dimensional
//! manifolds*, STOC 2008), here with the distances to two random points instead of a projection, so that any metric will do.
//!
//! There, a comparison changes the lists of both points at once, and the result depends on threads. Here every round looks at the
//! lists as the round found them and each point changes its own list alone: the bits depend on points and seed.

use super::{Metric, Neighbors, check};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::rng::Source;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Purpose of the random numbers of trees.
const TREES_PURPOSE: u8 = 60;
/// Trees of the start, and most points of a leaf.
const TREES: u64 = 6;
const LEAF: usize = 48;
/// Entries of a list beyond those wanted, and the least number of entries.
const SPARE: usize = 5;
const FEWEST: usize = 15;
/// Points that name a point as their neighbour and that are looked at in a round, of new and of old entries.
const REVERSE: usize = 12;
/// Most rounds; they end when fewer than this share of all entries change.
const ROUNDS: usize = 20;
const SETTLED: f64 = 5e-4;

/// An entry of a point's list.
#[derive(Clone, Copy)]
struct Entry {
    distance: f64,
    index: u32,
    /// Not yet looked at by the others.
    new: bool,
}

/// Points and how far apart they are.
struct Points<'a> {
    flat: &'a [f32],
    coordinates: usize,
    metric: Metric,
}

impl Points<'_> {
    fn len(&self) -> usize {
        self.flat.len() / self.coordinates
    }
    fn of(&self, i: u32) -> &[f32] {
        &self.flat[i as usize * self.coordinates..][..self.coordinates]
    }
    fn distance(&self, i: u32, j: u32) -> f64 {
        self.metric.distance(self.of(i), self.of(j))
    }
}

/// About the `k` nearest others of each of `points` (n, coordinates), nearest first. Distances are exact, and on data of few dimensions
/// 95 % and more of the neighbours are the nearest. Memory: some 24 bytes a list entry, k + 5 entries a point, and as much again in a
/// round. The same seed gives the same bits whatever the threads.
///
/// # Errors
/// As [`super::neighbors`].
pub fn approximate(points: ArrayView2<'_, f32>, k: usize, metric: Metric, seed: u64, control: &Control) -> Result<Neighbors> {
    check(points, k)?;
    let points = points.as_standard_layout();
    let all = Points {
        flat: points.as_slice().unwrap_or(&[]),
        coordinates: points.ncols(),
        metric,
    };
    let n = all.len();
    let size = (k + SPARE).max(FEWEST).min(n - 1);
    control.progress.begin("neighbours", (n * ROUNDS) as u64, 0);
    let result = settle(&all, size, seed, control);
    control.progress.end();
    let lists = result?;
    let mut index = Array2::zeros((n, k));
    let mut distance = Array2::zeros((n, k));
    for (i, list) in lists.chunks_exact(size).enumerate() {
        for (c, e) in list.iter().take(k).enumerate() {
            (index[[i, c]], distance[[i, c]]) = (e.index, e.distance);
        }
    }
    Ok(Neighbors { index, distance })
}

/// Lists of `size` entries each, one after the other.
fn settle(points: &Points, size: usize, seed: u64, control: &Control) -> Result<Vec<Entry>> {
    let n = points.len();
    let mut lists = start(points, size, seed, control)?;
    for _ in 0..ROUNDS {
        control.check()?;
        let reverse = [true, false].map(|new| Reverse::of(&lists, size, new));
        let mut next = lists.clone();
        let changed: usize = next
            .par_chunks_exact_mut(size)
            .enumerate()
            .with_min_len(32)
            .map_init(Vec::new, |candidates, (i, list)| {
                if i % 1024 == 0 && control.check().is_err() {
                    return 0;
                }
                let i = i as u32;
                list.iter_mut().for_each(|e| e.new = false);
                candidates.clear();
                // A way over two entries is worth a look if either is new.
                let around = |j: u32| {
                    let own = lists[j as usize * size..][..size].iter().map(|e| (e.index, e.new));
                    let back = reverse.iter().zip([true, false]);
                    own.chain(back.flat_map(move |(r, new)| r.at(j).iter().map(move |&v| (v, new))))
                };
                for (j, first) in around(i) {
                    candidates.extend(around(j).filter(|&(_, second)| first || second).map(|(v, _)| v));
                }
                candidates.extend(around(i).filter(|&(_, new)| new).map(|(v, _)| v));
                candidates.sort_unstable();
                candidates.dedup();
                let mut changed = 0;
                for &j in candidates.iter().filter(|&&j| j != i) {
                    changed += usize::from(offer(list, j, points.distance(i, j)));
                }
                changed
            })
            .sum();
        control.check()?;
        lists = next;
        control.progress.advance(n as u64);
        if (changed as f64) < SETTLED * (n * size) as f64 {
            break;
        }
    }
    Ok(lists)
}

/// Puts point `index` into a full list if it is nearer than the last; equal distances by index. True if it got in.
fn offer(list: &mut [Entry], index: u32, distance: f64) -> bool {
    let before = |e: &Entry| (e.distance, e.index) < (distance, index);
    let Some(last) = list.last() else {
        return false;
    };
    if before(last) || list.iter().any(|e| e.index == index) {
        return false;
    }
    let at = list.partition_point(before);
    list[at..].rotate_right(1);
    list[at] = Entry {
        distance,
        index,
        new: true,
    };
    true
}

/// The points that have a point in their list.
struct Reverse {
    start: Vec<u32>,
    points: Vec<u32>,
}

impl Reverse {
    /// Of entries that are new, or of the others; at most [`REVERSE`] for each point, those to which it is nearest.
    fn of(lists: &[Entry], size: usize, new: bool) -> Reverse {
        let n = lists.len() / size;
        let mut count = vec![0u32; n];
        // By the place in the list: the nearest come first.
        let mut chosen: Vec<(u32, u32)> = Vec::new();
        for place in 0..size {
            for i in 0..n {
                let entry = &lists[i * size + place];
                let to = entry.index as usize;
                if entry.new == new && count[to] < REVERSE as u32 {
                    count[to] += 1;
                    chosen.push((entry.index, i as u32));
                }
            }
        }
        let mut start = vec![0u32; n + 1];
        for i in 0..n {
            start[i + 1] = start[i] + count[i];
        }
        let mut at = start.clone();
        let mut points = vec![0u32; chosen.len()];
        for (to, from) in chosen {
            points[at[to as usize] as usize] = from;
            at[to as usize] += 1;
        }
        Reverse { start, points }
    }

    /// Those of point `i`.
    fn at(&self, i: u32) -> &[u32] {
        &self.points[self.start[i as usize] as usize..self.start[i as usize + 1] as usize]
    }
}

/// Lists from the leaves of random trees, filled up with the points that follow.
fn start(points: &Points, size: usize, seed: u64, control: &Control) -> Result<Vec<Entry>> {
    let n = points.len();
    let source = Source::new(seed, TREES_PURPOSE);
    // Where each point stands in each tree, and where its leaf begins and ends.
    let trees: Vec<Tree> = (0..TREES)
        .into_par_iter()
        .map(|t| {
            control.check()?;
            Ok::<Tree, Error>(Tree::grow(points, t, source))
        })
        .collect::<Result<_>>()?;
    let mut lists = vec![
        Entry {
            distance: f64::INFINITY,
            index: 0,
            new: true,
        };
        n * size
    ];
    lists
        .par_chunks_exact_mut(size)
        .enumerate()
        .with_min_len(32)
        .for_each_init(Vec::new, |candidates, (i, list)| {
            candidates.clear();
            for tree in &trees {
                let leaf = tree.leaf[i];
                candidates.extend_from_slice(&tree.order[leaf.0 as usize..leaf.1 as usize]);
            }
            candidates.extend((1..=size as u64).map(|k| ((i as u64 + k) % n as u64) as u32));
            candidates.sort_unstable();
            candidates.dedup();
            let i = i as u32;
            let mut found: Vec<Entry> = candidates
                .iter()
                .filter(|&&j| j != i)
                .map(|&index| Entry {
                    distance: points.distance(i, index),
                    index,
                    new: true,
                })
                .collect();
            found.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
            list.iter_mut().zip(found).for_each(|(to, e)| *to = e);
        });
    control.check()?;
    Ok(lists)
}

/// A tree that halves the points until few are left.
struct Tree {
    /// Points, those of a leaf together.
    order: Vec<u32>,
    /// Where the leaf of each point begins and ends in `order`.
    leaf: Vec<(u32, u32)>,
}

impl Tree {
    fn grow(points: &Points, number: u64, source: Source) -> Tree {
        let n = points.len();
        let mut tree = Tree {
            order: (0..n as u32).collect(),
            leaf: vec![(0, 0); n],
        };
        let mut todo = vec![(0, n)];
        let mut random = source.sequence(number);
        let mut keys: Vec<(f64, u32)> = Vec::new();
        while let Some((from, to)) = todo.pop() {
            let members = &mut tree.order[from..to];
            if members.len() <= LEAF {
                members.iter().for_each(|&i| tree.leaf[i as usize] = (from as u32, to as u32));
                continue;
            }
            // Halves by which of two points is nearer; equal ones by index.
            let [a, b] = [members[random.below(to - from)], members[random.below(to - from)]];
            keys.clear();
            keys.extend(members.iter().map(|&i| (points.distance(i, a) - points.distance(i, b), i)));
            let half = keys.len() / 2;
            keys.select_nth_unstable_by(half, |x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
            // The sides are sets; their order must not depend on the selection.
            keys[..half].sort_unstable_by_key(|k| k.1);
            keys[half..].sort_unstable_by_key(|k| k.1);
            members.iter_mut().zip(&keys).for_each(|(m, k)| *m = k.1);
            todo.push((from + half, to));
            todo.push((from, from + half));
        }
        tree
    }
}
