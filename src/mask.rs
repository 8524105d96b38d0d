//! Stacks of masks over the pixels of a frame: virtual detectors, feature stamps. What files hold, regions become and the masks kernel multiplies with.

use crate::error::{Error, Result};
use ndarray::Array2;

/// A stack of masks over frames of `height` × `width` pixels.
#[derive(Debug, Clone)]
pub enum MaskStack {
    /// One small stamp (odd height and width) centred on each position (y, x), clipped at the frame.
    Stamps { stamp: Array2<f32>, positions: Vec<[i32; 2]> },
    /// Sparse rows over the pixels in C order; `indptr` has one entry more than there are masks.
    Csr {
        indptr: Vec<u32>,
        indices: Vec<u32>,
        values: Vec<f32>,
    },
    /// One row of `height·width` values per mask.
    Dense { rows: Array2<f32> },
}

impl MaskStack {
    /// Number of masks.
    pub fn len(&self) -> usize {
        match self {
            MaskStack::Stamps { positions, .. } => positions.len(),
            MaskStack::Csr { indptr, .. } => indptr.len().saturating_sub(1),
            MaskStack::Dense { rows } => rows.nrows(),
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pixels that masks touch in frames of `height` × `width`, each as often as there are masks on it.
    pub fn touched(&self, height: usize, width: usize) -> u64 {
        match self {
            MaskStack::Stamps { stamp, positions } => {
                let along = |at: i32, size: usize, end: usize| {
                    let from = at as i64 - (size / 2) as i64;
                    ((from + size as i64).min(end as i64) - from.max(0)).max(0) as u64
                };
                let covered = |p: &[i32; 2]| along(p[0], stamp.nrows(), height) * along(p[1], stamp.ncols(), width);
                positions.iter().map(covered).sum()
            }
            MaskStack::Csr { values, .. } => values.len() as u64,
            MaskStack::Dense { rows } => rows.len() as u64,
        }
    }

    /// Checks shapes, indices and values against frames of `height` × `width`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty stack, a stamp of even size or no size, a position outside the frame, indices
    /// out of range or not ascending, rows of the wrong length, values that are not finite.
    pub fn check(&self, height: usize, width: usize) -> Result<()> {
        let bad = |what: String| Err(Error::parameter("masks", what));
        if self.is_empty() {
            return bad("the stack holds no mask".into());
        }
        let pixels = height * width;
        let finite = match self {
            MaskStack::Stamps { stamp, positions } => {
                if stamp.nrows() % 2 == 0 || stamp.ncols() % 2 == 0 {
                    return bad(format!(
                        "a stamp has odd height and width, this one is {}×{}",
                        stamp.nrows(),
                        stamp.ncols()
                    ));
                }
                if let Some(p) = positions
                    .iter()
                    .find(|p| p[0] < 0 || p[1] < 0 || p[0] as usize >= height || p[1] as usize >= width)
                {
                    return bad(format!(
                        "position ({}, {}) lies outside the {height}×{width} frame",
                        p[0], p[1]
                    ));
                }
                stamp.iter().all(|v| v.is_finite())
            }
            MaskStack::Csr { indptr, indices, values } => {
                if indices.len() != values.len() || indptr.last().copied() != Some(indices.len() as u32) || indptr[0] != 0 {
                    return bad("CSR index pointer, indices and values disagree".into());
                }
                for (row, w) in indptr.windows(2).enumerate() {
                    if w[0] > w[1] || w[1] as usize > indices.len() {
                        return bad(format!("CSR index pointer of mask {row} goes backwards"));
                    }
                    let row_indices = &indices[w[0] as usize..w[1] as usize];
                    if row_indices.windows(2).any(|p| p[0] >= p[1]) || row_indices.last().is_some_and(|&i| i as usize >= pixels) {
                        return bad(format!("CSR indices of mask {row} are not ascending below {pixels} pixels"));
                    }
                }
                values.iter().all(|v| v.is_finite())
            }
            MaskStack::Dense { rows } => {
                if rows.ncols() != pixels {
                    return bad(format!(
                        "masks of {} pixels for frames of {height}×{width} = {pixels}",
                        rows.ncols()
                    ));
                }
                rows.iter().all(|v| v.is_finite())
            }
        };
        if finite {
            Ok(())
        } else {
            bad("a mask holds NaN or infinity".into())
        }
    }
}
