//! Result files as plain `.npy`, `.csv`, `.tif` or `.hspy` files, one for each dataset, with a sidecar of attributes.

mod dataset;
mod hspy;
mod sidecar;

use crate::error::{Error, Result};
use crate::io::h5::refused::all_told;
use crate::io::results::hdf5_error;
use dataset::{Kind, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Any shape and type, as it is.
    Npy,
    /// Long format: one line for each value, its indices first; up to two dimensions, and three as one file for each leading
    /// index where there are at most 64.
    Csv,
    /// float32 pages (bytes and 16-bit integers stay); images with `y` and `x` axes are pages even if other axes follow.
    Tiff,
    /// HyperSpy signals: maps of the scan are pictures, other arrays are navigated by their scan axes.
    Hspy,
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "npy" => Ok(Format::Npy),
            "csv" => Ok(Format::Csv),
            "tif" | "tiff" => Ok(Format::Tiff),
            "hspy" => Ok(Format::Hspy),
            other => Err(Error::parameter("--as", format!("'{other}' is none of npy, csv, tiff, hspy"))),
        }
    }
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::Npy => "npy",
            Format::Csv => "csv",
            Format::Tiff => "tif",
            Format::Hspy => "hspy",
        }
    }
}

/// What [`export`] did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exported {
    /// Files, in the order of the datasets, the sidecar last.
    pub files: Vec<PathBuf>,
    /// Datasets that the format cannot hold, and why.
    pub skipped: Vec<(String, String)>,
}

/// Most files that a three-dimensional dataset becomes as `.csv`.
const MAX_CSV_FILES: usize = 64;

/// Writes each dataset of `result` to a file in `folder` named after its path (`stats/std` becomes `stats_std.npy`), and attributes,
/// shapes, text and provenance to `attributes.json`. Everything is written beside `folder` first; files of other names in an existing
/// `folder` stay. Large datasets are read in parts.
///
/// # Errors
/// [`Error::Io`] if a file to be written exists and `overwrite` is false, or the disk refuses; [`Error::Format`] if `result` is
/// not an HDF5 file.
pub fn export(result: impl AsRef<Path>, folder: impl AsRef<Path>, format: Format, overwrite: bool) -> Result<Exported> {
    let (result, folder) = (result.as_ref(), folder.as_ref());
    fs::File::open(result).map_err(|e| Error::io(result, "cannot read", e))?;
    let file = hdf5::File::open(result).map_err(|e| Error::format(result, "HDF5 file", e.to_string()))?;
    let mut sources = Vec::new();
    all_told(result, || dataset::walk(result, &file, "", &mut 0, &mut sources))?;

    let mut exported = Exported::default();
    let mut plan: Vec<(String, &Source, Option<usize>)> = Vec::new();
    for source in &sources {
        if let Some(reason) = refusal(source, format) {
            // Text goes to the sidecar whole.
            if source.kind != Kind::Text {
                exported.skipped.push((source.path.clone(), reason));
            }
            continue;
        }
        let stem = unique_stem(&source.path, &plan);
        if format == Format::Csv && source.shape.len() == 3 {
            plan.extend((0..source.shape[0]).map(|i| (format!("{stem}_{i:02}"), source, Some(i))));
        } else {
            plan.push((stem, source, None));
        }
    }
    let names: Vec<String> = plan
        .iter()
        .map(|(stem, ..)| format!("{stem}.{}", format.extension()))
        .collect();
    check_free(folder, names.iter().map(String::as_str).chain([sidecar::NAME]), overwrite)?;

    let staging = Staging::new(folder)?;
    for ((_, source, part), name) in plan.iter().zip(&names) {
        dataset::write(result, source, *part, &staging.path().join(name), format)
            .map_err(|e| at_home(e, staging.path(), folder))?;
    }
    let files = plan
        .iter()
        .zip(&names)
        .map(|((_, source, _), name)| (source.path.as_str(), name.as_str()));
    let text = all_told(result, || sidecar::json(result, &file, &sources, files.collect()))?;
    let side = staging.path().join(sidecar::NAME);
    fs::write(&side, text).map_err(|e| Error::io(folder.join(sidecar::NAME), "cannot write", e))?;
    drop(file);
    staging.publish(names.iter().map(String::as_str).chain([sidecar::NAME]))?;
    exported.files = names
        .iter()
        .map(String::as_str)
        .chain([sidecar::NAME])
        .map(|n| folder.join(n))
        .collect();
    Ok(exported)
}

