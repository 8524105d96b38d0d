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

use super::pairs::{FEWEST, alike, pairs, pixels};
use super::transfer::{Bin, Line, line};
use crate::error::Result;
use ndarray::Array2;
use rayon::prelude::*;

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

    /// One frame or some that are blank, brighter, without data or that lack a detector's half do not count.
    #[test]
    fn frames_unlike_their_neighbours_do_not_count() {
        let odd: [&(dyn Fn(f64, usize) -> f64 + Sync); 5] =
            [&|_, _| 0.0, &|v, _| 3.0 * v, &|v, _| 1.02 * v, &|_, _| f64::NAN, &|v, p| {
                if p < 32 * 64 { f64::NAN } else { v }
            }];
        let clean = found(1.0, [1.0, 100.0]);
        for (k, odd) in odd.into_iter().enumerate() {
            for odd_frames in [vec![12], vec![3, 8, 9, 22, 31]] {
                let read = |n: u64| {
                    let mut pixels = frame(n, 1.0, [1.0, 100.0]);
                    if odd_frames.contains(&n) {
                        pixels.iter_mut().enumerate().for_each(|(i, p)| *p = odd(*p, i));
                    }
                    Ok(pixels)
                };
                let Pedestal::At { value, error } = find(row(40), |n| [0, n as usize], read).unwrap() else {
                    panic!("none with {odd_frames:?} of {k}");
                };
                let off = f64::from(value) - 100.0;
                assert!(
                    off.abs() < 4.0 * error && error < 0.02,
                    "{k} {odd_frames:?}: {off} {error}, {clean:?}"
                );
            }
        }
        let all = alike(pairs(&row(40).collect::<Vec<_>>(), &|n| [0, n as usize]).concat(), &|n| {
            Ok(frame(n, 1.0, [1.0, 100.0]))
        });
        assert_eq!(all.unwrap().len(), 20, "of frames that are alike none is left out");
    }

    /// Counts on a flat background `level`, with disks of up to `height` that change their height by the share `change` and move by `by` px.
    fn moving(n: u64, [level, height, change, by]: [f64; 4]) -> Array2<f64> {
        let moves: Vec<f64> = (0..40)
            .map(|k| f64::sin((n * 41 + k + 1) as f64 * 12.9898) * 43758.5453)
            .collect();
        // Even between ±√3, of a variance of one.
        let moves: Vec<f64> = moves.iter().map(|v| (v - v.floor() - 0.5) * 12f64.sqrt()).collect();
        let expected: Vec<f32> = (0..96 * 96)
            .map(|p| {
                let (y, x) = ((p / 96) as f64, (p % 96) as f64);
                let disk = (y / 16.0).floor() * 6.0 + (x / 16.0).floor();
                let centre = |v: f64, k: usize| (v / 16.0).floor() * 16.0 + 7.6 + by * moves[k];
                let far = (y - centre(y, 36)).hypot(x - centre(x, 37));
                let own = height * f64::exp(-disk / 12.0) * (1.0 + change * moves[disk as usize]);
                (level + own * (4.5 - far).clamp(0.0, 1.0)) as f32
            })
            .collect();
        let mut pixels = Array2::zeros((96, 96));
        Poisson::new().fill(&Source::new(5, 1), n, 0, &expected, |i, count| {
            pixels[[i / 96, i % 96]] = count as f64
        });
        pixels
    }

    /// A flat background has no lever, and disks that move or change make the line of counts too steep: they do not feign a pedestal. A real
    /// one is found there.
    #[test]
    fn what_moves_feigns_none() {
        for of in [
            [20.0, 1000.0, 0.1, 0.1],
            [20.0, 300.0, 0.1, 0.1],
            [20.0, 1000.0, 0.3, 0.0],
            [20.0, 1000.0, 0.05, 0.05],
            [5.0, 500.0, 0.1, 0.2],
        ] {
            let read = |n| Ok(moving(n, of));
            assert_eq!(find(row(64), |n| [0, n as usize], read).unwrap(), Pedestal::None, "{of:?}");
        }
        let read = |n| Ok(moving(n, [2.0, 40.0, 0.02, 0.02]) + 100.0);
        let Pedestal::At { value, error } = find(row(64), |n| [0, n as usize], read).unwrap() else {
            panic!("none");
        };
        assert!((f64::from(value) - 100.0).abs() < 0.1 && error < 0.1, "{value} {error}");
    }

    /// Scaled counts as whole numbers vary less than counts do, and their darker pixels tell that nothing was added.
    #[test]
    fn scaled_counts_have_none() {
        let scaled = |n: u64| Ok(frame(n, 60.0, [0.15, 0.0]).map(|v| v.floor()));
        assert_eq!(find(row(40), |n| [0, n as usize], scaled).unwrap(), Pedestal::None);
        // Nor do disks that change their heights hide it.
        let changing = |n: u64| {
            Ok(scaled(n)?.mapv(|v| {
                if v > 20.0 {
                    (v * (1.0 + 0.1 * (n % 3) as f64)).floor()
                } else {
                    v
                }
            }))
        };
        assert_eq!(find(row(40), |n| [0, n as usize], changing).unwrap(), Pedestal::None);
    }

    #[test]
    fn regions_without_neighbours_along_the_scan_have_a_pedestal() {
        let place = |n: u64| [n as usize / 8, n as usize % 8];
        let offset = |n: u64| Ok(frame(n, 1.0, [1.0, 100.0]));
        let column = |n: &u64| n % 8 == 3;
        let chequered = |n: &u64| (n / 8 + n).is_multiple_of(2);
        for kept in [column, chequered] {
            let some = (0..64).filter(kept).map(|n| (n, 0));
            let found = find(some, place, offset).unwrap();
            assert!((found.value() - 100.0).abs() < 0.1, "{found:?}");
        }
        assert_eq!(find(row(4), |n| [0, n as usize], |_| unreachable!()).unwrap(), Pedestal::None);
    }
}
