//! The value at which pixels would have no noise, from pairs of neighbouring frames.
//!
//! The joint fit takes pixels for counts, whose variance grows with their mean. With a gain g, an offset o (no dark reference subtracted) and
//! read noise of variance σ² it is g (mean − o) + σ² = g (mean − p), p = o − σ²/g: the photon transfer line of detectors (Janesick, *Photon
//! Transfer*, 2007). Pixels less p have the noise of counts again, so p, the pedestal, is all that is needed.
//!
//! Two neighbours in the scan and in a cluster show nearly the same pattern: half the square of their difference is the variance of a pixel,
//! half their sum its mean. Pixels of a cluster are gathered in bins by their level, bins of all clusters put on one line, and p is where it
//! meets zero. The level is that of one half of the pairs, means and variances are those of the other half, and the other way round: the
//! noise of a pixel does not choose its bin, which would make the line too flat. Pairs that are not like the others of their cluster are left
//! out first: a blank or brighter frame would be taken for noise.
//!
//! Spots that move, and patterns that become brighter, add to the variance of bright pixels. So bins are left out from the brightest on until
//! the others lie on a line. A pedestal is taken if the background's noise differs from that of counts by more than a factor of two, and if
//! the darker pixels alone, in which hardly anything moves, do not contradict; all other scans are fitted as they are, bit by bit.

use super::transfer::{Bin, Line, line};
use crate::error::Result;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Pairs of frames of all clusters, of one at least and of one at most, and clusters at most, the largest.
const PAIRS: usize = 64;
const FEWEST: usize = 4;
const MOST: usize = 32;
const CLUSTERS: usize = 8;
/// A pair is like the others if the squares of its differences are at most so many times their median, and so is the difference of its sums,
/// unless that is within so many of its standard errors.
const ALIKE: f64 = 4.0;
const BY_CHANCE: f64 = 5.0;
/// So many pixels of a frame say enough; of larger frames only some are seen.
const MOST_PIXELS: usize = 1 << 22;
/// Pixels are binned by their rank: so many bins up to this share of them, which is taken for background, and so many above.
const BACKGROUND: f64 = 0.9;
const BINS: [usize; 2] = [18, 10];
/// Pixels and bins with fewer tell nothing.
const PIXELS: usize = 8;
const LEAST_BINS: usize = 10;
/// Shares of the bins, the darkest, that may lie on a line.
const SHARES: [f64; 9] = [1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];
/// A pedestal exceeds this many of its standard errors, each of which is at most this share of the background above it.
const CLEAR: f64 = 5.0;
const KNOWN: f64 = 0.2;
/// The background's bins are compared in so many parts, from dark to bright. Whole numbers are counts if noise and mean of the darkest two
/// are the same up to these shares.
const PARTS: usize = 4;
const COUNTS: [f64; 2] = [0.1, 0.2];
/// How much brighter another part is than the darkest one, if the two shall tell where there is no noise.
const LEVER: f64 = 1.25;

/// Why `auto` stays with the fast refinement.
pub(super) const UNKNOWN: &str =
    "pixels vary less than counts do, as above a pedestal or where they are scaled, which could not be told";

/// What the noise of pixels says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Pedestal {
    /// None, or none that matters, or too few frames to tell.
    #[default]
    None,
    /// Pixels less `value` have the noise of counts. `error` is that of the noise; motion adds up to some percent of the background.
    At { value: f32, error: f64 },
    /// Whole numbers that vary less than counts do, by no more than half, and no line to say where they have no noise.
    Unknown,
}

impl Pedestal {
    /// What is taken off every pixel.
    pub fn value(&self) -> f32 {
        match self {
            Pedestal::At { value, .. } => *value,
            Pedestal::None | Pedestal::Unknown => 0.0,
        }
    }

