//! Which of two profiles of the disks is the more likely one.
//!
//! Both are compared spot by spot on the same pixels, each with the amplitude and the background that suit it best: the difference of
//! Poisson's log-likelihoods. Over many spots and frames the differences add up however few counts there are, where Pearson's χ² is
//! mostly that of single electrons in empty pixels. Their own scatter says how well the sum is known, whatever the gain of the pixels.

use super::Indices;
use crate::kernels::correlate::joint::{Lattice, Shape};
use ndarray::ArrayView2;

/// The mean difference must exceed this many of its standard errors.
const CLEAR: f64 = 3.0;
/// Background seen around a disk, px.
const AROUND: f64 = 2.0;
/// Steps to the best amplitude and background.
const STEPS: usize = 30;

/// Disks in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disks {
    pub shape: Shape,
    pub lattice: Lattice,
}

/// How much more likely the first of two profiles is, in spots: their number, Σ d and Σ d² of the differences d.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Gain {
    spots: f64,
    sum: f64,
    squares: f64,
}

impl Gain {
    /// Both together.
    pub fn and(self, other: Gain) -> Gain {
        Gain {
            spots: self.spots + other.spots,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
        }
    }

    /// Whether the first profile is the right one beyond doubt.
    pub fn clear(&self) -> bool {
        let scatter = self.squares - self.sum * self.sum / self.spots;
        self.spots > 1.0 && self.sum > CLEAR * scatter.max(0.0).sqrt()
    }
}

/// The first of `disks` against the second in one frame, at the spots of `indices` whose windows lie inside it.
pub(super) fn compare(frame: ArrayView2<f64>, disks: &[Disks; 2], indices: Indices) -> Gain {
    let reach = disks.iter().map(|d| reach(&d.shape)).fold(0.0, f64::max) + AROUND;
    let mut gain = Gain::default();
    for index in indices.pairs() {
        let at = disks.each_ref().map(|d| d.lattice.spot(index));
        let middle = at[0].map(f64::round);
        let (h, w) = (frame.nrows() as f64, frame.ncols() as f64);
        let fits = |v: f64, n: f64| v >= reach.ceil() && v + reach.ceil() < n;
        if !(fits(middle[0], h) && fits(middle[1], w)) {
            continue;
        }
        let (mut values, mut profiles) = (Vec::new(), [Vec::new(), Vec::new()]);
        let around = -reach.ceil() as i64..=reach.ceil() as i64;
        for (dy, dx) in around.clone().flat_map(|y| around.clone().map(move |x| (y as f64, x as f64))) {
            let [y, x] = [middle[0] + dy, middle[1] + dx];
            let value = frame.get([y as usize, x as usize]).copied().unwrap_or(f64::NAN);
            // Counts are not negative; what is below zero for a subtracted background says nothing here.
            if dy * dy + dx * dx > reach * reach || !value.is_finite() {
                continue;
            }
            values.push(value.max(0.0));
            for ((profile, d), at) in profiles.iter_mut().zip(disks).zip(at) {
                profile.push(height(&d.shape, (y - at[0]).hypot(x - at[1])));
            }
        }
        let [p, q] = profiles.map(|profile| likelihood(&values, &profile));
        if let (Some(p), Some(q)) = (p, q) {
            let single = Gain {
                spots: 1.0,
                sum: p - q,
                squares: (p - q) * (p - q),
            };
            gain = gain.and(single);
        }
    }
    gain
}

/// Where the profile reaches zero.
pub(super) fn reach(shape: &Shape) -> f64 {
    shape.radius + (shape.edge + f64::from(u8::from(shape.smooth))) / 2.0
}

/// The profile at a distance from the centre, 0 to 1.
pub(super) fn height(shape: &Shape, distance: f64) -> f64 {
    let (u, edge) = (shape.radius - distance, shape.edge);
    if !shape.smooth {
        return (u / edge + 0.5).clamp(0.0, 1.0);
    }
    // The mean of the ramp from u − 1/2 to u + 1/2: its integral is a parabola on the ramp and a line beyond it.
    let integral = |u: f64| {
        let v = (u + edge / 2.0).max(0.0);
        if v < edge { v * v / (2.0 * edge) } else { v - edge / 2.0 }
    };
    integral(u + 0.5) - integral(u - 0.5)
}

