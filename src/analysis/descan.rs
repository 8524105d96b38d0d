//! How the direct beam wanders over the detector while the scan goes on: a smooth surface through noisy positions.

use crate::error::{Error, Result};

/// Rounds of reweighting, first for the sum of distances, then for Tukey's biweight.
const ROUNDS: usize = 25;
/// Tukey's constant: positions farther than this many standard deviations from the surface do not count.
const CUT: f64 = 4.685;
/// The median distance of two-dimensional normal noise with a standard deviation of 1 along each axis: √(2 ln 2).
const MEDIAN: f64 = 1.177_410_022_515_474_7;
/// Distances below this count as this when they are divided by, in pixels.
const LEAST: f64 = 1e-6;

/// A surface of second order over the scan: for each axis of the detector c₀ + c₁v + c₂u + c₃v² + c₄vu + c₅u², v and u from −1 to 1
/// over the positions in y and x. Axes with fewer than three different positions have no square.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    /// The middle of the scan positions and half their extent.
    middle: [f64; 2],
    half: [f64; 2],
    /// Powers of v and u.
    terms: Vec<[i32; 2]>,
    coefficients: Vec<[f64; 2]>,
    /// Standard deviation of the positions around the surface along one axis, in pixels; outliers hardly count.
    pub spread: f64,
}

impl Surface {
    /// The surface through `positions` (y, x) on the detector, found at scan positions `at` (y, x). Positions that are not finite
    /// are left out; outliers are weighed down: iteratively reweighted least squares, first for the least sum of distances, then
    /// with Tukey's biweight (P. J. Huber, *Robust Statistics*, 1981) and a standard deviation from the median distance.
    ///
    /// # Errors
    /// [`Error::Parameter`] if no position is finite.
    pub fn fit(at: &[[f64; 2]], positions: &[[f64; 2]]) -> Result<Self> {
        let known: Vec<([f64; 2], [f64; 2])> = at
            .iter()
            .zip(positions)
            .filter(|(_, p)| p.iter().all(|v| v.is_finite()))
            .map(|(a, p)| (*a, *p))
            .collect();
        if known.is_empty() {
            return Err(Error::parameter("--descan", "the direct beam was found in no frame"));
        }
        let range = |k: usize| {
            let fold = |(low, high): (f64, f64), a: &([f64; 2], [f64; 2])| (low.min(a.0[k]), high.max(a.0[k]));
            known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), fold)
        };
        let ranges = [range(0), range(1)];
        let mut surface = Surface {
            middle: ranges.map(|(low, high)| (low + high) / 2.0),
            half: ranges.map(|(low, high)| ((high - low) / 2.0).max(0.5)),
            terms: Vec::new(),
            coefficients: Vec::new(),
            spread: 0.0,
        };
        // Scan positions are whole numbers, so an extent of 2 has three of them.
        let orders = ranges.map(|(low, high)| ((high - low).round() as i32).min(2));
        for degree in [2, 1, 0] {
            let powers = |p: i32| (0..=p).map(move |i| [p - i, i]);
            surface.terms = (0..=degree)
                .flat_map(powers)
                .filter(|t| t[0] <= orders[0] && t[1] <= orders[1])
                .collect();
            // A region of the scan may not determine all terms, e.g. a diagonal line.
            if known.len() >= 2 * surface.terms.len() && surface.settle(&known) {
                return Ok(surface);
            }
        }
        surface.terms = vec![[0, 0]];
        surface.settle(&known);
        Ok(surface)
    }

    /// The position (y, x) on the detector at scan position `at`.
    pub fn position(&self, at: [f64; 2]) -> [f64; 2] {
        let values = self.values(at);
        let sum = |k: usize| values.iter().zip(&self.coefficients).map(|(v, c)| v * c[k]).sum();
        [sum(0), sum(1)]
    }

    /// The terms at scan position `at`.
    fn values(&self, at: [f64; 2]) -> Vec<f64> {
        let [v, u] = [0, 1].map(|k| (at[k] - self.middle[k]) / self.half[k]);
        self.terms.iter().map(|t| v.powi(t[0]) * u.powi(t[1])).collect()
    }

    /// Finds the coefficients; false if the positions do not determine them.
    fn settle(&mut self, known: &[([f64; 2], [f64; 2])]) -> bool {
        let rows: Vec<Vec<f64>> = known.iter().map(|(a, _)| self.values(*a)).collect();
        let mut weights = vec![1.0; known.len()];
        for round in 0..=2 * ROUNDS {
            match least_squares(&rows, known, &weights) {
                Some(c) => self.coefficients = c,
                None => return false,
            }
            let distances: Vec<f64> = rows
                .iter()
                .zip(known)
                .map(|(row, (_, p))| {
                    let off = |k: usize| row.iter().zip(&self.coefficients).map(|(v, c)| v * c[k]).sum::<f64>() - p[k];
                    off(0).hypot(off(1))
                })
                .collect();
            let mut sorted = distances.clone();
            sorted.sort_by(f64::total_cmp);
            self.spread = sorted[sorted.len() / 2] / MEDIAN;
            let reach = CUT * self.spread.max(LEAST);
            for (w, d) in weights.iter_mut().zip(&distances) {
                *w = if round < ROUNDS {
                    1.0 / d.max(LEAST)
                } else {
                    (1.0 - (d / reach).powi(2)).max(0.0).powi(2)
                };
            }
        }
        true
    }
}

/// Weighted least squares for both axes by Gauss's elimination; `None` if the terms are not independent.
fn least_squares(rows: &[Vec<f64>], known: &[([f64; 2], [f64; 2])], weights: &[f64]) -> Option<Vec<[f64; 2]>> {
    let n = rows.first()?.len();
    let mut m = vec![vec![0.0; n + 2]; n];
    for ((row, (_, p)), w) in rows.iter().zip(known).zip(weights) {
        for i in 0..n {
            for j in 0..n {
                m[i][j] += w * row[i] * row[j];
            }
            m[i][n] += w * row[i] * p[0];
            m[i][n + 1] += w * row[i] * p[1];
        }
    }
    let scale = m.iter().flat_map(|r| &r[..n]).fold(0.0f64, |a, v| a.max(v.abs()));
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        if m[pivot][i].abs() <= 1e-10 * scale || !scale.is_finite() {
            return None;
        }
        m.swap(i, pivot);
        let head = m[i].clone();
        for row in &mut m[i + 1..] {
            let factor = row[i] / head[i];
            row.iter_mut().zip(&head).for_each(|(a, b)| *a -= factor * b);
        }
    }
    let mut solution = vec![[0.0; 2]; n];
    for i in (0..n).rev() {
        solution[i] = [0, 1].map(|k| {
            let known: f64 = (i + 1..n).map(|j| m[i][j] * solution[j][k]).sum();
            (m[i][n + k] - known) / m[i][i]
        });
    }
    Some(solution)
}
