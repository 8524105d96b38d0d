//! The best matches of each pattern among many templates: the matrix product behind dictionary indexing, with the best few kept.
//!
//! Rows are brought to unit length (and, for the correlation coefficient, to mean zero) once, in float64, and rounded to float32; a score is the scalar
//! product of two such rows in float64. No backend computes all of them that way: each makes all products in a faster arithmetic, which only proposes
//! candidates; products in float32, whose error is bounded too, leave a few of them, and these are compared in float64, ties by the smaller
//! number. On the CPU the proposal comes from products of 16-bit integers with a bound on their error, so the choice is always that of float64. On a GPU it comes from float32, [`SPARE`] candidates more than wanted, and is the same unless
//! more than these lie within float32 rounding (2e-6) of the last one kept.
//!
//! Work of m patterns and n templates of d pixels: 2·m·n·d operations (see [`work`]). On the CPU 2·d bytes of every template pass the second-level cache for
//! each 96 patterns; on a GPU 4·d bytes of every template come from device memory for each 64 patterns, and the same of every pattern for each
//! 64 templates. No score but those of candidates leaves either.

mod cpu;
mod gpu;

use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::product::Pairs;
use crate::backend::gpu::Gpu;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, Axis, CowArray, Ix2};
use rayon::prelude::*;

/// Candidates beyond those wanted that a GPU proposes.
pub const SPARE: usize = 8;

/// What says how alike two patterns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Pearson's correlation coefficient (NCC).
    Correlation,
    /// Normalised inner product (NIP): offers little contrast, since uniform noise already gives 0.75.
    InnerProduct,
}

/// Templates ready for comparison.
pub struct Templates {
    metric: Metric,
    /// One unit row for each template.
    rows: Array2<f32>,
    /// The same as integers.
    panels: Pairs,
}

/// The best templates of each pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// (patterns, k): numbers of templates, best first.
    pub index: Array2<u32>,
    /// (patterns, k): their scores.
    pub score: Array2<f64>,
}

impl Matches {
    /// `k` matches for each of `n` rows.
    fn from_rows(rows: impl Iterator<Item = Vec<(u32, f64)>>, n: usize, k: usize) -> Self {
        let mut out = Matches {
            index: Array2::zeros((n, k)),
            score: Array2::from_elem((n, k), f64::NAN),
        };
        for (i, row) in rows.enumerate().take(n) {
            for (j, (index, score)) in row.into_iter().enumerate().take(k) {
                out.index[[i, j]] = index;
                out.score[[i, j]] = score;
            }
        }
        out
    }
}

/// Work of comparing one pattern of `pixels` pixels with `templates` templates of which `k` are kept.
pub fn work(pixels: usize, templates: usize, k: usize) -> Work {
    Work {
        read: 4 * pixels as u64,
        written: 12 * k as u64,
        operations: 2 * (pixels * templates) as u64,
    }
}

