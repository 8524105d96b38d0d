//! Where images lie: in a folder, or in a zip archive that is read by offset from any thread.

use crate::error::{Error, Result};
use crate::io::limits::MAX_POINTS;
use crate::io::readat::ReadAt;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Largest image file that is read.
const MAX_FILE: u64 = 256 << 20;

/// Files with names.
pub(crate) enum Source {
    Folder(PathBuf),
    Zip { file: ReadAt, entries: Vec<Entry> },
}

/// A file in an archive.
pub(crate) struct Entry {
    /// Byte at which its content begins.
    start: u64,
    stored: u64,
    size: u64,
    crc: u32,
    deflated: bool,
}

/// A listed file: its number in the source and its name, with folders.
pub(crate) struct Listed {
    pub number: usize,
    pub name: String,
}

impl Source {
    /// The files of a folder and of `Images` in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be listed.
    pub fn folder(path: &Path) -> Result<(Source, Vec<Listed>)> {
        let mut names = list(path, "")?;
        for inner in ["Images", "images"] {
            if path.join(inner).is_dir() {
                names.extend(list(&path.join(inner), &format!("{inner}/"))?);
                break;
            }
        }
        // Folders come in any order: sort, so that notes and errors are the same everywhere.
        names.sort_unstable();
        let listed = names.into_iter().enumerate().map(|(number, name)| Listed { number, name });
        Ok((Source::Folder(path.to_owned()), listed.collect()))
    }

    /// The files of a zip archive. Only its directory is read.
    ///
    /// # Errors
    /// [`Error::Format`] if the directory is damaged, [`Error::Unsupported`] for other compression than deflate.
    pub fn zip(file: ReadAt) -> Result<(Source, Vec<Listed>)> {
        let path = file.path().to_owned();
        let broken = |e: zip::result::ZipError| Error::format(&path, "directory of the zip archive", e.to_string());
        let open = std::fs::File::open(&path).map_err(|e| Error::io(&path, "cannot open", e))?;
        let mut archive = zip::ZipArchive::new(BufReader::new(open)).map_err(broken)?;
        if archive.len() > MAX_POINTS {
            return Err(Error::limit(
                &path,
                format!("{} files; at most {MAX_POINTS} are read", archive.len()),
            ));
        }
        let (mut entries, mut listed) = (Vec::new(), Vec::new());
        for i in 0..archive.len() {
            let entry = archive.by_index_raw(i).map_err(broken)?;
            if entry.is_dir() {
                continue;
            }
            let deflated = match entry.compression() {
                zip::CompressionMethod::Stored => false,
                zip::CompressionMethod::Deflated => true,
                other => {
                    let what = format!("{} is compressed by {other}; deflate and stored are read", entry.name());
                    return Err(Error::unsupported(&path, what));
                }
            };
            listed.push(Listed {
                number: entries.len(),
                name: entry.name().to_owned(),
            });
            entries.push(Entry {
                start: entry.data_start(),
                stored: entry.compressed_size(),
                size: entry.size(),
                crc: entry.crc32(),
                deflated,
            });
        }
        Ok((Source::Zip { file, entries }, listed))
    }

    /// A file's name for messages.
    pub fn shown(&self, name: &str) -> PathBuf {
        match self {
            Source::Folder(path) => path.join(name),
            Source::Zip { file, .. } => file.path().join(name),
        }
    }

    /// Bytes of a file as an archive claims them, or as they are; 0 if there is none.
    pub fn size(&self, listed: &Listed) -> u64 {
        match self {
            Source::Folder(path) => std::fs::metadata(path.join(&listed.name)).map_or(0, |m| m.len()),
            Source::Zip { entries, .. } => entries.get(listed.number).map_or(0, |e| e.size),
        }
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`Error::Limit`] above 256 MiB, [`Error::Format`] if the archive's bytes do not make the file that it claims.
    pub fn read(&self, listed: &Listed) -> Result<Vec<u8>> {
        let shown = self.shown(&listed.name);
        let check = |size: u64| {
            let what = || format!("{size} bytes; an image file may have at most {MAX_FILE}");
            if size > MAX_FILE {
                Err(Error::limit(&shown, what()))
            } else {
                Ok(size as usize)
            }
        };
        match self {
            Source::Folder(_) => {
                let file = ReadAt::open(&shown)?;
                let mut bytes = vec![0; check(file.len())?];
                file.read(0, &mut bytes)?;
                Ok(bytes)
            }
            Source::Zip { file, entries } => {
                let entry = &entries[listed.number];
                let wrong = |what: &str| Error::format(&shown, "zip archive", what);
                let (stored, size) = (check(entry.stored)?, check(entry.size)?);
                if entry.start.checked_add(entry.stored).is_none_or(|end| end > file.len()) {
                    return Err(wrong("the file lies behind the end of the archive"));
                }
                let mut bytes = vec![0; stored];
                file.read(entry.start, &mut bytes)?;
                if entry.deflated {
                    bytes = inflate(&bytes, size)
                        .ok_or_else(|| wrong("the compressed bytes do not make the size that is claimed"))?;
                }
                let mut crc = flate2::Crc::new();
                crc.update(&bytes);
                if bytes.len() != size || crc.sum() != entry.crc {
                    return Err(wrong("size or checksum is wrong: the archive is damaged"));
                }
                Ok(bytes)
            }
        }
    }
}

/// Exactly `size` bytes of a deflated stream: a bomb ends at the size that it claims. A claim costs nothing either: memory grows with what comes.
fn inflate(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    // Deflate makes at most 1032 bytes of one.
    if size / 1032 > bytes.len() {
        return None;
    }
    let mut out = Vec::with_capacity(size);
    flate2::read::DeflateDecoder::new(bytes)
        .take(size as u64 + 1)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() == size).then_some(out)
}

fn list(path: &Path, prefix: &str) -> Result<Vec<String>> {
    let failed = |e| Error::io(path, "cannot list", e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Links to files count; their targets are checked when they are opened.
        if entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        // Names that are no text cannot be ROW_COL.
        if let Ok(name) = entry.file_name().into_string() {
            names.push(format!("{prefix}{name}"));
        }
        if names.len() > MAX_POINTS {
            return Err(Error::limit(path, format!("more than {MAX_POINTS} files")));
        }
    }
    Ok(names)
}
