//! Feature vectors made comparable: every feature in units of its mean size, and the position as further features.

use super::grid::Grid;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, s};

/// What each column of `values` (frames × P) is divided by: the mean of its absolute values, summed in float64 in frame order.
/// A column of zeros has scale 1.
///
/// # Errors
/// [`Error::Parameter`] if there are no frames, or a value is NaN or infinite.
pub fn column_scale(values: ArrayView2<f32>) -> Result<Vec<f64>> {
    if values.nrows() == 0 {
        return Err(Error::parameter("features", "there are no frames"));
    }
    let mut sums = vec![0.0f64; values.ncols()];
    for row in values.rows() {
        sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v).abs());
    }
    if let Some(column) = sums.iter().position(|s| !s.is_finite()) {
        let frame = values.column(column).iter().position(|v| !v.is_finite()).unwrap_or(0);
        return Err(Error::parameter(
            "features",
            format!("feature {column} of selected frame {frame} is not a finite number"),
        ));
    }
    let n = values.nrows() as f64;
    Ok(sums.into_iter().map(|s| if s > 0.0 { s / n } else { 1.0 }).collect())
}

/// What [`super::ward::ward`] clusters: `values` (positions × P) divided by `scale` column by column, followed by the columns
/// `weight`·y and `weight`·x of the scan position unless `weight` is 0. Takes 4 bytes for each position and column.
///
/// # Errors
/// [`Error::Parameter`] if `values`, `scale` and `grid` disagree, or the weight is negative or not finite.
pub fn feature_matrix(values: ArrayView2<f32>, scale: &[f64], grid: &Grid, weight: f64) -> Result<Array2<f32>> {
    let all: Vec<usize> = (0..values.ncols()).collect();
    matrix_of(values, &all, scale, grid, weight)
}

/// The same of some `columns` of `values`; `scale` is that of all.
///
/// # Errors
/// As [`feature_matrix`]; [`Error::Internal`] for a column that is not there.
pub fn matrix_of(values: ArrayView2<f32>, columns: &[usize], scale: &[f64], grid: &Grid, weight: f64) -> Result<Array2<f32>> {
    let (n, p) = values.dim();
    if let Some(k) = columns.iter().find(|k| **k >= p) {
        return Err(Error::Internal(format!("column {k} of {p} features")));
    }
    if n != grid.len() || p != scale.len() {
        let what = format!("{n}×{p} values for {} positions and {} scales", grid.len(), scale.len());
        return Err(Error::parameter("features", what));
    }
    if !(weight.is_finite() && weight >= 0.0) {
        return Err(Error::parameter(
            "--position-weight",
            format!("{weight} is not a weight (0 or more)"),
        ));
    }
    let extra = if weight > 0.0 { 2 } else { 0 };
    let count = columns.len();
    let mut out = Array2::zeros((n, count + extra));
    for ((mut to, from), [y, x]) in out.rows_mut().into_iter().zip(values.rows()).zip(grid.positions()) {
        for (t, &k) in to.slice_mut(s![..count]).iter_mut().zip(columns) {
            *t = (f64::from(from[k]) / scale[k]) as f32;
        }
        if extra > 0 {
            to[count] = (weight * y as f64) as f32;
            to[count + 1] = (weight * x as f64) as f32;
        }
    }
    Ok(out)
}
