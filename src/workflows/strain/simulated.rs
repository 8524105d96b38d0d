//! By how much the errors of the joint fit exceed what its information says, from simulated frames.
//!
//! The Fisher information is evaluated at the heights and backgrounds that were fitted. At few counts their noise adds to it: the square
//! of a height exceeds that of the true one by the variance, so spots that are weak or absent seem to tell something, and backgrounds of
//! which no electron was seen weigh too much. Besides, a fit that follows such spots misses the Cramér–Rao bound. Both are gone
//! at a few hundred electrons a spot. Below, a frame alone cannot tell its noise from its spots, but the frames of its cluster can: their
//! mean pattern is made into frames again, with Poisson noise, which are fitted like the others. The ratio of what came out, to what the
//! fits claimed, is the cluster's factor.

use super::Indices;
use super::profile::{Disks, height, reach};
use crate::analysis::robust::percentile;
use crate::kernels::correlate::joint::{Fit, Joint, Lattice, Settings, Shape, Status};
use crate::rng::{Poisson, Source};
use ndarray::ArrayView2;

/// Share of normal numbers within one standard deviation.
const WITHIN: f64 = 0.6827;
/// Claims that tell a factor; with fewer it is 1.
const FEWEST: usize = 30;
/// More electrons a frame need no factor, and more are not drawn.
const MOST_COUNTS: f64 = 1e7;
/// Purpose of the random numbers.
const PURPOSE: u8 = 91;
/// Pixels simulated around each window, which lies about where the fit starts.
const MARGIN: f64 = 2.0;

/// Sums over the pixels around a spot: Σ s², Σ s, Σ 1, Σ s x and Σ x, s the profile and x the pixel. They add up over frames.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums([f64; 5]);

/// Height and background of a spot with the inverse of their normal matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    height: f64,
    background: f64,
    inverse: [f64; 3],
}

impl Sums {
    fn add(&mut self, [s, x]: [f64; 2]) {
        for (sum, term) in self.0.iter_mut().zip([s * s, s, 1.0, s * x, x]) {
            *sum += term;
        }
    }

    /// The least-squares solution, which is not biased; `None` for a window that cannot tell height and background apart.
    fn solve(&self) -> Option<Level> {
        let [ss, s, n, sx, x] = self.0;
        let det = ss * n - s * s;
        (det > 1e-6 * ss * n).then(|| Level {
            height: (n * sx - s * x) / det,
            background: (ss * x - s * sx) / det,
            inverse: [n / det, -s / det, ss / det],
        })
    }
}

impl Level {
    /// The share of a pixel's noise that the solution follows.
    fn leverage(&self, s: f64) -> f64 {
        let [aa, ab, bb] = self.inverse;
        aa * s * s + 2.0 * ab * s + bb
    }
}

/// What the pixels around the spots of a frame, or of some frames of a cluster, say.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// In the order of the indices.
    spots: Vec<Sums>,
    /// Σ r², and Σ x (1 − leverage), which it is expected to be for counts.
    rest: f64,
    counts: f64,
    /// Sum of all pixels.
    total: f64,
}

impl Seen {
    /// A frame in which the joint fit found `disks`; `window` px around each spot are looked at.
    pub fn of(frame: ArrayView2<f64>, disks: &Disks, indices: Indices, window: f64) -> Seen {
        let mut seen = Seen::default();
        for index in indices.pairs() {
            let at = disks.lattice.spot(index);
            let (mut sums, mut points) = (Sums::default(), Vec::new());
            for (yx, distance) in around(at, window, frame.dim()) {
                let point = [height(&disks.shape, distance), frame[yx]];
                if point[1].is_finite() {
                    sums.add(point);
                    points.push(point);
                }
            }
            seen.total += sums.0[4];
            seen.spots.push(sums);
            if let Some(own) = sums.solve() {
                for [s, x] in points {
                    seen.rest += (x - own.height * s - own.background).powi(2);
                    seen.counts += x * (1.0 - own.leverage(s));
                }
            }
        }
        seen
    }

    /// Both together.
    pub fn and(mut self, other: &Seen) -> Seen {
        if self.spots.is_empty() {
            return other.clone();
        }
        for (sum, other) in self.spots.iter_mut().zip(&other.spots) {
            sum.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
        }
        self.rest += other.rest;
        self.counts += other.counts;
        self.total += other.total;
        self
    }