/// Why a dataset cannot be written in a format; `None` if it can.
fn refusal(source: &Source, format: Format) -> Option<String> {
    match (source.kind, format, source.shape.as_slice()) {
        (Kind::Text, ..) => Some("text".into()),
        (Kind::Other, ..) => Some("values of a type that is not exported".into()),
        (_, Format::Npy, _) | (_, Format::Csv, [] | [_] | [_, _]) => None,
        (_, Format::Csv, [n, _, _]) if *n <= MAX_CSV_FILES => None,
        (_, Format::Csv, shape) => Some(format!("shape {shape:?} is too large for csv: use npy")),
        (_, _, []) => Some("a single number is no image or signal: use npy or csv".into()),
        (_, _, shape) if shape.contains(&0) => Some("no values".into()),
        _ => None,
    }
}

/// `a/b` becomes `a_b`, with a number if another dataset has that name already.
fn unique_stem(path: &str, plan: &[(String, &Source, Option<usize>)]) -> String {
    // Letters that some file system refuses become underscores, too.
    let plain: String = path
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '-' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let plain = plain.trim_start_matches(['.', '_']);
    let base = if plain.is_empty() { "dataset" } else { plain };
    let taken = |name: &str| plan.iter().any(|(stem, ..)| stem.eq_ignore_ascii_case(name));
    let mut name = base.to_owned();
    let mut number = 2;
    while taken(&name) {
        name = format!("{base}_{number}");
        number += 1;
    }
    name
}

fn check_free<'a>(folder: &Path, names: impl Iterator<Item = &'a str>, overwrite: bool) -> Result<()> {
    for path in names.map(|n| folder.join(n)) {
        if path.exists() && (!overwrite || path.is_dir()) {
            let there = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "exists already (--overwrite replaces it)");
            return Err(Error::io(path, "cannot create", there));
        }
    }
    Ok(())
}

/// Errors name the file that was to be, not the one under a temporary name.
fn at_home(error: Error, staging: &Path, folder: &Path) -> Error {
    match error {
        Error::Io { path, action, source } => {
            let path = path.strip_prefix(staging).map(|p| folder.join(p)).unwrap_or(path);
            Error::Io { path, action, source }
        }
        other => other,
    }
}

/// A temporary folder beside the target, whose files move there at the end.
struct Staging {
    temp: tempfile::TempDir,
    folder: PathBuf,
}

impl Staging {
    fn new(folder: &Path) -> Result<Self> {
        let folder: PathBuf = folder.components().collect();
        if folder.exists() && !folder.is_dir() {
            let file = std::io::Error::new(std::io::ErrorKind::NotADirectory, "it exists and is not a folder");
            return Err(Error::io(&folder, "cannot create", file));
        }
        // Inside an existing folder, else beside the one to come: either way on the same file system.
        let (parent, prefix) = if folder.is_dir() {
            (folder.clone(), ".export.part-".to_owned())
        } else {
            crate::io::output::place(&folder)?
        };
        let temp = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)
            .map_err(|e| Error::io(&folder, "cannot create", crate::io::output::plain(e)))?;
        Ok(Staging { temp, folder })
    }
    fn path(&self) -> &Path {
        self.temp.path()
    }
    fn publish<'a>(self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let Staging { temp, folder } = self;
        if folder.is_dir() {
            for name in names {
                let target = folder.join(name);
                fs::rename(temp.path().join(name), &target).map_err(|e| Error::io(target, "cannot write", e))?;
            }
        } else {
            fs::rename(temp.path(), &folder).map_err(|e| Error::io(&folder, "cannot create", e))?;
            let _ = temp.keep();
        }
        Ok(())
    }
}

fn read_error(path: &Path, error: &hdf5::Error) -> Error {
    hdf5_error(path, "cannot read", error)
}
