//! Where the pieces of a zarr hierarchy lie: files of a folder, or of a zip archive.

use crate::error::{Error, Result};
use crate::io::ebsd::zip_source::{Listed, Source};
use crate::io::readat::ReadAt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Longest description of an array or group.
const MAX_JSON: u64 = 4 << 20;
/// Groups that are looked through for arrays, and how deep.
const MAX_GROUPS: usize = 2000;
const MAX_DEPTH: usize = 12;

/// A hierarchy of arrays by their keys, `Experiments/NAME/data/.zarray`.
pub(super) enum Store {
    Folder(PathBuf),
    Zip { source: Source, files: HashMap<String, Listed> },
}

impl Store {
    /// Opens a folder, or the directory of an archive.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] for a broken archive.
    pub fn open(path: &Path) -> Result<Store> {
        if path.is_dir() {
            return Ok(Store::Folder(path.to_owned()));
        }
        let (source, listed) = Source::zip(ReadAt::open(path)?)?;
        let key = |l: &Listed| l.name.trim_start_matches("./").to_owned();
        let files = listed.into_iter().map(|l| (key(&l), l)).collect();
        Ok(Store::Zip { source, files })
    }

    /// The file of a key, for messages.
    pub fn shown(&self, key: &str) -> PathBuf {
        match self {
            Store::Folder(path) => path.join(key),
            Store::Zip { source, .. } => source.shown(key),
        }
    }

    /// Reads a key to `out`, at most `most` bytes; false if there is no such key.
    ///
    /// # Errors
    /// [`Error::Limit`] for more bytes, [`Error::Io`], [`Error::Format`] for a damaged archive.
    pub fn read(&self, key: &str, most: u64, out: &mut Vec<u8>) -> Result<bool> {
        let shown = || self.shown(key);
        let too_long = |n: u64| Error::limit(shown(), format!("{n} bytes where at most {most} are expected"));
        match self {
            Store::Folder(_) => {
                let path = shown();
                if !path.is_file() {
                    return Ok(false);
                }
                let file = ReadAt::open(&path)?;
                if file.len() > most {
                    return Err(too_long(file.len()));
                }
                out.resize(file.len() as usize, 0);
                file.read(0, out)?;
            }
            Store::Zip { source, files } => {
                let Some(listed) = files.get(key) else { return Ok(false) };
                let size = source.size(listed);
                if size > most {
                    return Err(too_long(size));
                }
                *out = source.read(listed)?;
            }
        }
        Ok(true)
    }

    /// A description in JSON, if there is one.
    ///
    /// # Errors
    /// As [`Store::read`], and [`Error::Format`] if it is no JSON.
    pub fn json(&self, key: &str) -> Result<Option<serde_json::Value>> {
        let mut bytes = Vec::new();
        if !self.read(key, MAX_JSON, &mut bytes)? {
            return Ok(None);
        }
        let broken = |e: serde_json::Error| Error::format(self.shown(key), "JSON", e.to_string());
        serde_json::from_slice(&bytes).map(Some).map_err(broken)
    }

    /// Keys of all arrays (`Experiments/NAME/data`), sorted. What lies in a signal's metadata is left out.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be listed.
    pub fn arrays(&self) -> Result<Vec<String>> {
        let mut arrays = Vec::new();
        match self {
            Store::Folder(path) => walk(path, "", 0, &mut arrays, &mut 0)?,
            Store::Zip { files, .. } => arrays.extend(files.keys().filter_map(|k| {
                let array = k.strip_suffix("/.zarray").or_else(|| (k == ".zarray").then_some(""))?;
                Some(array.to_owned())
            })),
        }
        let inner = |k: &String| {
            k.split('/')
                .any(|p| matches!(p, "metadata" | "original_metadata" | "learning_results" | "models"))
        };
        arrays.retain(|k| !inner(k));
        arrays.sort();
        Ok(arrays)
    }
}

fn walk(folder: &Path, key: &str, depth: usize, arrays: &mut Vec<String>, seen: &mut usize) -> Result<()> {
    *seen += 1;
    if depth > MAX_DEPTH || *seen > MAX_GROUPS {
        return Ok(());
    }
    if folder.join(".zarray").is_file() {
        arrays.push(key.to_owned());
        return Ok(());
    }
    let failed = |e| Error::io(folder, "cannot list", e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (Ok(name), true) = (entry.file_name().into_string(), entry.path().is_dir()) else {
            continue;
        };
        let key = if key.is_empty() { name } else { format!("{key}/{name}") };
        walk(&entry.path(), &key, depth + 1, arrays, seen)?;
    }
    Ok(())
}
