//! CPU path: products of 16-bit integers, whose error is bounded, leave some candidates of each pattern, products in float32 a few of these,
//! which are compared in float64.

use super::{Matches, Templates};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{LANES, Lanes};
use crate::backend::cpu::product::{Pairs, PairsWorker, Quantised};
use crate::control::Control;
use crate::error::Result;
use ndarray::{ArrayView2, s};
use rayon::prelude::*;

/// Patterns of a tile at most.
const TILE: usize = 96;

/// [`Templates::best`] for unit rows, on all threads.
pub(super) fn best(templates: &Templates, patterns: ArrayView2<'_, f32>, k: usize, control: &Control) -> Result<Matches> {
    let n = patterns.nrows();
    // As many tiles for each thread, so that none works alone at the end.
    let count = n.div_ceil(TILE).next_multiple_of(rayon::current_num_threads());
    let tiles: Vec<Vec<Vec<(u32, f64)>>> = (0..count)
        .into_par_iter()
        .map(|number| {
            control.check()?;
            let [first, end] = [number, number + 1].map(|t| t * n / count);
            tile(Isa::active(), templates, patterns.slice(s![first..end, ..]), k, control)
        })
        .collect::<Result<_>>()?;
    Ok(Matches::from_rows(tiles.into_iter().flatten(), n, k))
}

/// The best templates of each row of one tile of patterns.
fn tile(
    isa: Isa,
    templates: &Templates,
    patterns: ArrayView2<'_, f32>,
    k: usize,
    control: &Control,
) -> Result<Vec<Vec<(u32, f64)>>> {
    let panels = &templates.panels;
    let whole: Vec<Quantised> = patterns.rows().into_iter().map(Quantised::new).collect();
    let left: Vec<f32> = whole.iter().flat_map(|q| q.pairs()).copied().collect();
    let mut worker = PairsWorker::new(isa);
    let mut kept: Vec<Candidates> = whole.iter().map(|q| Candidates::new(k, q, panels)).collect();
    for first in (0..panels.count()).step_by(Pairs::PANELS) {
        control.check()?;
        let range = first..(first + Pairs::PANELS).min(panels.count());
        let block = worker.times(&left, panels, range.clone());
        let units = &panels.units()[range.clone()];
        for (kept, row) in kept.iter_mut().zip(block.chunks_exact(range.len())) {
            kept.take(isa, row, units, first * LANES, panels.rows());
        }
    }
    let rows = kept.into_iter().zip(patterns.rows());
    Ok(rows
        .map(|(kept, pattern)| templates.exact(isa, pattern.as_slice().unwrap_or_default(), kept.finish(), k))
        .collect())
}

/// Templates that may be among the best `k` of one pattern: those whose score from integers lies within twice the error of the k-th largest
/// such score.
struct Candidates {
    k: usize,
    /// Number and score; scores are in units of the pattern's own [`Quantised::unit`].
    list: Vec<(u32, f32)>,
    /// Scores below are out.
    least: f32,
    /// Twice the error, in the same units.
    margin: f32,
    /// The unit.
    unit: f64,
    /// Length of the list at which it is looked through.
    full: usize,
}

impl Candidates {
    fn new(k: usize, pattern: &Quantised, panels: &Pairs) -> Self {
        // Rows have length one, or zero; s − q = (v − q_v)·w + q_v·(w − q_w). What float32 adds is below 1e-6.
        let error = pattern.error * (1.0 + 1e-6) + (1.0 + 1e-6 + pattern.error) * panels.error() + 1e-6;
        let margin = 2.0 * error / pattern.unit.max(f64::MIN_POSITIVE);
        // A pattern without contrast: all scores are 0, so the first templates win, and no product is one of them.
        let flat = pattern.unit == 0.0;
        Candidates {
            k,
            list: if flat {
                (0..k as u32).map(|i| (i, 0.0)).collect()
            } else {
                Vec::new()
            },
            least: if flat { f32::INFINITY } else { f32::NEG_INFINITY },
            margin: margin as f32 * (1.0 + 1e-6),
            unit: pattern.unit,
            full: 4 * k + 64,
        }
    }

    /// Looks at products with consecutive panels, the first lane of which is template `first`.
    fn take(&mut self, isa: Isa, products: &[[i32; LANES]], units: &[Lanes], first: usize, templates: usize) {
        let mut from = 0;
        while let Some(panel) = reached(isa, &products[from..], &units[from..], self.least) {
            let panel = from + panel;
            let number = first + panel * LANES;
            let lanes = products[panel].iter().zip(&units[panel].0);
            for (lane, (&product, &unit)) in lanes.enumerate().take(templates.saturating_sub(number)) {
                let score = product as f32 * unit;
                if score >= self.least {
                    self.list.push(((number + lane) as u32, score));
                }
            }
            if self.list.len() >= self.full {
                self.prune();
            }
            from = panel + 1;
        }
    }

