//! `FILE.part` and what is known of it.

use super::Job;
use crate::error::{Error, Result};
use crate::io::output::{check_free, free_bytes, is_taken, remove_any, replace_any};
use crate::io::write::{Compression, Format, Place, ScanWriter, begin, is_zarr, resume};
use serde::Serialize;
use std::cell::RefCell;
use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The files of a conversion that is not complete.
pub(super) struct Part {
    target: PathBuf,
    file: PathBuf,
    task: PathBuf,
    done: PathBuf,
    /// The file of the task, locked while this conversion runs.
    lock: RefCell<Option<fs::File>>,
}

/// How often the file of the task is opened anew because it was removed meanwhile.
const ATTEMPTS: u32 = 10;
/// How the file of a task begins: what does not is no file of ours.
const TASK: &str = "input = ";

impl Part {
    pub fn of(path: &Path) -> Part {
        let with = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Part {
            target: path.to_owned(),
            file: with(".part"),
            task: with(".part.toml"),
            done: with(".part.done"),
            lock: RefCell::default(),
        }
    }

    /// Makes sure that nobody else writes to this target, and that what lies under the names of unfinished files is ours. Returns the task
    /// of which they are, which other handles may not be able to read from now on.
    fn claim(&self) -> Result<String> {
        let in_the_way = |path: &Path| {
            let what = "something else has the name of an unfinished conversion; move it away";
            let taken = std::io::Error::new(std::io::ErrorKind::AlreadyExists, what);
            Err(Error::io(path, "cannot write", taken))
        };
        let failed = |e| Error::io(&self.task, "cannot write", e);
        if !is_taken(&self.task)
            && let Some(path) = [&self.file, &self.done].into_iter().find(|p| is_taken(p))
        {
            return in_the_way(path);
        }
        let folders = [
            (&self.task, self.task.is_dir()),
            (&self.done, self.done.is_dir()),
            (&self.file, self.file.is_dir() && !is_zarr(&self.file)),
        ];
        if let Some((path, _)) = folders.into_iter().find(|(_, is)| *is) {
            return in_the_way(path);
        }
        let file = self.locked()?;
        let mut text = String::new();
        (&file).take(1 << 20).read_to_string(&mut text).map_err(failed)?;
        if !text.is_empty() && !text.starts_with(TASK) {
            return in_the_way(&self.task);
        }
        *self.lock.borrow_mut() = Some(file);
        Ok(text)
    }