    /// Pixel value of an electron; `None` for pixels without noise or without counts.
    pub fn gain(&self) -> Option<f64> {
        let gain = self.rest / self.counts;
        (gain.is_finite() && gain > 0.0).then_some(gain)
    }
}

/// A frame of the cluster: how the simulated one starts, what is in it, and how bright it is.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub start: Lattice,
    pub truth: Lattice,
    pub seen: Seen,
}

/// Frames that look like those of a cluster.
pub(super) struct Simulation<'a> {
    pub shape: Shape,
    pub indices: Indices,
    pub frame: (usize, usize),
    /// Pixels without data.
    pub masked: &'a [u32],
    pub examples: &'a [Example],
    /// Pixel value of an electron.
    pub gain: f64,
    /// Of the random numbers.
    pub seed: u64,
}

impl Simulation<'_> {
    /// The ratio of errors to claims in `draws` simulated frames, not below 1; `claims` are the standard errors of a fit.
    pub fn factor(&self, draws: usize, claims: impl Fn(&Fit) -> Lattice) -> f64 {
        let cluster = self.examples.iter().fold(Seen::default(), |sum, e| sum.and(&e.seen));
        let mean = cluster.total / self.examples.len() as f64;
        let settings = Settings {
            shape: self.shape,
            free_shape: false,
        };
        let fitter = Joint::new(self.frame.0, self.frame.1, settings);
        let fitter = fitter.map(|f| f.without(self.masked));
        let (Ok(mut fitter), true) = (fitter, mean > 0.0 && mean < MOST_COUNTS * self.gain) else {
            return 1.0;
        };
        let levels: Vec<[f64; 2]> = cluster.spots.iter().map(|s| self.level(s)).collect();
        let (poisson, source) = (Poisson::new(), Source::new(self.seed, PURPOSE));
        let mut pixels = vec![0f32; self.frame.0 * self.frame.1];
        let mut ratios = Vec::new();
        for (draw, example) in (0..draws as u64).zip(self.examples.iter().cycle()) {
            let brightness = example.seen.total / mean / self.gain;
            let (places, expected) = self.expected(&example.truth, &levels, brightness);
            pixels.fill(0.0);
            poisson.fill(&source, draw, 0, &expected, |n, count| pixels[places[n]] = count as f32);
            let spots = example.start.inside(self.frame.0, self.frame.1, 0.0, self.indices.into());
            let fit = fitter.fit(&pixels, &example.start, spots);
            if fit.status == Status::Converged {
                let (found, truth, claimed) = (fit.lattice, &example.truth, claims(&fit));
                let pairs = [
                    (found.zero, truth.zero, claimed.zero),
                    (found.a, truth.a, claimed.a),
                    (found.b, truth.b, claimed.b),
                ];
                let ratio = |(f, t, e): ([f64; 2], [f64; 2], [f64; 2])| [0, 1].map(|k| (f[k] - t[k]).abs() / e[k]);
                ratios.extend(pairs.into_iter().flat_map(ratio).filter(|r| r.is_finite()));
            }
        }
        if ratios.len() < FEWEST {
            return 1.0;
        }
        ratios.sort_by(f64::total_cmp);
        percentile(&ratios, WITHIN).max(1.0)
    }

    /// Height and background of a spot: the square of the height less its variance, as no height can be below zero.
    fn level(&self, sums: &Sums) -> [f64; 2] {
        let Some(level) = sums.solve() else {
            return [0.0; 2];
        };
        let (height, background) = (level.height.max(0.0), level.background.max(0.0));
        let variance = self.gain * (height + background) * level.inverse[0];
        [(height * height - variance).max(0.0).sqrt(), background]
    }

    /// Numbers of the pixels around the spots, and electrons expected there.
    fn expected(&self, lattice: &Lattice, levels: &[[f64; 2]], brightness: f64) -> (Vec<usize>, Vec<f32>) {
        let mut pixels = Vec::new();
        for (index, [amplitude, background]) in self.indices.pairs().zip(levels) {
            let window = window(&self.shape) + MARGIN;
            for ([y, x], distance) in around(lattice.spot(index), window, self.frame) {
                let expected = background + amplitude * height(&self.shape, distance);
                pixels.push((y * self.frame.1 + x, distance, (brightness * expected) as f32));
            }
        }
        // Where windows overlap, a pixel belongs to the nearer spot.
        pixels.sort_by(|p, q| p.0.cmp(&q.0).then(p.1.total_cmp(&q.1)));
        pixels.dedup_by_key(|p| p.0);
        pixels.into_iter().map(|(place, _, expected)| (place, expected)).unzip()
    }
}

