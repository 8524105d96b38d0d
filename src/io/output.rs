//! Outputs that appear whole or not at all: written under a temporary name beside the target, renamed at the end.
//!
//! Leftovers of a killed process are called `.NAME.part-XXXXXX` and can be deleted.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile, TempDir, TempPath};

/// Folder of `target` and the beginning of its temporary names.
pub(crate) fn place(target: &Path) -> Result<(PathBuf, String)> {
    let name = target
        .file_name()
        .ok_or_else(|| Error::parameter("output", format!("{} does not end in a name", target.display())))?;
    let parent = match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    if !parent.is_dir() {
        let missing = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("folder {} does not exist", parent.display()),
        );
        return Err(Error::io(target, "cannot create", missing));
    }
    Ok((parent, format!(".{}.part-", name.to_string_lossy())))
}

fn exists_error(target: &Path) -> Error {
    let there = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "exists already (--overwrite replaces it)");
    Error::io(target, "cannot create", there)
}

/// Something of any kind, broken links included, bears this name.
pub(crate) fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A file in the making; dropped without [`AtomicFile::finish`], it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<NamedTempFile<File>>,
    target: PathBuf,
    overwrite: bool,
}

impl AtomicFile {
    /// Opens a temporary file beside `target`.
    ///
    /// # Errors
    /// [`Error::Io`] if `target` exists and `overwrite` is false (or it is a folder), or its folder is missing or not writable.
    pub fn create(target: impl AsRef<Path>, overwrite: bool) -> Result<Self> {
        let target = target.as_ref();
        let temp = temp_file(target, overwrite)?;
        Ok(AtomicFile {
            writer: BufWriter::with_capacity(1 << 18, temp),
            target: target.to_owned(),
            overwrite,
        })
    }
    /// The file's final name.
    pub fn target(&self) -> &Path {
        &self.target
    }
    /// Writes what is buffered, waits for the disk and renames.
    ///
    /// # Errors
    /// [`Error::Io`], after which nothing is left behind and an existing file is as it was.
    pub fn finish(self) -> Result<()> {
        self.settle()?.appear()
    }
    /// Writes what is buffered and waits for the disk; the file has its name only after [`Settled::appear`]. So nothing but a rename can
    /// fail any more when several files are to appear together.
    ///
    /// # Errors
    /// As [`AtomicFile::finish`].
    pub fn settle(self) -> Result<Settled> {
        let AtomicFile {
            writer,
            target,
            overwrite,
        } = self;
        let temp = writer
            .into_inner()
            .map_err(|e| Error::io(&target, "cannot write", plain(e.into_error())))?;
        temp.as_file().sync_all().map_err(|e| Error::io(&target, "cannot write", e))?;
        let temp = temp.into_temp_path();
        Ok(Settled { temp, target, overwrite })
    }
}

/// A file that is whole on the disk and has not its name yet; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Settled {
    temp: TempPath,
    target: PathBuf,
    overwrite: bool,
}

