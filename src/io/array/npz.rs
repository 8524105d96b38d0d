//! NumPy's `.npz`: a zip archive of `.npy` files.

use super::{Element, Format, npy, open};
use crate::error::{Error, Result};
use ndarray::ArrayD;
use npyz::npz::{NpzArchive, array_name_from_file_name};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

pub(super) type Archive = NpzArchive<BufReader<File>>;

/// Reads the array `name` of a `.npz` file.
///
/// # Errors
/// As [`super::read_array`], and [`Error::Format`] if there is no such array; the message lists what there is.
pub fn read_npz<T: Element>(path: impl AsRef<Path>, name: &str, max_bytes: u64) -> Result<ArrayD<T>> {
    let path = path.as_ref();
    match open(path)? {
        (Format::Npz, file) => read_entry(path, &mut archive(path, file)?, name, max_bytes),
        _ => Err(Error::format(path, "first bytes", "expected a .npz file")),
    }
}

pub(super) fn archive(path: &Path, file: BufReader<File>) -> Result<Archive> {
    NpzArchive::new(file).map_err(|e| Error::format(path, "zip directory", e.to_string()))
}

/// Names of the arrays, sorted.
pub(super) fn names(archive: &Archive) -> Vec<String> {
    let mut names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    names.sort();
    names
}

/// The only array, or the one called `data`.
pub(super) fn read_single<T: Element>(path: &Path, file: BufReader<File>, max_bytes: u64) -> Result<ArrayD<T>> {
    let mut archive = archive(path, file)?;
    let names = names(&archive);
    match names.as_slice() {
        [only] => read_entry(path, &mut archive, only, max_bytes),
        _ if names.iter().any(|n| n == "data") && !is_sparse(&names) => read_entry(path, &mut archive, "data", max_bytes),
        _ => Err(Error::format(
            path,
            "arrays",
            format!("expected one, found {}", listed(&names)),
        )),
    }
}

/// SciPy's sparse matrices lie in several arrays.
pub(super) fn is_sparse(names: &[String]) -> bool {
    ["data", "indices", "indptr", "shape"]
        .iter()
        .all(|n| names.iter().any(|have| have == n))
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}

/// Reads one array. The unpacked stream is cut off at `max_bytes`, whatever the directory says.
pub(super) fn read_entry<T: Element>(path: &Path, archive: &mut Archive, name: &str, max_bytes: u64) -> Result<ArrayD<T>> {
    with_entry(path, archive, name, max_bytes, |stream, length| {
        npy::read(path, name, stream, Some(length), max_bytes)
    })
}

/// Text that SciPy stores as a NumPy string without dimensions, e.g. the format of a sparse matrix.
pub(super) fn read_text(path: &Path, archive: &mut Archive, name: &str) -> Result<String> {
    with_entry(path, archive, name, 1 << 16, |stream, _| {
        let header = npy::read_header(path, name, stream)?;
        if !matches!(header.kind, 'S' | 'U') || header.shape.iter().any(|&n| n != 1) {
            return Err(Error::format(path, name.to_owned(), "expected a string"));
        }
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io(path, "cannot read", e))?;
        // UTF-32 of ASCII letters is the letters and zeros.
        Ok(bytes.into_iter().filter(|b| *b != 0).map(char::from).collect())
    })
}

fn with_entry<R>(
    path: &Path,
    archive: &mut Archive,
    name: &str,
    max_bytes: u64,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<R>,
) -> Result<R> {
    let file = archive
        .zip_archive()
        .file_names()
        .find(|f| array_name_from_file_name(f) == Some(name))
        .map(str::to_owned);
    let Some(file) = file else {
        return Err(Error::format(
            path,
            "arrays",
            format!("no array '{name}', only {}", listed(&names(archive))),
        ));
    };
    let entry = archive
        .zip_archive()
        .by_name(&file)
        .map_err(|e| Error::format(path, name.to_owned(), e.to_string()))?;
    let claimed = entry.size();
    // Room for the NumPy header.
    let most = max_bytes.saturating_add(1 << 17);
    if claimed > most {
        return Err(Error::limit(
            path,
            format!("array '{name}' unpacks to {claimed} bytes; at most {max_bytes} are read here"),
        ));
    }
    read(&mut BufReader::new(entry.take(claimed.min(most))), claimed)
}