/// Pixels this near to a spot show it and its background.
pub(super) fn window(shape: &Shape) -> f64 {
    reach(shape) + 2.0
}

/// The pixels of a frame at most `radius` from a point, and their distance from it.
fn around([y, x]: [f64; 2], radius: f64, (h, w): (usize, usize)) -> impl Iterator<Item = ([usize; 2], f64)> {
    // Casts saturate, so points outside the frame have few or no pixels.
    let range = |v: f64, n: usize| (v - radius).ceil() as usize..((v + radius).floor() + 1.0).min(n as f64) as usize;
    let columns = range(x, w);
    range(y, h)
        .flat_map(move |i| columns.clone().map(move |j| [i, j]))
        .map(move |at| (at, (at[0] as f64 - y).hypot(at[1] as f64 - x)))
        .filter(move |(_, distance)| *distance <= radius)
}

#[cfg(test)]
mod tests {
    use super::super::profile::tests::LATTICE;
    use super::*;
    use ndarray::Array2;

    const INDICES: Indices = Indices { first: -2, last: 2 };

    /// Poisson noise on disks of `amplitude` at half of the sites.
    fn examples(amplitude: f64, background: f64, gain: f64) -> Vec<Example> {
        let shape = Shape::disk(2.0);
        let (poisson, source) = (Poisson::new(), Source::new(3, 1));
        let frame = |n: u64| {
            let expected = Array2::from_shape_fn((80, 80), |(y, x)| {
                let sites = INDICES.pairs().filter(|[h, k]| (h + k) % 2 == 0);
                let of = |i| {
                    let p = LATTICE.spot(i);
                    height(&shape, (y as f64 - p[0]).hypot(x as f64 - p[1]))
                };
                (background + amplitude * sites.map(of).sum::<f64>()) as f32
            });
            let mut pixels = Array2::zeros((80, 80));
            let means = expected.into_raw_vec_and_offset().0;
            poisson.fill(&source, n, 0, &means, |i, count| {
                pixels[[i / 80, i % 80]] = gain * count as f64
            });
            let disks = Disks { shape, lattice: LATTICE };
            Example {
                start: LATTICE,
                truth: LATTICE,
                seen: Seen::of(pixels.view(), &disks, INDICES, window(&shape)),
            }
        };
        (0..40).map(frame).collect()
    }

    fn together(examples: &[Example]) -> Seen {
        examples.iter().fold(Seen::default(), |sum, e| sum.and(&e.seen))
    }

    #[test]
    fn heights_and_the_gain_are_found() {
        for gain in [1.0, 0.02, 50.0] {
            let examples = examples(3.0, 0.4, gain);
            let sum = together(&examples);
            let found = sum.gain().unwrap();
            assert!((found / gain - 1.0).abs() < 0.03, "{found} for {gain}");
            for (sums, [h, k]) in sum.spots.iter().zip(INDICES.pairs()) {
                let level = sums.solve().unwrap();
                let height = if (h + k) % 2 == 0 { 3.0 } else { 0.0 };
                assert!((level.height / gain - height).abs() < 0.4, "{h} {k}: {level:?}");
                assert!((level.background / gain - 0.4).abs() < 0.15, "{h} {k}: {level:?}");
            }
        }
        assert_eq!(Seen::default().gain(), None);
    }

    /// At many electrons the information is right; at few it promises too much.
    #[test]
    fn claims_are_too_small_at_few_counts() {
        let factor = |amplitude: f64, background: f64| {
            let simulation = Simulation {
                shape: Shape::disk(2.0),
                indices: INDICES,
                frame: (80, 80),
                masked: &[],
                examples: &examples(amplitude, background, 1.0),
                gain: 1.0,
                seed: 5,
            };
            simulation.factor(60, |fit| fit.errors())
        };
        let (many, few) = (factor(300.0, 20.0), factor(1.0, 0.2));
        assert!((1.0..1.15).contains(&many), "{many}");
        assert!((1.05..3.0).contains(&few), "{few}");
    }
}