    /// For people, where frames are `joined` or not.
    pub(super) fn warning(&self, joined: bool) -> Option<String> {
        match self {
            Pedestal::At { value, error } if *value > 0.0 && joined => {
                let digits = (-error.log10().floor()).clamp(0.0, 6.0) as usize;
                Some(format!(
                    "pixels have a pedestal of about {value:.digits$} ± {error:.digits$}, as without a dark reference: the joint fit takes it off"
                ))
            }
            Pedestal::Unknown if joined => Some(format!(
                "{UNKNOWN}: standard errors of the joint fit may be too small; subtract the dark reference, or take --correlation fast"
            )),
            Pedestal::Unknown => Some(format!(
                "{UNKNOWN}: frames were refined by fast; subtract the dark reference for the joint fit"
            )),
            _ => None,
        }
    }
}

/// Pairs of frames, by their numbers.
type Pairs = Vec<[u64; 2]>;

/// The pedestal of the pixels of `frames` (number and label, in order of the numbers); `place` is where a frame lies in the scan, and `read`
/// its pixels, NaN where there are none.
///
/// # Errors
/// Those of `read`.
pub(super) fn find(
    frames: impl Iterator<Item = (u64, i32)>,
    place: impl Fn(u64) -> [usize; 2],
    read: impl Fn(u64) -> Result<Array2<f64>> + Sync,
) -> Result<Pedestal> {
    let frames: Vec<(u64, i32)> = frames.filter(|(_, label)| *label >= 0).collect();
    let mut bins = Vec::new();
    let mut whole = true;
    for pairs in pairs(&frames, &place) {
        let pairs = alike(pairs, &read)?;
        if pairs.len() < FEWEST {
            continue;
        }
        let half = |k: usize| {
            let mut half = Half::default();
            pairs.iter().skip(k).step_by(2).try_for_each(|[a, b]| {
                half.add(&read(*a)?, &read(*b)?);
                Ok(())
            })?;
            Ok(half)
        };
        let halves: Vec<Half> = (0..2).into_par_iter().map(half).collect::<Result<_>>()?;
        whole &= halves.iter().all(|h| h.whole);
        bins.extend(binned(&halves[0], &halves[1]));
        bins.extend(binned(&halves[1], &halves[0]));
    }
    let found = told(bins, whole);
    log::info!("pedestal of the pixels: {found:?}");
    Ok(found)
}

