//! Conversions that can be interrupted: `FILE.part`, what is known of it, and whose it is.

use crate::error::{Error, Result};
use crate::io::folder::members;
use crate::io::output::{is_taken, remove_any};
use crate::io::results::iso_time;
use serde::Serialize;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// The files of a conversion that is not complete.
pub(super) struct Unfinished {
    /// The name that the file gets in the end.
    pub target: PathBuf,
    /// `FILE.part`, most often a file, for some formats a folder.
    pub file: PathBuf,
    /// How far it is.
    pub progress: PathBuf,
    /// What is being done, as TOML that begins with its [`Source`].
    task: PathBuf,
    /// The file of the task, locked while this conversion runs.
    lock: RefCell<Option<File>>,
}

/// How often the file of the task is opened anew because it was removed meanwhile.
const ATTEMPTS: u32 = 10;
/// How the file of a task begins: what does not is no file of ours.
const TASK: &str = "input = ";

impl Unfinished {
    /// The files of a conversion to `target`; `progress` is the last part of the name of the one that says how far it is.
    pub fn of(target: &Path, progress: &str) -> Unfinished {
        let with = |ending: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Unfinished {
            target: target.to_owned(),
            file: with(".part"),
            progress: with(&format!(".part.{progress}")),
            task: with(".part.toml"),
            lock: RefCell::default(),
        }
    }

    /// Makes sure that nobody else writes to this target, and that what lies under the names of unfinished files is ours: of folders those
    /// that are `ours`. Returns the task of which they are, which other handles may not be able to read from now on.
    ///
    /// # Errors
    /// [`Error::Io`] of what is in the way, of another conversion that is running, and if the folder cannot be written to.
    pub fn claim(&self, ours: impl Fn(&Path) -> bool) -> Result<String> {
        let in_the_way = |path: &Path| {
            let what = "something else has the name of an unfinished conversion; move it away";
            let taken = io::Error::new(io::ErrorKind::AlreadyExists, what);
            Err(Error::io(path, "cannot write", taken))
        };
        if !is_taken(&self.task)
            && let Some(path) = [&self.file, &self.progress].into_iter().find(|p| is_taken(p))
        {
            return in_the_way(path);
        }
        let folders = [
            (&self.task, self.task.is_dir()),
            (&self.progress, self.progress.is_dir()),
            (&self.file, self.file.is_dir() && !ours(&self.file)),
        ];
        if let Some((path, _)) = folders.into_iter().find(|(_, is)| *is) {
            return in_the_way(path);
        }
        let file = self.locked()?;
        let mut text = String::new();
        (&file)
            .take(1 << 20)
            .read_to_string(&mut text)
            .map_err(|e| Error::io(&self.task, "cannot read", e))?;
        if !text.is_empty() && !text.starts_with(TASK) {
            return in_the_way(&self.task);
        }
        *self.lock.borrow_mut() = Some(file);
        Ok(text)
    }

    /// The file of the task, locked.
    fn locked(&self) -> Result<File> {
        let mut attempts = 0;
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.task)
                .map_err(|e| Error::io(&self.target, "cannot create", e))?;
            match file.try_lock() {
                Err(fs::TryLockError::WouldBlock) => {
                    let busy = io::Error::new(io::ErrorKind::ResourceBusy, "another conversion to it is running");
                    return Err(Error::io(&self.target, "cannot write", busy));
                }
                // Some file systems know no locks.
                Ok(()) | Err(fs::TryLockError::Error(_)) => {}
            }
            attempts += 1;
            // Who held the lock until now has removed the file at the end. (Some file systems never give the same answer twice.)
            if attempts > ATTEMPTS || is_same(&file, &self.task) {
                return Ok(file);
            }
        }
    }

    /// Removes what an earlier task left, and says what is being done from now on, in the file that is locked.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk takes no more.
    pub fn begin(&self, task: &str) -> Result<()> {
        remove_any(&self.progress);
        remove_any(&self.file);
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(task.as_bytes())
        };
        let mut lock = self.lock.borrow_mut();
        lock.as_mut()
            .map_or(Ok(()), write)
            .map_err(|e| Error::io(&self.task, "cannot write", e))
    }

    /// Removes all files; who held the claim holds it no longer.
    pub fn remove(&self) {
        remove_any(&self.progress);
        remove_any(&self.file);
        // Some systems remove no file that is open.
        self.lock.take();
        remove_any(&self.task);
    }
}

/// Whether `path` still leads to `file`.
fn is_same(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of = |m: fs::Metadata| (m.dev(), m.ino());
        match (file.metadata(), fs::metadata(path)) {
            (Ok(a), Ok(b)) => of(a) == of(b),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true
    }
}

/// What is converted, so that only the same is taken up again.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    input: String,
    bytes: u64,
    /// Time of a file, or a hash of the names, lengths and times of all files of a folder.
    modified: String,
}

impl Source {
    /// The file or folder `path`; files of the conversion to `output` do not count, which may lie in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be looked at.
    pub fn of(path: &Path, output: &Path) -> Result<Source> {
        let failed = |e| Error::io(path, "cannot read", e);
        let metadata = fs::metadata(path).map_err(failed)?;
        let absolute = fs::canonicalize(path).map_err(failed)?;
        let (bytes, modified) = if metadata.is_dir() {
            folder(&absolute, output)?
        } else {
            (metadata.len(), metadata.modified().map(iso_time).unwrap_or_default())
        };
        Ok(Source {
            input: absolute.display().to_string(),
            bytes,
            modified,
        })
    }
}

/// Bytes in a folder and a hash of the names, lengths and times of its files; those of the conversion to `output` do not count.
fn folder(path: &Path, output: &Path) -> Result<(u64, String)> {
    let parent = output
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let own = match (fs::canonicalize(parent), output.file_name()) {
        (Ok(parent), Some(name)) => Some(parent.join(name).as_os_str().as_encoded_bytes().to_vec()),
        _ => None,
    };
    let mut files = members(path)?;
    files.retain(|m| {
        let at = path.join(&m.path);
        own.as_ref()
            .is_none_or(|own| !at.as_os_str().as_encoded_bytes().starts_with(own))
    });
    let mut hash = Xxh3::new();
    for file in &files {
        hash.update(format!("{file:?};").as_bytes());
    }
    let bytes = files.iter().map(|m| m.bytes).sum();
    Ok((bytes, format!("{:032x}", hash.digest128())))
}
