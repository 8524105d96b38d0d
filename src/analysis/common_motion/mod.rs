//! What moves all objects of a movie alike, told from their tracks: those that rest define the frame.
//!
//! Each position is c(t) + p(t) + an error: c is common to all tracks, p wanders with the track's own diffusion coefficient D (variance 2 D a frame and
//! coordinate), errors have the variance σ². With D and σ known the likeliest c minimises Σ |x − c − p|²/σ² + Σ |Δp|²/(2 D Δt) over c and all p:
//! weighted least squares in which a track that rests holds c down over any number of frames, while one that wanders tells single steps at most. D is
//! measured track by track with the covariance estimator (see [`super::diffusion`]) and σ on the steadiest half of the tracks, in rounds.
//! A step far beyond the others of its track is a hop or a false link: the track begins anew behind it.

mod system;

use super::robust::median;
use crate::control::Control;
use crate::error::Result;
use rayon::prelude::*;
use system::{System, TOGETHER};

/// Rounds of coefficients and motion.
const ROUNDS: usize = 5;
/// Steps from which a track's own coefficient is told; of fewer, errors count as wandering.
const MANY: usize = 12;
/// A hop is longer than so many standard deviations of a coordinate of the track's steps.
const HOP: f64 = 5.0;
/// Smallest variances of errors and steps that are believed, in pixels².
const LEAST: f64 = 1e-4;
/// Part of the standard deviation of a resting track's coefficient, σ²/√steps, below which coefficients are not told apart.
const TOLD: f64 = 0.5;
/// Conjugate gradients end when what is missing is this share of the motion's standard error.
const EXACT: f64 = 1e-4;

/// Positions (y, x) of one object: index of the frame, in rising order.
pub type Track = [(usize, [f64; 2])];

/// The common motion (y, x) of each frame against the first. `start` is where to begin, and `part` says which frames are known to hang together: between
/// frames of different parts nothing is asked, and the motion stays.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn common_motion(
    tracks: &[Vec<(usize, [f64; 2])>],
    start: &[[f64; 2]],
    part: &[usize],
    control: &Control,
) -> Result<Vec<[f64; 2]>> {
    let mut moved = start.to_vec();
    for _ in 0..ROUNDS {
        control.check()?;
        let paths: Vec<Path> = tracks.par_iter().map(|t| Path::of(t, &moved, part)).collect();
        let noise = noise(&paths);
        let system = System::of(&paths, noise, start.len());
        let mut at_rest = true;
        for axis in 0..2 {
            let positions = |paths: &[Path]| paths.iter().flat_map(|p| p.at.iter().map(|at| at[axis])).collect();
            let z: Vec<Vec<f64>> = paths.chunks(TOGETHER).map(positions).collect();
            if let Some(correction) = system.solve(&z, EXACT * EXACT * noise, control)? {
                moved.iter_mut().zip(correction).for_each(|(m, c)| m[axis] += c);
                at_rest = false;
            }
        }
        if at_rest {
            break;
        }
    }
    Ok(joined(&moved, part))
}

/// Parts begin where the frame before them is.
fn joined(moved: &[[f64; 2]], part: &[usize]) -> Vec<[f64; 2]> {
    let mut offset = std::collections::HashMap::new();
    let mut all: Vec<[f64; 2]> = Vec::with_capacity(moved.len());
    for (m, part) in moved.iter().zip(part) {
        let before = all.last().copied().unwrap_or_default();
        let o = *offset.entry(part).or_insert([before[0] - m[0], before[1] - m[1]]);
        all.push([m[0] + o[0], m[1] + o[1]]);
    }
    all
}

/// A track less the common motion so far.
struct Path {
    frame: Vec<usize>,
    at: Vec<[f64; 2]>,
    /// Whether a point hangs together with the one before.
    tied: Vec<bool>,
    /// Over single steps, both dimensions together.
    squares: f64,
    steps: usize,
    products: f64,
    pairs: usize,
}