/// Pairs of each cluster, no frame twice: neighbours along the scan; where no cluster has enough of them, as in a region of one column,
/// neighbours in any direction; and at last, as in a chequered region, frames of which one is the next of its cluster after the other.
fn pairs(frames: &[(u64, i32)], place: &impl Fn(u64) -> [usize; 2]) -> Vec<Pairs> {
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
fn alike(pairs: Pairs, read: &(impl Fn(u64) -> Result<Array2<f64>> + Sync)) -> Result<Pairs> {
    let seen = |part: &[[u64; 2]]| -> Result<Vec<Difference>> {
        let of = |[a, b]: &[u64; 2]| Ok(Difference::of(&read(*a)?, &read(*b)?));
        part.iter().map(of).collect()
    };
    // In two parts, as the halves are, so that few frames are held at once.
    let parts = pairs.par_chunks(pairs.len().div_ceil(2).max(1)).map(seen);
    let seen = parts.collect::<Result<Vec<_>>>()?.concat();
    let most = seen.iter().map(|d| d.pixels).fold(0.0, f64::max);
    let whole = |d: &&Difference| d.pixels > 0.5 * most;
    let squares = middle(seen.iter().filter(whole).map(|d| d.squares));
    let sums = middle(seen.iter().filter(whole).map(|d| d.sum.abs()));
    let like = |d: &Difference| {
        let by_chance = BY_CHANCE * d.squares.sqrt();
        whole(&d) && d.squares <= ALIKE * squares && d.sum.abs() <= (ALIKE * sums).max(by_chance)
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

/// The upper median; zero of nothing.
fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Pixels of two frames, one by one, of very large frames only some of them. An odd step visits every column.
fn pixels<'f>(first: &'f Array2<f64>, second: &'f Array2<f64>) -> impl Iterator<Item = [f64; 2]> + use<'f> {
    let step = first.len().div_ceil(MOST_PIXELS) | 1;
    first.iter().zip(second).step_by(step).map(|(p, q)| [*p, *q])
}

/// How two frames differ: how many pixels both have, the sum of their differences, and of the squares of these.
#[derive(Debug, Clone, Copy)]
struct Difference {
    pixels: f64,
    sum: f64,
    squares: f64,
}

impl Difference {
    fn of(first: &Array2<f64>, second: &Array2<f64>) -> Difference {
        let differences = pixels(first, second).map(|[p, q]| p - q).filter(|d| d.is_finite());
        let none = Difference {
            pixels: 0.0,
            sum: 0.0,
            squares: 0.0,
        };
        differences.fold(none, |d, by| Difference {
            pixels: d.pixels + 1.0,
            sum: d.sum + by,
            squares: d.squares + by * by,
        })
    }
}

/// Sums over half of a cluster's pairs, for each pixel: of means, and of half the squares of differences.
#[derive(Default)]
struct Half {
    pairs: f64,
    mean: Vec<f64>,
    noise: Vec<f64>,
    /// Pixels are whole numbers.
    whole: bool,
}

impl Half {
    fn add(&mut self, first: &Array2<f64>, second: &Array2<f64>) {
        if self.mean.is_empty() {
            let seen = pixels(first, second).count();
            self.mean = vec![0.0; seen];
            self.noise = vec![0.0; seen];
            self.whole = true;
        }
        self.pairs += 1.0;
        let sums = self.mean.iter_mut().zip(&mut self.noise);
        for ((mean, noise), [p, q]) in sums.zip(pixels(first, second)) {
            *mean += (p + q) / 2.0;
            *noise += (p - q) * (p - q) / 2.0;
            self.whole &= [p, q].iter().all(|v| v.fract() == 0.0 || v.is_nan());
        }
    }
}

/// The pixels of `seen` in bins by what they are in `level`; those that never change there are none.
fn binned(level: &Half, seen: &Half) -> Vec<Bin> {
    let lives = |&p: &usize| level.noise[p] > 0.0 && level.mean[p].is_finite() && seen.noise[p].is_finite();
    let mut pixels: Vec<usize> = (0..level.mean.len().min(seen.mean.len())).filter(lives).collect();
    pixels.sort_by(|p, q| level.mean[*p].total_cmp(&level.mean[*q]));
    let dark = (0..BINS[0]).map(|k| BACKGROUND * k as f64 / BINS[0] as f64);
    let bright = (0..=BINS[1]).map(|k| BACKGROUND + (1.0 - BACKGROUND) * k as f64 / BINS[1] as f64);
    let ends: Vec<usize> = dark
        .chain(bright)
        .map(|q| (q * pixels.len() as f64).round() as usize)
        .collect();
    let parts = ends.windows(2).enumerate().map(|(k, e)| (k < BINS[0], &pixels[e[0]..e[1]]));
    let values = |p: &usize| [seen.mean[*p] / seen.pairs, seen.noise[*p] / seen.pairs];
    let of = |(dark, pixels): (bool, &[usize])| Bin::of(dark, &pixels.iter().map(values).collect::<Vec<_>>());
    parts.filter(|(_, p)| p.len() >= PIXELS).map(of).collect()
}

/// What the bins say; `whole`: of pixels that are whole numbers.
fn told(mut bins: Vec<Bin>, whole: bool) -> Pedestal {
    let (mut pixels, mut level, mut noise) = (0.0, 0.0, 0.0);
    for b in bins.iter().filter(|b| b.background) {
        (pixels, level, noise) = (pixels + b.n, level + b.n * b.mean, noise + b.n * b.noise);
    }
    if bins.len() < LEAST_BINS {
        return Pedestal::None;
    }
    let level = level / pixels;
    bins.sort_by(|p, q| p.mean.total_cmp(&q.mean));
    let parts = SHARES.map(|share| (share * bins.len() as f64) as usize);
    let found = parts.into_iter().filter(|&n| n >= LEAST_BINS).find_map(|n| line(&bins[..n]));
    log::debug!("noise of pixels: {found:?}, background {level}");
    if let Some(Line { zero, error }) = found.filter(|l| l.error <= KNOWN * (level - l.zero)) {
        // The background's noise is that of counts of this; it was taken for that of `level`.
        let above = level - zero;
        let matters = level > 2.0 * above || above > 2.0 * level;
        let feigned = zero > 0.0 && contradict(&bins, whole);
        if matters && zero.abs() > CLEAR * error && !feigned {
            let value = zero as f32;
            return Pedestal::At { value, error };
        }
        return Pedestal::None;
    }
    if whole && noise < 0.5 * level * pixels && !contradict(&bins, whole) {
        return Pedestal::Unknown;
    }
    Pedestal::None
}

/// Whether the darker of the `bins`, which are in order, say that there is no pedestal: `whole` numbers have the noise of counts there, or a
/// line through the darkest and a brighter part of the background meets zero below half the darkest. What moves makes that line too steep, and
/// its zero too large, never too small.
fn contradict(bins: &[Bin], whole: bool) -> bool {
    let background: Vec<&Bin> = bins.iter().filter(|b| b.background).collect();
    let pooled = |bins: &[&Bin]| {
        let n: f64 = bins.iter().map(|b| b.n).sum();
        let [mean, noise] = [|b: &Bin| b.mean, |b: &Bin| b.noise].map(|of| bins.iter().map(|b| b.n * of(b)).sum::<f64>());
        [mean / n, noise / n]
    };
    let parts: Vec<[f64; 2]> = background
        .chunks(background.len().div_ceil(PARTS).max(1))
        .map(pooled)
        .collect();
    let Some((&[level, least], brighter)) = parts.split_first() else {
        return false;
    };
    let counts = |([mean, noise], share): (&[f64; 2], f64)| (noise - mean).abs() <= share * mean;
    if whole && parts.iter().zip(COUNTS).all(counts) {
        return true;
    }
    level > 0.0
        && brighter.iter().any(|&[mean, noise]| {
            let slope = (noise - least) / (mean - level);
            mean > LEVER * level && least > 0.5 * level * slope
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Poisson, Source};

    /// Frames of a row, whose background falls to the right, with a bright spot in every eighth row; electrons, gain and offset.
    fn frame(n: u64, electrons: f64, [gain, offset]: [f64; 2]) -> Array2<f64> {
        let (poisson, source) = (Poisson::new(), Source::new(7, 1));
        let expected: Vec<f32> = (0..64 * 64)
            .map(|p| {
                let (y, x) = (p / 64, p % 64);
                let spot = if y % 8 == 0 && x % 8 < 2 { 20.0 } else { 0.0 };
                (electrons * (spot + (-(x as f64) / 30.0).exp())) as f32
            })
            .collect();
        let mut pixels = Array2::zeros((64, 64));
        poisson.fill(&source, n, 0, &expected, |i, count| {
            pixels[[i / 64, i % 64]] = offset + gain * count as f64
        });
        pixels
    }

    fn row(frames: u64) -> impl Iterator<Item = (u64, i32)> {
        (0..frames).map(|n| (n, 0))
    }

    fn found(electrons: f64, of: [f64; 2]) -> Pedestal {
        find(row(40), |n| [0, n as usize], |n| Ok(frame(n, electrons, of))).unwrap()
    }

    #[test]
    fn counts_have_none_and_offsets_are_found() {
        for electrons in [0.1, 1.0, 30.0] {
            assert_eq!(found(electrons, [1.0, 0.0]), Pedestal::None, "{electrons}");
            assert_eq!(found(electrons, [0.03, 0.0]), Pedestal::None, "{electrons}");
            for of in [[1.0, 100.0], [20.0, 1000.0], [0.5, -30.0]] {
                let Pedestal::At { value, error } = found(electrons, of) else {
                    panic!("{electrons} {of:?}");
                };
                let off = f64::from(value) - of[1];
                let allowed = (4.0 * error).max(1e-6 * of[1].abs());
                assert!(off.abs() < allowed, "{electrons} {of:?}: {off} {error}");
                assert!(error < 0.15 * electrons * of[0], "{electrons} {of:?}: {error}");
            }
        }
    }

    /// Read noise adds a variance, which is that of counts below zero. Half the numbers are +3, half −3.
    #[test]
    fn read_noise_lowers_it() {
        let noisy = |n: u64| {
            let source = Source::new(9, 2);
            let mut pixels = frame(n, 1.0, [5.0, 2000.0]);
            let ups = Array2::from_elem((64, 64), 0.5f32).into_raw_vec_and_offset().0;
            // An odd number of electrons of a mean of 20 has a chance of one half.
            let ups: Vec<f32> = ups.iter().map(|v| 40.0 * v).collect();
            let mut signs = vec![0u64; 64 * 64];
            Poisson::new().fill(&source, n, 0, &ups, |i, count| signs[i] = count);
            pixels
                .iter_mut()
                .zip(&signs)
                .for_each(|(p, s)| *p += if s % 2 == 0 { 3.0 } else { -3.0 });
            Ok(pixels)
        };
        let Pedestal::At { value, error } = find(row(40), |n| [0, n as usize], noisy).unwrap() else {
            panic!("none");
        };
        assert!(
            (f64::from(value) - 1998.2).abs() < 4.0 * error && error < 0.3,
            "{value} {error}"
        );
    }

    #[test]
    fn a_flat_background_cannot_tell() {
        // Every pixel has the same mean, so there is no line.
        let flat = |n: u64| {
            let mut pixels = Array2::zeros((64, 64));
            let expected = vec![1f32; 64 * 64];
            Poisson::new().fill(&Source::new(3, 1), n, 0, &expected, |i, count| {
                pixels[[i / 64, i % 64]] = 50.0 + count as f64
            });
            Ok(pixels)
        };
        assert_eq!(find(row(40), |n| [0, n as usize], flat).unwrap(), Pedestal::Unknown);
        let fraction = |n: u64| flat(n).map(|f| f * 0.3);
        assert_eq!(find(row(40), |n| [0, n as usize], fraction).unwrap(), Pedestal::None);
        let at = Pedestal::At {
            value: 99.9996,
            error: 0.0021,
        };
        assert!(at.warning(true).unwrap().contains("about 100.000 ± 0.002,"), "{at:?}");
        assert_eq!(at.warning(false), None);
        assert!(Pedestal::Unknown.warning(false).unwrap().contains("fast"));
        assert!(Pedestal::Unknown.warning(true).unwrap().contains("too small"));
    }

    #[test]
    fn pairs_are_neighbours_in_a_cluster() {
        let labels = [0, 0, 0, 0, 0, -1, 1, 1, 0, 0];
        let frames: Vec<(u64, i32)> = (0..10).zip(labels).filter(|(_, label)| *label >= 0).collect();
        let found = along(&frames, &|n| [n as usize / 5, n as usize % 5]);
        assert_eq!(found, [vec![[0, 1], [2, 3], [8, 9]], vec![[6, 7]]]);
        let all = chosen(vec![vec![[0, 1]; 100], vec![[0, 1]; 3], vec![[2, 3]; 40]]);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [25, 20]);
        assert_eq!(find(row(4), |n| [0, n as usize], |_| unreachable!()).unwrap(), Pedestal::None);
    }
}
