//! Small arrays of result files, for steps that go on from them.

use super::{Axis, h5};
use crate::error::{Error, Result};
use hdf5::H5Type;
use ndarray::{Array, Dimension};
use std::path::Path;

/// Dataset `name` of a result file, at most `most` bytes.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file without it or of another type or rank, [`Error::Limit`] if it is larger.
pub fn read_stored<T: H5Type, D: Dimension>(path: &Path, name: &str, most: u64) -> Result<Array<T, D>> {
    let file = h5::open_file(path)?;
    let dataset = file
        .dataset(name)
        .map_err(|_| Error::format(path, name, "is missing: this is no result that can be used here"))?;
    let bytes = (dataset.size() as u64).saturating_mul(size_of::<T>() as u64);
    if bytes > most {
        return Err(Error::Limit {
            path: path.to_owned(),
            what: format!(
                "{name} takes {} MiB, more than the {} MiB that are read",
                bytes >> 20,
                most >> 20
            ),
        });
    }
    if D::NDIM.is_some_and(|rank| rank != dataset.ndim()) {
        return Err(Error::format(
            path,
            name,
            format!("has {} dimensions, expected {}", dataset.ndim(), D::NDIM.unwrap_or(0)),
        ));
    }
    dataset.read::<T, D>().map_err(|e| h5::fault(path, name, &e))
}

/// True if a file holds dataset `name`.
pub fn has_stored(path: &Path, name: &str) -> Result<bool> {
    Ok(h5::open_file(path)?.dataset(name).is_ok())
}

/// Text of a scalar dataset, e.g. `provenance/parameters`.
///
/// # Errors
/// [`Error::Format`] for a file without it.
pub fn read_stored_text(path: &Path, name: &str) -> Result<String> {
    let file = h5::open_file(path)?;
    let missing = || Error::format(path, name, "is missing: this is no result that can be used here");
    let dataset = file.dataset(name).map_err(|_| missing())?;
    let text: hdf5::types::VarLenUnicode = dataset.read_scalar().map_err(|e| h5::fault(path, name, &e))?;
    Ok(text.as_str().to_owned())
}

/// The axes that a result file knows, by name: `scan_y`, `scan_x`, `y`, `x`.
///
/// # Errors
/// What opening reports.
pub fn stored_calibration(path: &Path) -> Result<Vec<(String, Axis)>> {
    let file = h5::open_file(path)?;
    Ok(super::provenance::calibration(&file))
}