/// Largest Σ x ln λ − λ for λ = background + amplitude · profile, neither of them negative; `None` without counts or without either.
/// It has one maximum. First by expectation–maximisation, in which it never falls, then by Newton's steps, which end there also where
/// the amplitude goes to zero.
fn likelihood(values: &[f64], profile: &[f64]) -> Option<f64> {
    let (pixels, disk, counts) = (values.len() as f64, profile.iter().sum::<f64>(), values.iter().sum::<f64>());
    if !(counts > 0.0 && disk > 0.0) {
        return None;
    }
    let total = |b: f64, a: f64| -> f64 {
        let term = |(x, s): (&f64, &f64)| {
            let model = b + a * s;
            let log = if *x > 0.0 {
                x * model.max(f64::MIN_POSITIVE).ln()
            } else {
                0.0
            };
            log - model
        };
        values.iter().zip(profile).map(term).sum()
    };
    let [mut b, mut a] = [counts / pixels / 2.0, counts / disk / 2.0];
    // Newton's steps may overshoot where few electrons say little; what came before them is never bad.
    let mut safe = [b, a];
    for step in 0..STEPS {
        if step == STEPS / 2 {
            safe = [b, a];
        }
        let (mut first, mut second) = ([0.0; 2], [0.0; 3]);
        for (x, s) in values.iter().zip(profile).filter(|(x, _)| **x > 0.0) {
            let share = x / (b + a * s);
            first = [first[0] + share, first[1] + s * share];
            let weight = share / (b + a * s);
            second = [second[0] + weight, second[1] + s * weight, second[2] + s * s * weight];
        }
        let by_share = [b * first[0] / pixels, a * first[1] / disk];
        let [bb, ba, aa] = second;
        let det = bb * aa - ba * ba;
        let slope = [first[0] - pixels, first[1] - disk];
        let newton = [
            b + (aa * slope[0] - ba * slope[1]) / det,
            a + (bb * slope[1] - ba * slope[0]) / det,
        ];
        // Where electrons fell on one ring only, the determinant is nothing but rounding.
        let known = det > 1e-9 * bb * aa;
        let usable = step >= STEPS / 2 && known && newton.iter().all(|v| v.is_finite());
        // Not across zero, and not far at once.
        let near = |new: f64, old: f64| new.clamp(0.1 * old, 3.0 * old);
        [b, a] = if usable {
            [near(newton[0], b), near(newton[1], a)]
        } else {
            by_share
        };
    }
    Some(total(b, a).max(total(safe[0], safe[1])))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernels::correlate::joint;
    use ndarray::Array2;

    pub const LATTICE: Lattice = Lattice {
        zero: [40.3, 39.6],
        a: [2.1, 14.2],
        b: [-13.4, 1.7],
    };

    fn disks(radius: f64, smooth: bool) -> Disks {
        let shape = Shape {
            smooth,
            ..Shape::disk(radius)
        };
        Disks { shape, lattice: LATTICE }
    }

    #[test]
    fn a_smooth_profile_is_the_mean_of_a_sharp_one() {
        for (edge, distance) in [(1.0, 1.9), (0.4, 2.3), (1.6, 0.7), (0.3, 1.2)] {
            let sharp = Shape {
                edge,
                ..Shape::disk(1.8)
            };
            let mean: f64 = (0..10_000)
                .map(|n| height(&sharp, distance - 0.5 + (f64::from(n) + 0.5) / 1e4) / 1e4)
                .sum();
            let smooth = Shape { smooth: true, ..sharp };
            assert!((height(&smooth, distance) - mean).abs() < 1e-6);
        }
    }

    #[test]
    fn the_best_background_and_amplitude_are_found() {
        let profile: Vec<f64> = (0..60)
            .map(|n| if n < 12 { 1.0 } else { 0.3 * f64::from(u8::from(n < 20)) })
            .collect();
        for (b, a) in [(0.4, 7.0), (3.0, 0.2), (1e-3, 1.0), (2.0, 0.0), (1e4, 1e5)] {
            let values: Vec<f64> = profile.iter().map(|s| b + a * s).collect();
            let best: f64 = values.iter().map(|x| x * x.ln() - x).sum();
            let found = likelihood(&values, &profile).unwrap();
            assert!((found - best).abs() < 1e-9 * best.abs().max(1.0), "{b} {a}: {found} {best}");
        }
        assert_eq!(likelihood(&[0.0; 60], &profile), None);
        // A few electrons at one value of the profile, or at two: no step may run away. Best is a background alone, or a disk alone.
        let mut values = [0.0; 60];
        values[13] = 2.0;
        let best = 2.0 * (2.0f64 / 60.0).ln() - 2.0;
        let disk = profile.iter().sum::<f64>();
        let alone = 2.0 * (0.3 * 2.0 / disk).ln() - 2.0;
        let found = likelihood(&values, &profile).unwrap();
        assert!((found - best.max(alone)).abs() < 0.1, "{found} {best} {alone}");
    }

    /// Without noise the profile that made the frame is found; frames of the other, or without counts, do not count for it.
    #[test]
    fn the_right_profile_is_the_more_likely_one() {
        let all = Indices { first: -2, last: 2 };
        let frame = |of: &Disks, amplitude: f64| {
            Array2::from_shape_fn((80, 80), |(y, x)| {
                let spots = joint::Lattice::indices(&LATTICE, 80, 80, -4.0, 4).into_iter();
                let sum: f64 = spots
                    .map(|i| {
                        let p = LATTICE.spot(i);
                        height(&of.shape, (y as f64 - p[0]).hypot(x as f64 - p[1]))
                    })
                    .sum();
                0.5 + amplitude * sum
            })
        };
        let both = [disks(1.8, false), disks(1.75, true)];
        for (gain, sharp) in [(1.0, true), (1e-3, true), (1.0, false), (1e-3, false)] {
            let pixels = frame(&both[usize::from(!sharp)], 12.0).mapv(|v| gain * v);
            assert_eq!(compare(pixels.view(), &both, all).clear(), sharp, "{gain} {sharp}");
        }
        assert!(!compare(Array2::zeros((80, 80)).view(), &both, all).clear());
        assert!(!compare(Array2::from_elem((80, 80), f64::NAN).view(), &both, all).clear());
        assert_eq!(compare(Array2::zeros((5, 5)).view(), &both, all), Gain::default());
    }
}
