//! Small arrays that flags name: templates, peaks, labels.

use emstream::io::array::{self, MAX_BYTES};
use emstream::{Error, Result};
use ndarray::{Array2, ArrayD, Ix2};
use std::path::Path;

fn two_dimensional<T>(path: &Path, array: ArrayD<T>) -> Result<Array2<T>> {
    let what = format!("{:?}, expected two dimensions", array.shape());
    array
        .into_dimensionality::<Ix2>()
        .map_err(|_| Error::format(path, "shape", what))
}

/// A template image (h, w).
pub fn image(path: &Path) -> Result<Array2<f64>> {
    two_dimensional(path, array::read_array(path, MAX_BYTES)?)
}

/// Positions (n, 2) as (y, x).
pub fn positions(path: &Path) -> Result<Vec<[i32; 2]>> {
    let list: Array2<i32> = two_dimensional(path, array::read_array(path, MAX_BYTES)?)?;
    if list.ncols() != 2 || list.nrows() == 0 {
        let what = format!("{:?}, expected (n, 2) with n above 0", list.shape());
        return Err(Error::format(path, "shape", what));
    }
    Ok(list.rows().into_iter().map(|p| [p[0], p[1]]).collect())
}

/// Labels (ny, nx).
pub fn labels(path: &Path) -> Result<Array2<i32>> {
    two_dimensional(path, array::read_array(path, MAX_BYTES)?)
}
