//! The best matches of each pattern among many templates: the matrix product behind dictionary indexing, with the best few kept.
//!
//! Rows are brought to unit length (and, for the correlation coefficient, to mean zero) once; then scores are scalar products. Tiles of the product
//! are made in float32 by `matrixmultiply`, whose last bits depend on the CPU; they only propose candidates, a few more than wanted. Their
//! scores are computed again in float64, and order and choice follow from these, ties by the smaller number. So results do not depend on
//! tiles, threads or CPU, unless more than [`SPARE`] templates lie within float32 rounding (2e-6) of the last one kept.

use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Candidates beyond those wanted.
pub const SPARE: usize = 8;
/// Patterns and templates of a tile: their product stays in the second-level cache.
const TILE: [usize; 2] = [128, 512];

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
}

/// The best templates of each pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// (patterns, k): numbers of templates, best first.
    pub index: Array2<u32>,
    /// (patterns, k): their scores.
    pub score: Array2<f64>,
}

impl Templates {
    /// Prepares `templates` (n, pixels); only pixels where `mask` is true count, all without one.
    ///
    /// # Errors
    /// [`Error::Parameter`] without templates or pixels, or for a mask of another length.
    pub fn new(templates: ArrayView2<'_, f32>, mask: Option<&[bool]>, metric: Metric) -> Result<Self> {
        let rows = prepared(templates, mask, metric)?;
        if rows.is_empty() || u32::try_from(rows.nrows()).is_err() {
            let what = format!("{} templates of {} pixels", rows.nrows(), rows.ncols());
            return Err(Error::parameter("templates", what));
        }
        Ok(Templates { metric, rows })
    }

    /// Number of templates.
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }
    /// False: there is at least one.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The `k` best templates of each of `patterns` (n, pixels), with the mask that the templates were made with. Beyond the inputs it takes
    /// a float32 copy of the patterns and 256 KiB for each thread.
    ///
    /// # Errors
    /// [`Error::Parameter`] for patterns of another size or a `k` above the number of templates; [`Error::Cancelled`].
    pub fn best(&self, patterns: ArrayView2<'_, f32>, mask: Option<&[bool]>, k: usize, control: &Control) -> Result<Matches> {
        let patterns = prepared(patterns, mask, self.metric)?;
        if patterns.ncols() != self.rows.ncols() {
            let what = format!("{} pixels, the templates have {}", patterns.ncols(), self.rows.ncols());
            return Err(Error::parameter("patterns", what));
        }
        if k == 0 || k > self.len() {
            return Err(Error::parameter("--keep", format!("{k} of {} templates", self.len())));
        }
        let tiles: Vec<Vec<Vec<(u32, f64)>>> = (0..patterns.nrows())
            .step_by(TILE[0])
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|first| {
                control.check()?;
                let end = (first + TILE[0]).min(patterns.nrows());
                Ok(self.tile(patterns.slice(s![first..end, ..]), k))
            })
            .collect::<Result<_>>()?;
        let rows: Vec<&Vec<(u32, f64)>> = tiles.iter().flatten().collect();
        let shape = (rows.len(), k);
        Ok(Matches {
            index: Array2::from_shape_fn(shape, |(i, j)| rows[i][j].0),
            score: Array2::from_shape_fn(shape, |(i, j)| rows[i][j].1),
        })
    }

    /// The best templates of each row of one tile of patterns.
    fn tile(&self, patterns: ArrayView2<'_, f32>, k: usize) -> Vec<Vec<(u32, f64)>> {
        let n = patterns.nrows();
        let mut scores = Array2::<f32>::zeros((n, TILE[1].min(self.len())));
        let mut kept = vec![Candidates::new(k + SPARE); n];
        for first in (0..self.len()).step_by(TILE[1]) {
            let end = (first + TILE[1]).min(self.len());
            let templates = self.rows.slice(s![first..end, ..]);
            let mut product = scores.slice_mut(s![.., ..end - first]);
            general_mat_mul(1.0, &patterns, &templates.t(), 0.0, &mut product);
            for (kept, row) in kept.iter_mut().zip(product.rows()) {
                for (j, &score) in row.iter().enumerate() {
                    kept.offer((first + j) as u32, score);
                }
            }
        }
        kept.into_iter()
            .zip(patterns.rows())
            .map(|(kept, pattern)| {
                let exact = |&(i, _): &(u32, f32)| (i, product(pattern, self.rows.row(i as usize)));
                let mut exact: Vec<(u32, f64)> = kept.list.iter().map(exact).collect();
                exact.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                exact.truncate(k);
                exact
            })
            .collect()
    }
}

/// The largest scores so far, unordered but for the least.
#[derive(Clone)]
struct Candidates {
    most: usize,
    list: Vec<(u32, f32)>,
    least: f32,
}

impl Candidates {
    fn new(most: usize) -> Self {
        Candidates {
            most,
            list: Vec::with_capacity(most),
            least: f32::NEG_INFINITY,
        }
    }

    /// Templates come in ascending order, so that of equal ones the first stay.
    #[inline]
    fn offer(&mut self, index: u32, score: f32) {
        if self.list.len() < self.most {
            self.list.push((index, score));
        } else if score > self.least {
            if let Some(worst) = self.worst() {
                self.list[worst] = (index, score);
            }
        } else {
            return;
        }
        if self.list.len() == self.most
            && let Some(worst) = self.worst()
        {
            self.least = self.list[worst].1;
        }
    }

    /// The place of the least score, of equal ones that of the largest number.
    fn worst(&self) -> Option<usize> {
        let order = |&a: &usize, &b: &usize| {
            let ((ia, sa), (ib, sb)) = (self.list[a], self.list[b]);
            sa.total_cmp(&sb).then(ib.cmp(&ia))
        };
        (0..self.list.len()).min_by(order)
    }
}

fn product(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
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
    let mut out = Array2::<f32>::zeros((rows.nrows(), pixels.len()));
    for (mut out, row) in out.axis_iter_mut(Axis(0)).zip(rows.rows()) {
        let value = |i: usize| f64::from(row[i]);
        let mean = match metric {
            Metric::Correlation => pixels.iter().map(|&i| value(i)).sum::<f64>() / pixels.len() as f64,
            Metric::InnerProduct => 0.0,
        };
        let length = pixels.iter().map(|&i| (value(i) - mean).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 && length.is_finite() {
            out.iter_mut()
                .zip(&pixels)
                .for_each(|(o, &i)| *o = ((value(i) - mean) / length) as f32);
        }
    }
    Ok(out)
}