impl Settled {
    /// A file of these `bytes`.
    ///
    /// # Errors
    /// As [`AtomicFile`].
    pub fn of(target: impl AsRef<Path>, overwrite: bool, bytes: &[u8]) -> Result<Self> {
        let mut file = AtomicFile::create(target.as_ref(), overwrite)?;
        file.write_all(bytes)
            .map_err(|e| Error::io(target.as_ref(), "cannot write", plain(e)))?;
        file.settle()
    }
    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::Io`] if the name was taken meanwhile, or the system refuses.
    pub fn appear(self) -> Result<()> {
        persist(self.temp, &self.target, self.overwrite)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

impl std::io::Seek for AtomicFile {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.writer.seek(to)
    }
}

/// Writes `bytes` to `target` as a whole.
///
/// # Errors
/// As [`AtomicFile`].
pub fn write_file(target: impl AsRef<Path>, overwrite: bool, bytes: &[u8]) -> Result<()> {
    Settled::of(target, overwrite, bytes)?.appear()
}

/// An empty temporary file beside `target`, with the permissions of any new file.
pub(crate) fn temp_file(target: &Path, overwrite: bool) -> Result<NamedTempFile<File>> {
    if is_taken(target) {
        if target.is_dir() {
            let folder = std::io::Error::new(std::io::ErrorKind::IsADirectory, "it is a folder");
            return Err(Error::io(target, "cannot write", folder));
        }
        if !overwrite {
            return Err(exists_error(target));
        }
    }
    let (parent, prefix) = place(target)?;
    Builder::new()
        .prefix(&prefix)
        .make_in(parent, |path| {
            File::options().read(true).write(true).create_new(true).open(path)
        })
        .map_err(|e| Error::io(target, "cannot create", plain(e)))
}

/// The system's own error, without the temporary name that was wrapped around it.
pub(super) fn plain(error: std::io::Error) -> std::io::Error {
    let inner = error
        .get_ref()
        .and_then(|e| e.source())
        .and_then(|e| e.downcast_ref::<std::io::Error>());
    match inner.and_then(std::io::Error::raw_os_error) {
        Some(number) => std::io::Error::from_raw_os_error(number),
        None => error,
    }
}

/// Gives a finished file that was meant to stay its final name.
pub(crate) fn rename(path: &Path, target: &Path, overwrite: bool) -> Result<()> {
    check_free(target, overwrite)?;
    fs::rename(path, target).map_err(|e| Error::io(target, "cannot rename the finished file", e))
}

/// Refuses a target that exists unless it may be replaced.
pub(crate) fn check_free(target: &Path, overwrite: bool) -> Result<()> {
    if !overwrite && is_taken(target) {
        Err(exists_error(target))
    } else {
        Ok(())
    }
}

/// Puts a finished file or folder in the place of another, which goes only after the new one has its name.
pub(crate) fn replace_any(path: &Path, target: &Path) -> Result<()> {
    let failed = |e| Error::io(target, "cannot rename the finished file", e);
    if !path.is_dir() || !is_taken(target) {
        return fs::rename(path, target).map_err(failed);
    }
    let (parent, prefix) = place(target)?;
    let aside = Builder::new().prefix(&prefix).tempdir_in(parent).map_err(failed)?;
    let moved = aside.path().join("replaced");
    fs::rename(target, &moved).map_err(failed)?;
    fs::rename(path, target).map_err(|e| {
        if fs::rename(&moved, target).is_err() {
            log::error!("the earlier {} is kept in {}", target.display(), moved.display());
        }
        failed(e)
    })
}

/// Removes a file or a folder of ours; most often there is none.
pub(crate) fn remove_any(path: &Path) {
    let _ = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
}

/// Bytes that may still be written beside `target`; `None` where the system does not tell.
pub(crate) fn free_bytes(target: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let parent = target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let name = std::ffi::CString::new(parent.as_os_str().as_bytes()).ok()?;
        // SAFETY: all zeros are a value of this plain structure; the call fills it for a name that ends in a zero byte.
        let (status, stat) = unsafe {
            let mut stat: libc::statvfs = std::mem::zeroed();
            (libc::statvfs(name.as_ptr(), &raw mut stat), stat)
        };
        // Field types differ between systems.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        (status == 0).then(|| (stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
    }
    #[cfg(not(unix))]
    {
        let _ = target;
        None
    }
}

/// Gives a temporary file its final name.
pub(crate) fn persist(temp: TempPath, target: &Path, overwrite: bool) -> Result<()> {
    if !overwrite && is_taken(target) {
        return Err(exists_error(target));
    }
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists_error(target),
        _ => Error::io(target, "cannot rename the finished file", e),
    };
    if overwrite {
        temp.persist(target).map_err(|e| failed(e.error))
    } else {
        temp.persist_noclobber(target).map_err(|e| failed(e.error))
    }
}

/// What may lie in a workflow's folder that `--overwrite` replaces.
const OURS: [&str; 6] = [
    "result.h5",
    "params.toml",
    "report.html",
    "model.h5",
    ".DS_Store",
    "Thumbs.db",
];
const FIGURES: &str = "figures";

/// A workflow's folder in the making: `result.h5`, `params.toml`, `figures/*.png`, `report.html`.
/// Dropped without [`OutputDir::finish`], it leaves nothing.
#[derive(Debug)]
pub struct OutputDir {
    temp: TempDir,
    target: PathBuf,
    overwrite: bool,
}

impl OutputDir {
    /// Makes a temporary folder beside `target`.
    ///
    /// # Errors
    /// [`Error::Io`] before any work is done: if `target` exists and `overwrite` is false, if it holds files that emstream did not
    /// write (those are never deleted), or if the folder around it is missing or not writable.
    pub fn create(target: impl AsRef<Path>, overwrite: bool) -> Result<Self> {
        // "out/" and "out/." name the folder "out".
        let target: PathBuf = target.as_ref().components().collect();
        if is_taken(&target) {
            if !target.is_dir() {
                let file = std::io::Error::new(std::io::ErrorKind::NotADirectory, "it exists and is not a folder");
                return Err(Error::io(&target, "cannot create", file));
            }
            if !overwrite {
                return Err(exists_error(&target));
            }
            check_replaceable(&target)?;
        }
        let (parent, prefix) = place(&target)?;
        let temp = Builder::new()
            .prefix(&prefix)
            .tempdir_in(parent)
            .map_err(|e| Error::io(&target, "cannot create", plain(e)))?;
        Ok(OutputDir { temp, target, overwrite })
    }

    /// The folder while it is being written.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }
    /// The folder's final name.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Writes a file inside the folder, e.g. `params.toml` or `figures/labels.png`; `/` separates folders, which are made.
    ///
    /// # Errors
    /// [`Error::Io`] naming the final path; [`Error::Internal`] for names that lead outside.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Error::Internal(format!("output named {name:?}")));
        }
        let path = self.temp.path().join(name);
        let failed = |e| Error::io(self.target.join(name), "cannot write", e);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&path, bytes).map_err(failed)
    }

    /// Starts the folder's `result.h5`; finish it before the folder.
    ///
    /// # Errors
    /// As [`super::results::ResultFile::create`].
    pub fn result(&self) -> Result<super::results::ResultFile> {
        super::results::ResultFile::create_as(&self.temp.path().join("result.h5"), &self.target.join("result.h5"), true)
    }

    /// Gives the folder its final name and returns it. An existing folder is moved aside first and deleted last, so at every moment
    /// either the old or the new one is complete on disk.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing folder is then as it was.
    pub fn finish(self) -> Result<PathBuf> {
        let OutputDir { temp, target, overwrite } = self;
        let failed = |e| Error::io(&target, "cannot rename the finished folder", e);
        let mut old = None;
        if is_taken(&target) {
            if !overwrite {
                return Err(exists_error(&target));
            }
            let (parent, prefix) = place(&target)?;
            let aside = Builder::new().prefix(&prefix).tempdir_in(parent).map_err(failed)?;
            let moved = aside.path().join("replaced");
            fs::rename(&target, &moved).map_err(failed)?;
            old = Some((aside, moved));
        }
        if let Err(e) = fs::rename(temp.path(), &target) {
            if let Some((aside, moved)) = old
                && fs::rename(&moved, &target).is_err()
            {
                // Neither name can be set: keep the user's old results where they are.
                let kept = aside.keep();
                log::error!("the earlier results of {} are kept in {}", target.display(), kept.display());
            }
            return Err(failed(e));
        }
        // The folder has a new name; there is nothing left to delete under the old one.
        let _ = temp.keep();
        if let Some((aside, _)) = old
            && let Err(e) = aside.close()
        {
            log::warn!("{}: the replaced results could not be deleted: {e}", target.display());
        }
        Ok(target)
    }
}

/// Refuses to replace a folder that holds anything but a workflow's outputs.
fn check_replaceable(folder: &Path) -> Result<()> {
    let failed = |e| Error::io(folder, "cannot read", e);
    let foreign = |path: PathBuf| {
        let what = format!(
            "--overwrite would delete {}, which emstream did not write: move it or choose another folder",
            path.display()
        );
        Err(Error::io(
            folder,
            "not replaced",
            std::io::Error::new(std::io::ErrorKind::DirectoryNotEmpty, what),
        ))
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        let name = entry.file_name();
        if is_folder && name == FIGURES {
            for figure in fs::read_dir(entry.path()).map_err(failed)? {
                let figure = figure.map_err(failed)?.path();
                if figure.is_dir() || figure.extension().is_none_or(|e| e != "png") {
                    return foreign(figure);
                }
            }
        } else if is_folder || !OURS.iter().any(|ours| name == *ours) {
            return foreign(entry.path());
        }
    }
    Ok(())
}