    /// Drops what is out by now. The list may grow where many scores are almost equal.
    fn prune(&mut self) {
        if self.list.len() > self.k {
            let (_, &mut (_, kth), _) = self.list.select_nth_unstable_by(self.k - 1, |a, b| b.1.total_cmp(&a.1));
            // Rounding of this difference is far below the margin's reserve.
            self.least = self.least.max(kth - self.margin);
            self.list.retain(|c| c.1 >= self.least);
        }
        self.full = self.full.max(2 * self.list.len());
    }

    /// What is left, and the most that each may score.
    fn finish(mut self) -> Vec<(u32, f64)> {
        self.prune();
        let most = |score: f32| f64::from(score + 0.5 * self.margin) * self.unit + 1e-6;
        self.list.iter().map(|&(number, score)| (number, most(score))).collect()
    }
}

per_isa! {
    /// The first panel with a score of at least `least`.
    fn reached(products: &[[i32; LANES]], units: &[Lanes], least: f32) -> Option<usize> {
        for (panel, (products, units)) in products.iter().zip(units).enumerate() {
            let mut any = 0u32;
            for (&product, &unit) in products.iter().zip(&units.0) {
                any |= u32::from(product as f32 * unit >= least);
            }
            if any != 0 {
                return Some(panel);
            }
        }
        None
    }
}

/// Products in float32 are off by less: each term is rounded as a product, as one of at most [`RUN`] terms of a sum, and when sums are joined;
/// the lengths of rows are 1.
pub(super) const SINGLE_ERROR: f64 = (RUN + 4) as f64 * 6.0e-8;
/// Terms of a sum in float32.
const RUN: usize = 32;
/// Rows that are read side by side: what one waits for from memory, the others use.
pub(super) const ABREAST: usize = 4;

per_isa! {
    /// Scalar products of `a` with each of the rows in float32, runs of them joined in float64.
    pub(super) fn singles(a: &[f32], rows: [&[f32]; ABREAST]) -> [f64; ABREAST] {
        let mut totals = [[0f64; LANES]; ABREAST];
        let (a, rest) = a.as_chunks::<LANES>();
        let chunks = rows.map(|row| &row.as_chunks::<LANES>().0[..a.len()]);
        for from in (0..a.len()).step_by(RUN) {
            let run = from..(from + RUN).min(a.len());
            let a = &a[run.clone()];
            let rows = chunks.map(|row| &row[run.clone()][..a.len()]);
            let mut sums = [[0f32; LANES]; ABREAST];
            for (i, a) in a.iter().enumerate() {
                for r in 0..ABREAST {
                    for l in 0..LANES {
                        sums[r][l] += a[l] * rows[r][i][l];
                    }
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                for l in 0..LANES {
                    total[l] += f64::from(sum[l]);
                }
            }
        }
        let mut out = totals.map(|total| total.iter().sum::<f64>());
        for (out, row) in out.iter_mut().zip(rows) {
            for (a, b) in rest.iter().zip(row.as_chunks::<LANES>().1) {
                *out += f64::from(a * b);
            }
        }
        out
    }
}

per_isa! {
    /// The scalar product in float64: sixteen sums, then these in order.
    pub(super) fn product(a: &[f32], b: &[f32]) -> f64 {
        let mut sums = [0f64; LANES];
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for l in 0..LANES {
                sums[l] += f64::from(a[l]) * f64::from(b[l]);
            }
        }
        for (l, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
            sums[l] += f64::from(*a) * f64::from(*b);
        }
        sums.iter().sum()
    }
}

per_isa! {
    /// Takes out the mean, if `centred`, and divides by the length, both in float64. Rows without contrast or with numbers that are not finite become zero.
    pub(super) fn to_unit(row: &mut [f32], centred: bool) {
        let n = row.len() as f64;
        let mut sums = [0f64; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                sums[l] += f64::from(chunk[l]);
            }
        }
        for (sum, v) in sums.iter_mut().zip(rest) {
            *sum += f64::from(*v);
        }
        let mean = if centred { sums.iter().sum::<f64>() / n } else { 0.0 };
        let mut squares = [0f64; LANES];
        for chunk in chunks {
            for l in 0..LANES {
                let d = f64::from(chunk[l]) - mean;
                squares[l] += d * d;
            }
        }
        for (square, v) in squares.iter_mut().zip(rest) {
            *square += (f64::from(*v) - mean).powi(2);
        }
        let length = squares.iter().sum::<f64>().sqrt();
        if length > 0.0 && length.is_finite() {
            for v in row.iter_mut() {
                *v = ((f64::from(*v) - mean) / length) as f32;
            }
        } else {
            row.fill(0.0);
        }
    }
}
