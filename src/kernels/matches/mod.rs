//! The best matches of each pattern among many templates: the matrix product behind dictionary indexing, with the best few kept.
//!
//! Rows are brought to unit length (and, for the correlation coefficient, to mean zero) once, in float64, and rounded to float32; a score is the scalar
//! product of two such rows in float64. No backend computes all of them that way: each makes all products in a faster arithmetic, which only proposes
//! candidates, and these are compared in float64, ties by the smaller number. On the CPU the proposal comes from products of 16-bit integers with a bound on
//! their error, so the choice is always that of float64. On a GPU it comes from float32, [`SPARE`] candidates more than wanted, and is the same unless
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
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
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
    /// Prepares `templates` (n, pixels); only pixels where `mask` is true count, all without one. Takes 6 bytes a pixel that counts.
    ///
    /// # Errors
    /// [`Error::Parameter`] without templates or pixels, or for a mask of another length.
    pub fn new(templates: ArrayView2<'_, f32>, mask: Option<&[bool]>, metric: Metric) -> Result<Self> {
        let rows = prepared(templates, mask, metric)?;
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

    /// The `k` best templates of each of `patterns` (n, pixels), with the mask that the templates were made with, on the CPU. Beyond the inputs it takes
    /// a float32 copy of the patterns, and for each thread 200 KiB, 2·96 bytes a pixel and its candidates.
    ///
    /// # Errors
    /// [`Error::Parameter`] for patterns of another size or a `k` above the number of templates; [`Error::Cancelled`].
    pub fn best(&self, patterns: ArrayView2<'_, f32>, mask: Option<&[bool]>, k: usize, control: &Control) -> Result<Matches> {
        let patterns = self.fitting(patterns, mask, k)?;
        cpu::best(self, patterns.view(), k, control)
    }

    /// [`Templates::best`] on `gpu`, or on the CPU where the device cannot: then a warning says why.
    ///
    /// # Errors
    /// As [`Templates::best`].
    pub fn best_on(
        &self,
        gpu: &Gpu,
        patterns: ArrayView2<'_, f32>,
        mask: Option<&[bool]>,
        k: usize,
        control: &Control,
    ) -> Result<Matches> {
        let patterns = self.fitting(patterns, mask, k)?;
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
    fn fitting(&self, patterns: ArrayView2<'_, f32>, mask: Option<&[bool]>, k: usize) -> Result<Array2<f32>> {
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

    /// The best `k` of `candidates` by float64 scores.
    fn exact(&self, isa: Isa, pattern: ArrayView1<'_, f32>, candidates: impl Iterator<Item = u32>, k: usize) -> Vec<(u32, f64)> {
        let score = |i: u32| (i, cpu::product(isa, pattern, self.rows.row(i as usize)));
        let mut exact: Vec<(u32, f64)> = candidates.map(score).collect();
        exact.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        exact.truncate(k);
        exact
    }
}

/// Unit rows of the pixels inside the mask; a row without contrast is zero, so that its scores are 0.
fn prepared(rows: ArrayView2<'_, f32>, mask: Option<&[bool]>, metric: Metric) -> Result<Array2<f32>> {
    let pixels: Vec<usize> = match mask {
        Some(mask) if mask.len() != rows.ncols() => {
            let what = format!("a mask of {} pixels for patterns of {}", mask.len(), rows.ncols());
            return Err(Error::parameter("mask", what));
        }
        Some(mask) => (0..mask.len()).filter(|&i| mask[i]).collect(),
        None => (0..rows.ncols()).collect(),
    };
    if pixels.is_empty() {
        return Err(Error::parameter("mask", "no pixel is left"));
    }
    let all = pixels.len() == rows.ncols();
    let mut out = Array2::<f32>::zeros((rows.nrows(), pixels.len()));
    let both = out
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(rows.axis_iter(Axis(0)).into_par_iter());
    both.for_each(|(mut out, row)| {
        match all {
            true => out.assign(&row),
            false => out.iter_mut().zip(&pixels).for_each(|(o, &i)| *o = row[i]),
        }
        if let Some(out) = out.as_slice_mut() {
            cpu::to_unit(Isa::active(), out, metric == Metric::Correlation);
        }
    });
    Ok(out)
}
