//! Principal components with the whole spectrum of variances, for matrices whose shorter side is a few thousand at most. For longer ones: [`super::pca`].

use super::householder::eigen_leading;
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Rows whose products are summed at once.
const BLOCK: usize = 256;
/// Shorter side of a matrix up to which the whole spectrum is reasonable: about 20 s on one core.
pub const MOST: usize = 2048;

/// Principal components and all variances.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Mean of each column.
    pub mean: Array1<f64>,
    /// (components, columns) of unit length; the entry of largest size of each is positive.
    pub components: Array2<f64>,
    /// (rows, components)
    pub scores: Array2<f64>,
    /// All variances, n − 1 in the denominator, largest first: as many as there are columns, or rows if these are fewer. With a single row 0.
    pub variances: Vec<f64>,
}

impl Spectrum {
    /// Share of each component in the whole variance; zeros where there is none.
    pub fn ratios(&self) -> Vec<f64> {
        let whole: f64 = self.variances.iter().sum();
        let share = |v: &f64| if whole > 0.0 { v / whole } else { 0.0 };
        self.variances.iter().map(share).collect()
    }
}

/// The `wanted` leading principal components of `values` (rows, columns) and all variances, through the covariance or the products of rows, whichever is smaller, in float64.
///
/// # Errors
/// [`Error::Parameter`] for no values, some that are not finite, or more than [`MOST`] on the shorter side; [`Error::Memory`]; [`Error::Cancelled`].
pub fn spectrum(values: ArrayView2<'_, f32>, wanted: usize, control: &Control) -> Result<Spectrum> {
    let (n, d) = values.dim();
    if n == 0 || d == 0 || n.min(d) > MOST || values.iter().any(|v| !v.is_finite()) {
        return Err(Error::parameter(
            "features",
            format!("{n} rows of {d} columns: all values must be finite and one side at most {MOST}"),
        ));
    }
    let bytes = 8 * (n as u64 * d as u64 + 3 * (n.min(d) as u64).pow(2));
    if bytes > control.memory / 2 {
        return Err(Error::Memory {
            what: format!("principal components of {n} × {d} values take {} MiB", bytes >> 20),
        });
    }
    let mut mean = Array1::<f64>::zeros(d);
    for row in values.rows() {
        mean.zip_mut_with(&row, |m, v| *m += f64::from(*v));
    }
    mean /= n as f64;
    let mut away = values.mapv(f64::from);
    away -= &mean;
    let scale = (n.max(2) - 1) as f64;
    let wanted = wanted.min(n).min(d);
    let (variances, components) = if d <= n {
        let mut covariance = Array2::zeros((d, d));
        for part in away.axis_chunks_iter(Axis(0), BLOCK) {
            control.check()?;
            covariance += &part.t().dot(&part);
        }
        let (values, vectors) = eigen_leading(covariance / scale, wanted, control)?;
        (values, vectors.reversed_axes())
    } else {
        let (values, vectors) = eigen_leading(away.dot(&away.t()) / scale, wanted, control)?;
        let mut components = vectors.t().dot(&away);
        for mut row in components.rows_mut() {
            let norm = row.dot(&row).sqrt();
            if norm > 0.0 {
                row /= norm;
            }
            let largest = row.iter().fold(0.0_f64, |m, v| if v.abs() > m.abs() { *v } else { m });
            if largest < 0.0 {
                row.mapv_inplace(|v| -v);
            }
        }
        (values, components)
    };
    Ok(Spectrum {
        scores: away.dot(&components.t()),
        mean,
        components,
        variances: variances.into_iter().map(|v| v.max(0.0)).collect(),
    })
}