    /// The file of the task, locked.
    fn locked(&self) -> Result<fs::File> {
        let mut attempts = 0;
        loop {
            let file = fs::File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&self.task)
                .map_err(|e| Error::io(&self.target, "cannot create", e))?;
            match file.try_lock() {
                Err(fs::TryLockError::WouldBlock) => {
                    let busy = std::io::Error::new(std::io::ErrorKind::ResourceBusy, "another conversion to it is running");
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

    /// Says what is being done, in the file that is locked.
    fn describe(&self, task: &str) -> Result<()> {
        let mut lock = self.lock.borrow_mut();
        let write = |file: &mut fs::File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(task.as_bytes())
        };
        lock.as_mut()
            .map_or(Ok(()), write)
            .map_err(|e| Error::io(&self.task, "cannot write", e))
    }

    /// Refuses a target that may not be replaced.
    pub fn check_target(&self, format: Format, overwrite: bool) -> Result<()> {
        check_free(&self.target, overwrite)?;
        let (folder, wanted) = (self.target.is_dir(), format.is_folder());
        if folder && !(wanted && is_zarr(&self.target)) {
            let kind = std::io::Error::new(
                std::io::ErrorKind::IsADirectory,
                "it is a folder that --overwrite does not replace",
            );
            return Err(Error::io(&self.target, "cannot write", kind));
        }
        Ok(())
    }

    /// The unfinished file of the same task and the number of frames in it, or a new one.
    pub fn open(&self, job: &Job<'_>) -> Result<(Box<dyn ScanWriter>, u64)> {
        let task = task(job)?;
        let begun = self.claim()?;
        let place = Place {
            at: &self.file,
            name: &self.target,
        };
        let (format, compression) = (job.params.format, job.params.compression);
        let same = begun == task;
        let done = fs::read_to_string(&self.done).ok().and_then(|t| t.trim().parse::<u64>().ok());
        if let Some(done) = done.filter(|&n| same && (1..=job.new.frames()).contains(&n))
            && let Some(writer) = resume(format, place, &job.new, compression)?
            && writer.boundary(done) == done
        {
            self.check_space(job, done)?;
            log::info!("{}: going on after {done} frames", self.target.display());
            if !writer.survives() {
                // From here on the file can be relied on only when it was closed.
                self.note(0)?;
            }
            return Ok((writer, done));
        }
        self.check_space(job, 0).inspect_err(|_| self.remove())?;
        remove_any(&self.done);
        remove_any(&self.file);
        self.describe(&task)?;
        let writer = begin(format, place, &job.new, compression).inspect_err(|_| self.remove())?;
        self.note(0)?;
        Ok((writer, 0))
    }

    /// A disk without room for the pixels is better known now than in an hour.
    fn check_space(&self, job: &Job<'_>, done: u64) -> Result<()> {
        if job.params.compression != Compression::None {
            return Ok(());
        }
        let need = (job.new.frames() - done) * job.new.frame.bytes() as u64;
        match free_bytes(&self.target) {
            Some(free) if free < need => {
                let gb = |n: u64| n as f64 / 1e9;
                let what = format!("{:.2} GB are needed, the disk has {:.2} GB free", gb(need), gb(free));
                let full = std::io::Error::new(std::io::ErrorKind::StorageFull, what);
                Err(Error::io(&self.target, "cannot write", full))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that so many frames are on the disk: always in as many bytes, since a full disk takes no more of them.
    pub fn note(&self, done: u64) -> Result<()> {
        let written = fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.done)
            .and_then(|mut file| file.write_all(format!("{done:020}\n").as_bytes()));
        written.map_err(|e| Error::io(&self.done, "cannot write", e))
    }

    /// Closes a file that is not complete so that the same command can go on with it.
    pub fn keep(&self, writer: Box<dyn ScanWriter>, job: &Job<'_>, done: u64) {
        let closed = writer.suspend();
        if done == 0 || closed.and_then(|()| self.note(done)).is_err() {
            self.remove();
            return;
        }
        log::warn!(
            "{} holds {done} of {} frames; the same command goes on from there",
            self.file.display(),
            job.new.frames()
        );
    }

    /// Gives the complete file its name.
    pub fn publish(&self, format: Format, overwrite: bool) -> Result<()> {
        self.check_target(format, overwrite)?;
        replace_any(&self.file, &self.target)?;
        self.remove();
        Ok(())
    }

    fn remove(&self) {
        remove_any(&self.done);
        remove_any(&self.file);
        // Some systems remove no file that is open.
        self.lock.take();
        remove_any(&self.task);
    }
}

/// Whether `path` still leads to `file`.
fn is_same(file: &fs::File, path: &Path) -> bool {
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

/// What is being done, so that only the same work is taken up again.
fn task(job: &Job<'_>) -> Result<String> {
    #[derive(Serialize)]
    struct Task<'a> {
        input: String,
        bytes: u64,
        modified: String,
        opened: &'a str,
        selected: String,
        shape: [usize; 4],
        pixel: &'a str,
        format: &'a str,
        compression: String,
        bin: usize,
        mode: crate::workflows::binning::BinMode,
        log: bool,
    }
    let info = job.scan.info();
    let metadata = fs::metadata(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
    let absolute = fs::canonicalize(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
    let (frame, nav) = (job.new.frame, job.new.nav);
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    job.selection.iter().for_each(|i| hash.update(&i.to_le_bytes()));
    crate::workflows::to_toml(&Task {
        input: absolute.display().to_string(),
        bytes: metadata.len(),
        modified: metadata.modified().map(crate::io::results::iso_time).unwrap_or_default(),
        opened: &job.params.input,
        selected: format!("{:016x}", hash.digest()),
        shape: [nav[0], nav[1], frame.height, frame.width],
        pixel: frame.pixel.name(),
        format: job.params.format.name(),
        compression: format!("{:?}", job.params.compression),
        bin: job.params.bin,
        mode: job.params.mode,
        log: job.params.log,
    })
}