impl Templates {
    /// Prepares `templates` (n, pixels), a view or an array, which then is not copied; only pixels where `mask` is true count, all without one.
    /// Takes 6 bytes a pixel that counts.
    ///
    /// # Errors
    /// [`Error::Parameter`] without templates or pixels, or for a mask of another length.
    pub fn new<'a>(templates: impl Into<CowArray<'a, f32, Ix2>>, mask: Option<&[bool]>, metric: Metric) -> Result<Self> {
        let rows = prepared(templates.into(), mask, metric)?;
        if rows.is_empty() || u32::try_from(rows.nrows()).is_err() {
            let what = format!("{} templates of {} pixels", rows.nrows(), rows.ncols());
            return Err(Error::parameter("templates", what));
        }
        let panels = Pairs::new(rows.view());
        Ok(Templates { metric, rows, panels })
    }

    /// Number of templates.
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }
    /// False: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The `k` best templates of each of `patterns` (n, pixels), a view or an array, with the mask that the templates were made with, on the CPU.
    /// Beyond the inputs it takes a float32 copy of a view, and for each thread 200 KiB, 2·96 bytes a pixel and its candidates.
    ///
    /// # Errors
    /// [`Error::Parameter`] for patterns of another size or a `k` above the number of templates; [`Error::Cancelled`].
    pub fn best<'a>(
        &self,
        patterns: impl Into<CowArray<'a, f32, Ix2>>,
        mask: Option<&[bool]>,
        k: usize,
        control: &Control,
    ) -> Result<Matches> {
        let patterns = self.fitting(patterns.into(), mask, k)?;
        cpu::best(self, patterns.view(), k, control)
    }

    /// [`Templates::best`] on `gpu`, or on the CPU where the device cannot: then a warning says why.
    ///
    /// # Errors
    /// As [`Templates::best`].
    pub fn best_on<'a>(
        &self,
        gpu: &Gpu,
        patterns: impl Into<CowArray<'a, f32, Ix2>>,
        mask: Option<&[bool]>,
        k: usize,
        control: &Control,
    ) -> Result<Matches> {
        let patterns = self.fitting(patterns.into(), mask, k)?;
        match gpu::best(gpu, self, patterns.view(), k, control) {
            Err(
                e @ (Error::TooLargeForDevice(_)
                | Error::Kernel(_)
                | Error::DeviceMemory(_)
                | Error::DeviceLost(_)
                | Error::Device(_)),
            ) => {
                log::warn!("templates are compared on the CPU: {e}");
                cpu::best(self, patterns.view(), k, control)
            }
            other => other,
        }
    }

    /// Unit rows of `patterns`, if they and `k` fit.
    fn fitting(&self, patterns: CowArray<'_, f32, Ix2>, mask: Option<&[bool]>, k: usize) -> Result<Array2<f32>> {
        let patterns = prepared(patterns, mask, self.metric)?;
        if patterns.ncols() != self.rows.ncols() {
            let what = format!("{} pixels, the templates have {}", patterns.ncols(), self.rows.ncols());
            return Err(Error::parameter("patterns", what));
        }
        if k == 0 || k > self.len() {
            return Err(Error::parameter("--keep", format!("{k} of {} templates", self.len())));
        }
        Ok(patterns)
    }

    /// The best `k` of `candidates` by float64 scores. Each comes with a score that it cannot exceed. Products in float32 of the most promising tell
    /// where the others are out of reach, and those of the rest, who need not be looked at in float64.
    fn exact(&self, isa: Isa, pattern: &[f32], mut candidates: Vec<(u32, f64)>, k: usize) -> Vec<(u32, f64)> {
        let row = |i: u32| &self.rows.as_slice().unwrap_or_default()[i as usize * pattern.len()..][..pattern.len()];
        let singles = |candidates: &[(u32, f64)], to: &mut Vec<(u32, f64)>| {
            for some in candidates.chunks(cpu::ABREAST) {
                // The last one stands in for those that are missing.
                let rows = std::array::from_fn(|r| row(some[r.min(some.len() - 1)].0));
                let scores = cpu::singles(isa, pattern, rows);
                to.extend(some.iter().map(|c| c.0).zip(scores));
            }
        };
        let best_first = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let kth = |close: &mut [(u32, f64)]| match close.len() > k {
            true => close.select_nth_unstable_by(k - 1, best_first).1.1,
            false => f64::NEG_INFINITY,
        };
        candidates.sort_unstable_by(best_first);
        let first = candidates.len().min(k + 1);
        let mut close = Vec::with_capacity(candidates.len());
        singles(&candidates[..first], &mut close);
        let least = kth(&mut close) - cpu::SINGLE_ERROR;
        let reach = candidates.partition_point(|c| c.1 >= least).max(first);
        singles(&candidates[first..reach], &mut close);
        let least = kth(&mut close) - 2.0 * cpu::SINGLE_ERROR;
        close.retain(|c| c.1 >= least);
        let mut exact: Vec<(u32, f64)> = close
            .into_iter()
            .map(|(i, _)| (i, cpu::product(isa, pattern, row(i))))
            .collect();
        exact.sort_unstable_by(best_first);
        exact.truncate(k);
        exact
    }
}

/// Unit rows of the pixels inside the mask; a row without contrast is zero, so that its scores are 0.
fn prepared(rows: CowArray<'_, f32, Ix2>, mask: Option<&[bool]>, metric: Metric) -> Result<Array2<f32>> {
    let mut out = match mask {
        None if rows.is_standard_layout() => rows.into_owned(),
        None => rows.as_standard_layout().into_owned(),
        Some(mask) if mask.len() != rows.ncols() => {
            let what = format!("a mask of {} pixels for patterns of {}", mask.len(), rows.ncols());
            return Err(Error::parameter("mask", what));
        }
        Some(mask) => {
            let pixels: Vec<usize> = (0..mask.len()).filter(|&i| mask[i]).collect();
            Array2::from_shape_fn((rows.nrows(), pixels.len()), |(i, j)| rows[[i, pixels[j]]])
        }
    };
    if out.ncols() == 0 {
        return Err(Error::parameter("mask", "no pixel is left"));
    }
    out.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut row| {
        if let Some(row) = row.as_slice_mut() {
            cpu::to_unit(Isa::active(), row, metric == Metric::Correlation);
        }
    });
    Ok(out)
}
