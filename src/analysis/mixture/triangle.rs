//! The Cholesky factor of a covariance.

use ndarray::Array2;

/// Rows of the lower triangle L of a matrix L Lᵀ, each as long as it must be.
pub(super) struct Cholesky {
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// `None` for matrices that are not positive definite.
    pub fn of(matrix: &Array2<f64>) -> Option<Self> {
        let n = matrix.nrows();
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            let mut row = Vec::with_capacity(i + 1);
            for (j, of_j) in rows.iter().enumerate() {
                let rest = matrix[[i, j]] - dot(&row, &of_j[..j]);
                row.push(rest / of_j[j]);
            }
            let rest = matrix[[i, i]] - dot(&row, &row);
            let root = (rest > 0.0).then(|| rest.sqrt())?;
            row.push(root);
            rows.push(row);
        }
        Some(Cholesky { rows })
    }

    /// ½ ln det of the matrix.
    pub fn half_log_determinant(&self) -> f64 {
        self.rows.iter().filter_map(|r| r.last()).map(|v| v.ln()).sum()
    }

    /// xᵀ M⁻¹ x; `x` is used up.
    pub fn distance2(&self, x: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        for (i, row) in self.rows.iter().enumerate() {
            let v = (x[i] - dot(&row[..i], &x[..i])) / row[i];
            x[i] = v;
            sum += v * v;
        }
        sum
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
