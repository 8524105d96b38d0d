//! Where maps go: into the EBSD file itself or into a result file with the same names; pages and parameters lie beside it.

use crate::error::{Error, Result};
use crate::io::ebsd::Store;
use crate::io::output::write_file;
use crate::io::results::{Meta, Provenance, ResultFile, Value};
use ndarray::{ArrayView, Dimension};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file that takes maps.
pub enum Target {
    /// A new result file.
    New { file: ResultFile, overwrite: bool },
    /// The EBSD file that the patterns are in.
    InPlace(Store),
}

impl Target {
    /// A new file at `output`, or, without one, `input` itself. Open it before the patterns: HDF5 refuses writers once a file is
    /// open for reading.
    ///
    /// # Errors
    /// [`Error::Io`] if a file exists and may not be replaced, or cannot be written; [`Error::Format`] if `input` holds no EBSD map.
    pub fn open(input: &Path, output: Option<&Path>, overwrite: bool) -> Result<Target> {
        match output {
            Some(path) => Ok(Target::New {
                file: ResultFile::create(path, overwrite)?,
                overwrite,
            }),
            None => Ok(Target::InPlace(Store::open(input)?)),
        }
    }

    /// Writes or replaces an array below the map's group, e.g. `VirtualBSE/values`.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put<T: Value, D: Dimension>(&self, name: &str, array: ArrayView<'_, T, D>, meta: Meta<'_>) -> Result<()> {
        match self {
            Target::New { file, .. } => file.put(&format!("Scan/EBSD/{name}"), array, meta),
            Target::InPlace(store) => store.put(name, array, meta),
        }
    }

    /// One row for each point that has a pattern, in map order.
    ///
    /// # Errors
    /// As [`Store::put_rows`].
    pub fn put_rows<T: Value, D: Dimension + ndarray::RemoveAxis>(
        &self,
        name: &str,
        array: ArrayView<'_, T, D>,
        meta: Meta<'_>,
    ) -> Result<()> {
        match self {
            Target::New { .. } => self.put(name, array, meta),
            Target::InPlace(store) => store.put_rows(name, array, meta),
        }
    }

    /// Completes the file and writes parameters and page beside it. Returns the page's place.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self, provenance: &Provenance, page: &str) -> Result<PathBuf> {
        let (path, overwrite) = match &self {
            Target::New { file, overwrite } => (file.target().to_owned(), *overwrite),
            Target::InPlace(store) => (store.target().to_owned(), true),
        };
        match self {
            Target::New { file, .. } => {
                file.provenance(provenance)?;
                file.finish()?;
            }
            Target::InPlace(store) => store.finish()?,
        }
        write_beside(&path, overwrite, &provenance.parameters, page)
    }
}

/// Writes `NAME.params.toml` and `NAME.report.html` beside `path`; returns the latter.
pub(super) fn write_beside(path: &Path, overwrite: bool, parameters: &str, page: &str) -> Result<PathBuf> {
    let beside = |ending: &str| -> Result<PathBuf> {
        let stem = path
            .file_stem()
            .ok_or_else(|| Error::parameter("-o", format!("{} names no file", path.display())))?;
        let mut name = OsString::from(stem);
        name.push(ending);
        Ok(path.with_file_name(name))
    };
    write_file(beside(".params.toml")?, overwrite, parameters.as_bytes())?;
    let report = beside(".report.html")?;
    write_file(&report, overwrite, page.as_bytes())?;
    Ok(report)
}