impl Path {
    fn of(track: &Track, moved: &[[f64; 2]], part: &[usize]) -> Self {
        let frame: Vec<usize> = track.iter().map(|t| t.0).collect();
        let at: Vec<[f64; 2]> = track.iter().map(|&(f, [y, x])| [y - moved[f][0], x - moved[f][1]]).collect();
        let steps: Vec<(f64, [f64; 2])> = (1..at.len())
            .map(|i| {
                let step = [at[i][0] - at[i - 1][0], at[i][1] - at[i - 1][1]];
                ((frame[i] - frame[i - 1]) as f64, step)
            })
            .collect();
        let square = |s: [f64; 2]| s[0] * s[0] + s[1] * s[1];
        // The median of the squares of normal steps is 2 ln 2 times the variance of a coordinate.
        let usual = median(steps.iter().map(|&(n, s)| square(s) / n)) / (2.0 * std::f64::consts::LN_2);
        let most = HOP * HOP * usual.max(LEAST);
        let mut path = Path {
            tied: vec![false],
            frame,
            at,
            squares: 0.0,
            steps: 0,
            products: 0.0,
            pairs: 0,
        };
        let mut before: Option<[f64; 2]> = None;
        for (i, &(n, step)) in steps.iter().enumerate() {
            let tied = square(step) <= most * n && part[path.frame[i]] == part[path.frame[i + 1]];
            path.tied.push(tied);
            if !tied || n > 1.0 {
                before = None;
                continue;
            }
            path.squares += square(step);
            path.steps += 1;
            if let Some(b) = before {
                path.products += step[0] * b[0] + step[1] * b[1];
                path.pairs += 1;
            }
            before = Some(step);
        }
        path
    }

    /// The coefficient as if there were no errors.
    fn spread(&self) -> Option<f64> {
        (self.steps > 0).then(|| self.squares / (4 * self.steps) as f64)
    }

    /// The coefficient that the track's weight follows from.
    fn wander(&self, noise: f64, typical: f64) -> f64 {
        let least = TOLD * noise / (self.steps.max(1) as f64).sqrt();
        match self.spread() {
            Some(spread) if self.steps >= MANY && self.pairs > 0 => (spread + self.products / (2 * self.pairs) as f64).max(least),
            Some(spread) => spread.max(least),
            None => typical.max(least),
        }
    }
}

