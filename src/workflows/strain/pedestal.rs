//! The value at which pixels would have no noise, from pairs of neighbouring frames.
//!
//! The joint fit takes pixels for counts, whose variance grows with their mean. With a gain g, an offset o (no dark reference subtracted) and
//! read noise of variance σ² it is g (mean − o) + σ² = g (mean − p), p = o − σ²/g: the photon transfer line of detectors (Janesick, *Photon
//! Transfer*, 2007). Pixels less p have the noise of counts again, so p, the pedestal, is all that is needed.
//!
//! Two neighbours in the scan and in a cluster show nearly the same pattern: half the square of their difference is the variance of a pixel,
//! half their sum its mean. Pixels of a cluster are gathered in bins by their level, bins of all clusters put on one line, and p is where it
//! meets zero. The level is that of one half of the pairs, means and variances are those of the other half, and the other way round: the
//! noise of a pixel does not choose its bin, which would make the line too flat.
//!
//! Spots that move, and patterns that become brighter, add to the variance of bright pixels. So bins are left out from the brightest on until
//! the others lie on a line. A pedestal is taken if the background's noise differs from that of counts by more than a factor of two, which
//! what moves did not feign on simulated scans of up to 10⁴ counts a pixel; all other scans are fitted as they are, bit by bit.

use super::transfer::{Bin, Line, line};
use crate::error::Result;
use ndarray::Array2;
use rayon::prelude::*;

/// Pairs of frames of all clusters, of one at least and of one at most, and clusters at most, the largest.
const PAIRS: usize = 64;
const FEWEST: usize = 4;
const MOST: usize = 32;
const CLUSTERS: usize = 8;
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

/// Why `auto` stays with the fast refinement.
pub(super) const UNKNOWN: &str = "pixels vary less than counts do, as above a pedestal, which could not be told";

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
    let mut bins = Vec::new();
    let mut whole = true;
    for pairs in chosen(pairs(frames, place)) {
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

/// Neighbours along the scan of each cluster, no frame twice.
fn pairs(frames: impl Iterator<Item = (u64, i32)>, place: impl Fn(u64) -> [usize; 2]) -> Vec<Vec<[u64; 2]>> {
    let mut all: Vec<Vec<[u64; 2]>> = Vec::new();
    let mut before: Option<(u64, usize)> = None;
    for (frame, label) in frames {
        let Ok(label) = usize::try_from(label) else {
            before = None;
            continue;
        };
        let neighbour = |other: u64| {
            let (p, q) = (place(other), place(frame));
            frame == other + 1 && p[0].abs_diff(q[0]) + p[1].abs_diff(q[1]) == 1
        };
        match before {
            Some((other, same)) if same == label && neighbour(other) => {
                if all.len() <= label {
                    all.resize(label + 1, Vec::new());
                }
                all[label].push([other, frame]);
                before = None;
            }
            _ => before = Some((frame, label)),
        }
    }
    all
}

/// Evenly chosen pairs of the clusters with most of them.
fn chosen(mut all: Vec<Vec<[u64; 2]>>) -> Vec<Vec<[u64; 2]>> {
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
            self.mean = vec![0.0; first.len()];
            self.noise = vec![0.0; first.len()];
            self.whole = true;
        }
        self.pairs += 1.0;
        let sums = self.mean.iter_mut().zip(&mut self.noise);
        for ((mean, noise), (p, q)) in sums.zip(first.iter().zip(second)) {
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
        if matters && zero.abs() > CLEAR * error {
            let value = zero as f32;
            return Pedestal::At { value, error };
        }
        return Pedestal::None;
    }
    if whole && noise < 0.5 * level * pixels {
        return Pedestal::Unknown;
    }
    Pedestal::None
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
        let frames = (0..10).zip(labels);
        let found = pairs(frames, |n| [n as usize / 5, n as usize % 5]);
        assert_eq!(found, [vec![[0, 1], [2, 3], [8, 9]], vec![[6, 7]]]);
        let all = chosen(vec![vec![[0, 1]; 100], vec![[0, 1]; 3], vec![[2, 3]; 40]]);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [25, 20]);
        assert_eq!(find(row(4), |n| [0, n as usize], |_| unreachable!()).unwrap(), Pedestal::None);
    }
}
