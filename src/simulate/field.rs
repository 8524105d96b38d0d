//! Smooth random functions of the scan position, evaluated where they are needed: nothing is stored for a position.

use crate::rng::{Sequence, math};

/// Waves in a field: enough to look random, few enough to evaluate for every frame.
const WAVES: usize = 16;
/// Standard deviation of the sum of waves before it is bounded.
const WIDTH: f64 = 0.6;

/// A smooth random function of (y, x) with values in (−1, 1), root mean square about 0.45.
///
/// A sum of plane waves with normally distributed wave vectors has the Gaussian autocorrelation exp(−r²/4σ²) of white noise
/// filtered by a Gaussian of standard deviation σ (random Fourier features); g/√(1+g²) bounds it.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Turns per position along y and x, and phase in turns.
    waves: [[f64; 3]; WAVES],
}

impl Field {
    /// A field that varies over `sigma` scan positions.
    pub fn new(random: &mut Sequence, sigma: f64) -> Self {
        let scale = 1.0 / (sigma * std::f64::consts::SQRT_2 * std::f64::consts::TAU);
        let waves = std::array::from_fn(|_| [random.normal() * scale, random.normal() * scale, random.unit()]);
        Field { waves }
    }
    /// The value at scan position (y, x).
    pub fn at(&self, y: f64, x: f64) -> f64 {
        let sum: f64 = self
            .waves
            .iter()
            .map(|[ky, kx, phase]| math::sin_cos_turns(ky * y + kx * x + phase).0)
            .sum();
        let g = WIDTH * (2.0 / WAVES as f64).sqrt() * sum;
        g / (1.0 + g * g).sqrt()
    }
}

/// How the pattern moves over the detector during the scan: a plane with a little curvature, zero on average.
#[derive(Debug, Clone)]
pub(super) struct Descan {
    coefficients: [[f64; 5]; 2],
    mean: [f64; 2],
    factor: f64,
    nav: [usize; 2],
}

impl Descan {
    /// The largest shift in the scan is `maximum` pixels long.
    pub fn new(random: &mut Sequence, nav: [usize; 2], maximum: f64) -> Self {
        let coefficients = std::array::from_fn(|_| std::array::from_fn(|_| random.range(-1.0, 1.0)));
        let mut descan = Descan {
            coefficients,
            mean: [0.0; 2],
            factor: 1.0,
            nav,
        };
        let square = |n: usize| (0..n).map(|i| unit(i as f64, n).powi(2)).sum::<f64>() / n as f64;
        let (yy, xx) = (square(nav[0]), square(nav[1]));
        descan.mean = coefficients.map(|c: [f64; 5]| 0.4 * (c[2] * yy + c[4] * xx));
        // A quadratic function is smooth: 257 × 257 positions with the corners find its maximum well enough.
        let steps = nav.map(|n| n.min(257));
        let along = |i: usize, axis: usize| i as f64 * (nav[axis] - 1) as f64 / (steps[axis] - 1).max(1) as f64;
        let mut longest = 0.0f64;
        for (i, j) in (0..steps[0]).flat_map(|i| (0..steps[1]).map(move |j| (i, j))) {
            let [y, x] = descan.at(along(i, 0), along(j, 1));
            longest = longest.max((y * y + x * x).sqrt());
        }
        descan.factor = if longest > 0.0 { maximum / longest } else { 0.0 };
        descan
    }
    /// Shift (y, x) in pixels at scan position (y, x).
    pub fn at(&self, y: f64, x: f64) -> [f64; 2] {
        let (y, x) = (unit(y, self.nav[0]), unit(x, self.nav[1]));
        std::array::from_fn(|k| {
            let c = self.coefficients[k];
            (c[0] * y + c[1] * x + 0.4 * (c[2] * y * y + c[3] * x * y + c[4] * x * x) - self.mean[k]) * self.factor
        })
    }
}

/// Position `i` of `n` on the interval from −1 to 1.
fn unit(i: f64, n: usize) -> f64 {
    if n > 1 { 2.0 * i / (n - 1) as f64 - 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Source;

    #[test]
    fn fields_are_bounded_smooth_and_not_flat() {
        let f = Field::new(&mut Source::new(4, 0).sequence(0), 9.0);
        let (mut square, mut step) = (0.0, 0.0f64);
        for y in 0..200 {
            for x in 0..200 {
                let v = f.at(y as f64, x as f64);
                assert!(v.abs() < 1.0);
                square += v * v;
                step = step.max((v - f.at(y as f64, x as f64 + 1.0)).abs());
            }
        }
        assert!((0.3..0.6).contains(&(square / 40_000.0f64).sqrt()));
        assert!(step < 0.3, "{step}");
    }

    #[test]
    fn descan_has_zero_mean_and_the_wanted_length() {
        let d = Descan::new(&mut Source::new(4, 5).sequence(0), [40, 50], 1.5);
        let (mut sum, mut longest) = ([0.0; 2], 0.0f64);
        for y in 0..40 {
            for x in 0..50 {
                let [a, b] = d.at(y as f64, x as f64);
                sum[0] += a;
                sum[1] += b;
                longest = longest.max((a * a + b * b).sqrt());
            }
        }
        assert!(sum[0].abs() < 1e-9 && sum[1].abs() < 1e-9);
        assert!((longest - 1.5).abs() < 1e-12);
    }
}
