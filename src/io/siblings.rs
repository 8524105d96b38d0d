//! Files that belong to another: numbered parts, and descriptions beside it.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 200_000;
/// Longest description that is read.
const MAX_TEXT: u64 = 1 << 22;

/// `path` with another ending, if such a file exists; capital letters are tried as well.
pub(crate) fn beside(path: &Path, ending: &str) -> Option<PathBuf> {
    let names = [ending.to_owned(), ending.to_ascii_uppercase()];
    names.into_iter().map(|e| path.with_extension(e)).find(|p| p.is_file())
}

/// A short text file, bytes above ASCII replaced.
///
/// # Errors
/// [`Error::Io`], and [`Error::Limit`] for more than 4 MiB.
pub(crate) fn text(path: &Path) -> Result<String> {
    let file = super::readat::ReadAt::open(path)?;
    if file.len() > MAX_TEXT {
        return Err(Error::limit(path, format!("a description of more than {MAX_TEXT} bytes")));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The name without the digits at its end, and these digits.
fn number(stem: &str) -> (&str, &str) {
    let letters = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.split_at(letters.len())
}

/// All files of the folder whose names differ from `path`'s only in the number at the end of the stem, by number; at least `path` itself.
/// Names without a number stand alone.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub(crate) fn parts(path: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let alone = || vec![(0, path.to_owned())];
    let Some((stem, ending)) = name(path) else {
        return Ok(alone());
    };
    let (begin, digits) = number(&stem);
    if digits.is_empty() {
        return Ok(alone());
    }
    let found = numbered(path, begin, &ending)?;
    if found.is_empty() { Ok(alone()) } else { Ok(found) }
}

/// Stem and ending (in small letters).
fn name(path: &Path) -> Option<(String, String)> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    Some((path.file_stem()?.to_str()?.to_owned(), ending))
}

/// The name before the number of a part: `scan_` of `scan_001.mib`.
pub(crate) fn before_number(path: &Path) -> &str {
    path.file_stem().and_then(|s| s.to_str()).map_or("", |s| number(s).0)
}

/// All files `BEGIN` + digits + `.ENDING` in the folder of `path`, by number.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub(crate) fn numbered(path: &Path, begin: &str, ending: &str) -> Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e| Error::io(folder, "cannot list", e);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)?.take(MAX_ENTRIES) {
        let other = entry.map_err(failed)?.path();
        let Some((stem, its)) = name(&other) else { continue };
        let (start, digits) = number(&stem);
        if start == begin
            && its == ending
            && let Ok(n) = digits.parse::<u64>()
        {
            found.push((n, other));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_sorted_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a_2.mib", "a_10.MIB", "a_1.mib", "b_1.mib", "a_1.hdr", "a.mib", "x.mib"] {
            std::fs::write(at(name), "HDR,\n").unwrap();
        }
        let want = [(1, at("a_1.mib")), (2, at("a_2.mib")), (10, at("a_10.MIB"))];
        assert_eq!(parts(&at("a_2.mib")).unwrap(), want);
        assert_eq!(parts(&at("x.mib")).unwrap(), [(0, at("x.mib"))]);
        assert_eq!(beside(&at("a_1.mib"), "hdr"), Some(at("a_1.hdr")));
        assert_eq!(beside(&at("x.mib"), "hdr"), None);
        assert_eq!(text(&at("a_1.hdr")).unwrap(), "HDR,\n");
    }
}
