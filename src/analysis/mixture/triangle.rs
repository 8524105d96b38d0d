//! The Cholesky factor of a covariance.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, s};

/// Rows that are solved for together.
const ROWS: usize = 64;

/// The lower triangle L of a matrix L Lᵀ.
pub(super) struct Cholesky {
    lower: Array2<f64>,
}

impl Cholesky {
    /// `None` for matrices that are not positive definite.
    pub fn of(matrix: &Array2<f64>) -> Option<Self> {
        let n = matrix.nrows();
        let mut lower = Array2::<f64>::zeros((n, n));
        for first in (0..n).step_by(ROWS) {
            let end = (first + ROWS).min(n);
            // What columns before this block take away.
            let mut rest = matrix.slice(s![first.., first..end]).to_owned();
            if first > 0 {
                let (below, own) = (lower.slice(s![first.., ..first]), lower.slice(s![first..end, ..first]));
                general_mat_mul(-1.0, &below, &own.t(), 1.0, &mut rest);
            }
            for j in first..end {
                let row: Vec<f64> = lower.slice(s![j, first..j]).to_vec();
                let pivot = rest[[j - first, j - first]] - dot(&row, &row);
                let root = (pivot > 0.0).then(|| pivot.sqrt())?;
                lower[[j, j]] = root;
                for i in j + 1..n {
                    let before = lower.slice(s![i, first..j]);
                    let product = before.iter().zip(&row).map(|(a, b)| a * b).sum::<f64>();
                    lower[[i, j]] = (rest[[i - first, j - first]] - product) / root;
                }
            }
        }
        Some(Cholesky { lower })
    }

    /// ½ ln det of the matrix.
    pub fn half_log_determinant(&self) -> f64 {
        self.lower.diag().iter().map(|v| v.ln()).sum()
    }

    /// xᵀ M⁻¹ x of each column x of `points` (n, columns), which are used up.
    pub fn distances2(&self, mut points: ArrayViewMut2<'_, f64>) -> Vec<f64> {
        let (n, columns) = points.dim();
        let mut sums = vec![0.0; columns];
        let mut lines: Vec<Vec<f64>> = Vec::with_capacity(ROWS);
        for first in (0..n).step_by(ROWS) {
            let end = (first + ROWS).min(n);
            let (done, mut now) = points.multi_slice_mut((s![..first, ..], s![first..end, ..]));
            if first > 0 {
                general_mat_mul(-1.0, &self.lower.slice(s![first..end, ..first]), &done, 1.0, &mut now);
            }
            lines.clear();
            for i in first..end {
                let mut line = now.row(i - first).to_vec();
                for (j, before) in lines.iter().enumerate() {
                    let factor = self.lower[[i, first + j]];
                    line.iter_mut().zip(before).for_each(|(l, b)| *l -= factor * b);
                }
                let scale = self.lower[[i, i]];
                for (l, s) in line.iter_mut().zip(&mut sums) {
                    *l /= scale;
                    *s += *l * *l;
                }
                lines.push(line);
            }
            for (mut to, line) in now.rows_mut().into_iter().zip(&lines) {
                to.iter_mut().zip(line).for_each(|(t, l)| *t = *l);
            }
        }
        sums
    }
}

/// In sixteen running sums, added in a fixed order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut lanes = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let tail: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + tail
}
