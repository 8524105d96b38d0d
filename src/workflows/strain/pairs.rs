//! Pairs of frames that show nearly the same pattern.

use crate::analysis::robust;
use crate::error::Result;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Pairs of frames of all clusters, of one at least and of one at most, and clusters at most, the largest.
const PAIRS: usize = 64;
pub(super) const FEWEST: usize = 4;
const MOST: usize = 32;
const CLUSTERS: usize = 8;
/// A pair is like the others if the squares of its differences are their median up to this factor, and if the sum of all its pixels and the
/// difference of its frames' sums are off theirs by so many times what is usual, or so many standard errors.
const ALIKE: f64 = 4.0;
const FAR: f64 = 10.0;
const BY_CHANCE: f64 = 5.0;
/// So many pixels of a frame say enough; of larger frames only some are seen.
const MOST_PIXELS: usize = 1 << 22;

/// Pairs of frames, by their numbers.
pub(super) type Pairs = Vec<[u64; 2]>;

/// Pairs of each cluster, no frame twice: neighbours along the scan; where no cluster has enough of them, as in a region of one column,
/// neighbours in any direction; and at last, as in a chequered region, frames of which one is the next of its cluster after the other.
pub(super) fn pairs(frames: &[(u64, i32)], place: &impl Fn(u64) -> [usize; 2]) -> Vec<Pairs> {
    let ways = [along, touching, following];
    let found = ways.into_iter().map(|way| chosen(way(frames, place)));
    found.into_iter().find(|all| !all.is_empty()).unwrap_or_default()
}

/// Whether two places are neighbours.
fn touch(p: [usize; 2], q: [usize; 2]) -> bool {
    p[0].abs_diff(q[0]) + p[1].abs_diff(q[1]) == 1
}

/// Neighbours of which one follows the other in the scan.
fn along(frames: &[(u64, i32)], place: &impl Fn(u64) -> [usize; 2]) -> Vec<Pairs> {
    let mut all: BTreeMap<i32, Pairs> = BTreeMap::new();
    let mut before: Option<(u64, i32)> = None;
    for &(frame, label) in frames {
        match before {
            Some((other, same)) if same == label && frame == other + 1 && touch(place(other), place(frame)) => {
                all.entry(label).or_default().push([other, frame]);
                before = None;
            }
            _ => before = Some((frame, label)),
        }
    }
    all.into_values().collect()
}

/// Neighbours in any direction.
fn touching(frames: &[(u64, i32)], place: &impl Fn(u64) -> [usize; 2]) -> Vec<Pairs> {
    let mut left: BTreeMap<[usize; 2], (u64, i32)> = frames.iter().map(|f| (place(f.0), *f)).collect();
    let mut all: BTreeMap<i32, Pairs> = BTreeMap::new();
    for &(frame, label) in frames {
        let [y, x] = place(frame);
        if left.get(&[y, x]) != Some(&(frame, label)) {
            continue;
        }
        let around = [[y, x + 1], [y + 1, x], [y, x.wrapping_sub(1)], [y.wrapping_sub(1), x]];
        let near = around
            .into_iter()
            .find(|at| left.get(at).is_some_and(|other| other.1 == label));
        if let Some((other, _)) = near.and_then(|at| left.remove(&at)) {
            left.remove(&[y, x]);
            all.entry(label).or_default().push([frame, other]);
        }
    }
    all.into_values().collect()
}

/// Frames of which one is the next of its cluster after the other.
fn following(frames: &[(u64, i32)], _: &impl Fn(u64) -> [usize; 2]) -> Vec<Pairs> {
    let mut all: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    for &(frame, label) in frames {
        all.entry(label).or_default().push(frame);
    }
    let pairs = |frames: Vec<u64>| frames.as_chunks().0.to_vec();
    all.into_values().map(pairs).collect()
}

/// Evenly chosen pairs of the clusters with most of them.
fn chosen(mut all: Vec<Pairs>) -> Vec<Pairs> {
    all.retain(|pairs| pairs.len() >= FEWEST);
    all.sort_by_key(|pairs| std::cmp::Reverse(pairs.len()));
    all.truncate(CLUSTERS);
    let most = (PAIRS / all.len().max(1)).min(MOST);
    for pairs in &mut all {
        let step = pairs.len().div_ceil(most);
        *pairs = pairs.iter().copied().step_by(step).collect();
    }
    all
}

