//! The curve φ(x) = 1/(1 + a x^(2b)) that stands for closeness in the embedding.

use crate::error::{Error, Result};

/// Parameters of φ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Factor a.
    pub a: f64,
    /// Exponent b.
    pub b: f64,
}

/// Points of [0, 3 spread] on which the curve is fitted.
const SAMPLES: usize = 300;

impl Curve {
    /// Least squares fit to 1 for x < `min_dist` and exp(−(x − min_dist)/spread) beyond, on 300 equidistant points of [0, 3 spread]
    /// (McInnes et al., arXiv:1802.03426, section 3.2), by damped Gauss-Newton steps from a = b = 1.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a `min_dist` below 0 or above `spread`, or a `spread` that is not above 0.
    pub fn fit(min_dist: f64, spread: f64) -> Result<Curve> {
        if !(spread > 0.0 && spread.is_finite()) {
            return Err(Error::parameter("spread", format!("{spread} is not above 0")));
        }
        if !(0.0..=spread).contains(&min_dist) {
            return Err(Error::parameter(
                "--min-dist",
                format!("{min_dist} is not between 0 and the spread {spread}"),
            ));
        }
        let points: Vec<(f64, f64)> = (0..SAMPLES)
            .map(|i| {
                let x = 3.0 * spread * i as f64 / (SAMPLES - 1) as f64;
                (x, if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() })
            })
            .collect();
        let mut curve = Curve { a: 1.0, b: 1.0 };
        let mut damping = 1e-3;
        let mut error = curve.squares(&points);
        for _ in 0..500 {
            let step = curve.step(&points, damping);
            let next = Curve {
                a: curve.a + step[0],
                b: curve.b + step[1],
            };
            let next_error = next.squares(&points);
            if next.a > 0.0 && next.b > 0.0 && next_error <= error {
                let done = step[0].abs() <= 1e-15 * next.a && step[1].abs() <= 1e-15 * next.b;
                curve = next;
                error = next_error;
                damping *= 0.1;
                if done {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        Ok(curve)
    }

    /// φ at the squared distance `square`.
    pub fn phi(&self, square: f64) -> f64 {
        1.0 / (1.0 + self.a * square.powf(self.b))
    }

    fn squares(&self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|&(x, y)| (self.phi(x * x) - y).powi(2)).sum()
    }

    /// (JᵀJ + damping diag) step = Jᵀ residual.
    fn step(&self, points: &[(f64, f64)], damping: f64) -> [f64; 2] {
        let mut m = [[0.0; 2]; 2];
        let mut v = [0.0; 2];
        for &(x, y) in points {
            let power = x.powf(2.0 * self.b);
            let phi = 1.0 / (1.0 + self.a * power);
            // At x = 0 the logarithm is infinite, but φ is 1 whatever b.
            let log = if x > 0.0 { 2.0 * x.ln() } else { 0.0 };
            let j = [-phi * phi * power, -phi * phi * self.a * power * log];
            for r in 0..2 {
                v[r] += j[r] * (y - phi);
                for c in 0..2 {
                    m[r][c] += j[r] * j[c];
                }
            }
        }
        m[0][0] *= 1.0 + damping;
        m[1][1] *= 1.0 + damping;
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        [
            (m[1][1] * v[0] - m[0][1] * v[1]) / det,
            (m[0][0] * v[1] - m[1][0] * v[0]) / det,
        ]
    }
}
