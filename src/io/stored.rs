//! Small arrays of result files, for steps that go on from them.

use super::h5::refused::{Told, all_told};
use super::{Axis, h5};
use crate::error::{Error, Result};
use hdf5::H5Type;
use ndarray::{Array, Array2, Dimension, s};
use std::path::Path;

/// Dataset `name` of a result file, at most `most` bytes.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file without it or of another type or rank, [`Error::Limit`] if it is larger.
pub fn read_stored<T: H5Type, D: Dimension>(path: &Path, name: &str, most: u64) -> Result<Array<T, D>> {
    let file = h5::open_file(path)?;
    let dataset = dataset(&file, path, name)?;
    check_size(
        path,
        name,
        (dataset.size() as u64).saturating_mul(size_of::<T>() as u64),
        most,
    )?;
    if D::NDIM.is_some_and(|rank| rank != dataset.ndim()) {
        return Err(Error::format(
            path,
            name,
            format!("has {} dimensions, expected {}", dataset.ndim(), D::NDIM.unwrap_or(0)),
        ));
    }
    dataset.read::<T, D>().map_err(|e| h5::fault(path, name, &e))
}

/// Map (h, w) number `index` of dataset `name` (n, h, w), at most `most` bytes; of a dataset (h, w) the whole, whatever `index`.
///
/// # Errors
/// As [`read_stored`]; [`Error::Format`] if there is no such map.
pub fn read_stored_map<T: H5Type>(path: &Path, name: &str, index: u64, most: u64) -> Result<Array2<T>> {
    let file = h5::open_file(path)?;
    let dataset = dataset(&file, path, name)?;
    let shape = dataset.shape();
    if let [n, h, w] = shape[..] {
        check_size(path, name, (h as u64).saturating_mul((w * size_of::<T>()) as u64), most)?;
        let at = usize::try_from(index).ok().filter(|i| *i < n);
        let at = at.ok_or_else(|| Error::format(path, name, format!("holds {n} maps: there is no number {index}")))?;
        return dataset.read_slice(s![at, .., ..]).map_err(|e| h5::fault(path, name, &e));
    }
    drop((dataset, file));
    read_stored(path, name, most)
}

fn dataset(file: &hdf5::File, path: &Path, name: &str) -> Result<hdf5::Dataset> {
    let missing = || Error::format(path, name, "is missing: this is no result that can be used here");
    all_told(path, || file.dataset(name).told().ok_or_else(missing))
}

fn check_size(path: &Path, name: &str, bytes: u64, most: u64) -> Result<()> {
    match bytes > most {
        true => Err(Error::Limit {
            path: path.to_owned(),
            what: format!(
                "{name} takes {} MiB, more than the {} MiB that are read",
                bytes >> 20,
                most >> 20
            ),
        }),
        false => Ok(()),
    }
}

/// Number of dimensions of dataset `name`.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file without it.
pub fn stored_rank(path: &Path, name: &str) -> Result<usize> {
    Ok(dataset(&h5::open_file(path)?, path, name)?.ndim())
}

/// True if a file holds dataset `name`.
pub fn has_stored(path: &Path, name: &str) -> Result<bool> {
    all_told(path, || Ok(h5::open_file(path)?.dataset(name).told().is_some()))
}

/// Text of a scalar dataset, e.g. `provenance/parameters`.
///
/// # Errors
/// [`Error::Format`] for a file without it.
pub fn read_stored_text(path: &Path, name: &str) -> Result<String> {
    let file = h5::open_file(path)?;
    let dataset = dataset(&file, path, name)?;
    let text: hdf5::types::VarLenUnicode = dataset.read_scalar().map_err(|e| h5::fault(path, name, &e))?;
    Ok(text.as_str().to_owned())
}

/// The axes that a result file knows, by name: `scan_y`, `scan_x`, `y`, `x`.
///
/// # Errors
/// What opening reports.
pub fn stored_calibration(path: &Path) -> Result<Vec<(String, Axis)>> {
    all_told(path, || Ok(super::provenance::calibration(&*h5::open_file(path)?)))
}