/// Those of a cluster's `pairs` that differ as much as most of them do.
pub(super) fn alike(pairs: Pairs, read: &(impl Fn(u64) -> Result<Array2<f64>> + Sync)) -> Result<Pairs> {
    let seen = |part: &[[u64; 2]]| -> Result<Vec<Difference>> {
        let of = |[a, b]: &[u64; 2]| Ok(Difference::of(&read(*a)?, &read(*b)?));
        part.iter().map(of).collect()
    };
    // In two parts, as the halves are, so that few frames are held at once.
    let parts = pairs.par_chunks(pairs.len().div_ceil(2).max(1)).map(seen);
    let seen = parts.collect::<Result<Vec<_>>>()?.concat();
    let most = seen.iter().map(|d| d.pixels).fold(0.0, f64::max);
    let whole = |d: &&Difference| d.pixels > 0.5 * most;
    let median = |of: &dyn Fn(&Difference) -> f64| robust::median(seen.iter().filter(whole).map(of));
    let (squares, level) = (median(&|d| d.squares), median(&|d| d.level));
    // Noise of differences, and of sums.
    let allowed = |d: &Difference, usual: f64| (FAR * usual).max(BY_CHANCE * d.squares.sqrt());
    let (change, spread) = (median(&|d| d.sum.abs()), median(&|d| (d.level - level).abs()));
    let like = |d: &Difference| {
        let noise = d.squares <= ALIKE * squares && squares <= ALIKE * d.squares;
        let bright = d.sum.abs() <= allowed(d, change) && (d.level - level).abs() <= allowed(d, spread);
        whole(&d) && noise && bright
    };
    let kept: Pairs = pairs
        .iter()
        .zip(&seen)
        .filter(|(_, d)| like(d))
        .map(|(pair, _)| *pair)
        .collect();
    if kept.len() < pairs.len() {
        log::debug!(
            "{} of {} pairs of frames are unlike the others",
            pairs.len() - kept.len(),
            pairs.len()
        );
    }
    Ok(kept)
}

/// Pixels of two frames, one by one, of very large frames only some of them. An odd step visits every column.
pub(super) fn pixels<'f>(first: &'f Array2<f64>, second: &'f Array2<f64>) -> impl Iterator<Item = [f64; 2]> + use<'f> {
    let step = first.len().div_ceil(MOST_PIXELS) | 1;
    first.iter().zip(second).step_by(step).map(|(p, q)| [*p, *q])
}

/// How two frames differ: how many pixels both have, the sum of all these, of their differences, and of the squares of differences.
#[derive(Debug, Clone, Copy)]
struct Difference {
    pixels: f64,
    level: f64,
    sum: f64,
    squares: f64,
}

impl Difference {
    fn of(first: &Array2<f64>, second: &Array2<f64>) -> Difference {
        let both = pixels(first, second).filter(|pair| pair.iter().all(|p| p.is_finite()));
        let none = Difference {
            pixels: 0.0,
            level: 0.0,
            sum: 0.0,
            squares: 0.0,
        };
        both.fold(none, |d, [p, q]| Difference {
            pixels: d.pixels + 1.0,
            level: d.level + p + q,
            sum: d.sum + p - q,
            squares: d.squares + (p - q) * (p - q),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_without_neighbours_along_the_scan_have_pairs() {
        let frames = |kept: &dyn Fn(u64) -> bool| (0..64).filter(|n| kept(*n)).map(|n| (n, 0)).collect::<Vec<_>>();
        let place = |n: u64| [n as usize / 8, n as usize % 8];
        assert_eq!(
            pairs(&frames(&|n| n % 8 == 3), &place),
            [vec![[3, 11], [19, 27], [35, 43], [51, 59]]]
        );
        let found = pairs(&frames(&|n| (n / 8 + n) % 2 == 0), &place).concat();
        assert_eq!((found.len(), &found[..3]), (16, &[[0, 2], [4, 6], [9, 11]][..]));
        // Of a scan that runs to and fro, neighbours of any two rows.
        let turning = |n: u64| {
            [
                n as usize / 8,
                if (n / 8).is_multiple_of(2) {
                    n as usize % 8
                } else {
                    7 - n as usize % 8
                },
            ]
        };
        assert_eq!(
            touching(&frames(&|n| [7, 8, 0, 15].contains(&n)), &turning),
            [vec![[0, 15], [7, 8]]]
        );
        assert_eq!(pairs(&frames(&|n| n < 6), &place), Vec::<Pairs>::new());
    }

    #[test]
    fn very_large_frames_are_seen_in_part() {
        let seen = |h, w| pixels(&Array2::zeros((h, w)), &Array2::zeros((h, w))).count();
        assert_eq!(seen(2048, 2048), 2048 * 2048);
        assert_eq!(seen(2049, 2048), (2049 * 2048usize).div_ceil(3));
    }

    #[test]
    fn pairs_are_neighbours_in_a_cluster() {
        let labels = [0, 0, 0, 0, 0, -1, 1, 1, 0, 0];
        let frames: Vec<(u64, i32)> = (0..10).zip(labels).filter(|(_, label)| *label >= 0).collect();
        let found = along(&frames, &|n| [n as usize / 5, n as usize % 5]);
        assert_eq!(found, [vec![[0, 1], [2, 3], [8, 9]], vec![[6, 7]]]);
        let all = chosen(vec![vec![[0, 1]; 100], vec![[0, 1]; 3], vec![[2, 3]; 40]]);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [25, 20]);
    }
}