/// Variance of the errors of a coordinate, from the steadiest half of the tracks.
fn noise(paths: &[Path]) -> f64 {
    let mut known: Vec<(f64, &Path)> = paths
        .iter()
        .filter(|p| p.pairs > 0)
        .filter_map(|p| Some((p.spread()?, p)))
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = &known[..known.len().div_ceil(2)];
    let products: f64 = half.iter().map(|k| k.1.products).sum();
    let pairs: usize = half.iter().map(|k| k.1.pairs).sum();
    (-products / (2 * pairs.max(1)) as f64).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Source;

    type Tracks = Vec<Vec<(usize, [f64; 2])>>;

    /// `resting` and `wandering` (D = 1) tracks over 40 frames, seen with errors of 0.2, that all drift by (0.03, −0.02) a frame.
    fn movie(seed: u64, resting: usize, wandering: usize) -> Tracks {
        let source = Source::new(seed, 95);
        let one = |k: usize| {
            let mut random = source.sequence(k as u64);
            let mut at = [50.0 * k as f64, 0.0];
            (0..40)
                .map(|t| {
                    if k >= resting && t > 0 {
                        at = at.map(|v| v + 2f64.sqrt() * random.normal());
                    }
                    let [y, x] = at.map(|v| v + 0.2 * random.normal());
                    (t, [y + 0.03 * t as f64, x - 0.02 * t as f64])
                })
                .collect()
        };
        (0..resting + wandering).map(one).collect()
    }

    fn away(tracks: &Tracks) -> f64 {
        let found = common_motion(tracks, &[[0.0; 2]; 40], &[0; 40], &Control::new()).unwrap();
        let miss = |(t, m): (usize, &[f64; 2])| (m[0] - 0.03 * t as f64).hypot(m[1] + 0.02 * t as f64);
        found.iter().enumerate().map(miss).fold(0.0, f64::max)
    }

    #[test]
    fn tracks_that_rest_define_the_frame() {
        // Means of five positions with errors of 0.2, less that of the first frame: 0.13 a coordinate, at most three times that.
        for seed in 0..5 {
            let worst = away(&movie(seed, 5, 30));
            assert!(worst < 0.5, "seed {seed}: {worst}");
        }
    }

    #[test]
    fn hops_and_gaps_change_little() {
        let mut tracks = movie(7, 10, 3);
        // Resting tracks that all hop once to the same side, each in another frame, and one that is missed now and then.
        for (k, track) in tracks.iter_mut().take(9).enumerate() {
            track.iter_mut().filter(|p| p.0 > 3 * k + 5).for_each(|p| p.1[0] += 8.0);
        }
        tracks[9].retain(|p| p.0 % 7 != 3);
        let worst = away(&tracks);
        assert!(worst < 0.5, "{worst}");
    }

    #[test]
    fn many_short_tracks_hang_together_over_the_whole_movie() {
        // 30 tracks that rest, seen for 15 frames and replaced: each frame is told from the others over chains of tracks.
        let source = Source::new(4, 95);
        let mut tracks: Tracks = Vec::new();
        for k in 0..30usize {
            let mut random = source.sequence(k as u64);
            for first in (0..600).step_by(15).map(|f| f + k / 2) {
                let at = [random.normal(), random.normal()].map(|v| 100.0 * v);
                let seen = (first..(first + 15).min(600)).map(|t| {
                    let [y, x] = at.map(|v| v + 0.2 * random.normal());
                    (t, [y + 0.03 * t as f64, x - 0.02 * t as f64])
                });
                tracks.push(seen.collect());
            }
        }
        tracks.retain(|t| t.len() > 1);
        let found = common_motion(&tracks, &[[0.0; 2]; 600], &[0; 600], &Control::new()).unwrap();
        // A chain of 40 tracks, of 30 alike: errors of 0.2 √(40 · 12 / 15 / 30) = 0.21.
        let last = found[599];
        assert!(
            (last[0] - 0.03 * 599.0).abs() < 0.6 && (last[1] + 0.02 * 599.0).abs() < 0.6,
            "{last:?}"
        );
        // The likeliest motion is where the equations have nothing left: what is found from there on is less than a thousandth of a pixel.
        let again = common_motion(&tracks, &found, &[0; 600], &Control::new()).unwrap();
        for (t, (a, b)) in again.iter().zip(&found).enumerate() {
            assert!(
                (a[0] - b[0]).abs() < 1e-3 && (a[1] - b[1]).abs() < 1e-3,
                "frame {t}: {a:?}, {b:?}"
            );
        }
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let same = pool.install(|| common_motion(&tracks, &[[0.0; 2]; 600], &[0; 600], &Control::new()).unwrap());
            assert_eq!(same, found, "{threads} threads");
        }
    }

    #[test]
    fn it_can_be_cancelled() {
        let control = Control::new();
        control.cancel();
        let found = common_motion(&movie(1, 5, 5), &[[0.0; 2]; 40], &[0; 40], &control);
        assert!(matches!(found, Err(crate::Error::Cancelled)), "{found:?}");
    }

    #[test]
    fn parts_do_not_ask_each_other() {
        let mut tracks = movie(3, 10, 0);
        tracks.iter_mut().flatten().filter(|p| p.0 >= 20).for_each(|p| p.1[1] += 3.0);
        let part: Vec<usize> = (0..40).map(|t| t / 20).collect();
        let found = common_motion(&tracks, &[[0.0; 2]; 40], &part, &Control::new()).unwrap();
        assert_eq!(found[0], [0.0; 2]);
        assert_eq!(found[19], found[20]);
        let last = found[39];
        assert!(
            (last[0] - 0.03 * 38.0).abs() < 0.4 && (last[1] + 0.02 * 38.0).abs() < 0.4,
            "{last:?}"
        );
        assert!(common_motion(&[], &[], &[], &Control::new()).unwrap().is_empty());
    }
}
