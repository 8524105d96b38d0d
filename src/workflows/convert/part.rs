//! `FILE.part` and what is known of it.

use super::Job;
use crate::error::{Error, Result};
use crate::io::output::{check_free, free_bytes, replace_any};
use crate::io::write::{Compression, Format, Place, ScanWriter, begin, is_zarr, resume};
use crate::workflows::unfinished::{Source, Unfinished};
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::Path;

/// A conversion that is not complete.
pub(super) struct Part {
    files: Unfinished,
}

impl Part {
    pub fn of(path: &Path) -> Part {
        Part {
            files: Unfinished::of(path, "done"),
        }
    }

    /// Refuses a target that may not be replaced.
    pub fn check_target(&self, format: Format, overwrite: bool) -> Result<()> {
        check_free(&self.files.target, overwrite)?;
        let (folder, wanted) = (self.files.target.is_dir(), format.is_folder());
        if folder && !(wanted && is_zarr(&self.files.target)) {
            let kind = std::io::Error::new(
                std::io::ErrorKind::IsADirectory,
                "it is a folder that --overwrite does not replace",
            );
            return Err(Error::io(&self.files.target, "cannot write", kind));
        }
        Ok(())
    }

    /// The unfinished file of the same task and the number of frames in it, or a new one.
    pub fn open(&self, job: &Job<'_>) -> Result<(Box<dyn ScanWriter>, u64)> {
        let task = task(job, &self.files.target)?;
        let begun = self.files.claim(is_zarr)?;
        let place = Place {
            at: &self.files.file,
            name: &self.files.target,
        };
        let (format, compression) = (job.params.format, job.params.compression);
        let same = begun == task;
        let done = fs::read_to_string(&self.files.progress)
            .ok()
            .and_then(|t| t.trim().parse::<u64>().ok());
        if let Some(done) = done.filter(|&n| same && (1..=job.new.frames()).contains(&n))
            && let Some(writer) = resume(format, place, &job.new, compression)?
            && writer.boundary(done) == done
        {
            self.check_space(job, done)?;
            log::info!("{}: going on after {done} frames", self.files.target.display());
            if !writer.survives() {
                // From here on the file can be relied on only when it was closed.
                self.note(0)?;
            }
            return Ok((writer, done));
        }
        self.check_space(job, 0).inspect_err(|_| self.files.remove())?;
        self.files.begin(&task)?;
        let writer = begin(format, place, &job.new, compression).inspect_err(|_| self.files.remove())?;
        self.note(0)?;
        Ok((writer, 0))
    }

    /// A disk without room for the pixels is better known now than in an hour.
    fn check_space(&self, job: &Job<'_>, done: u64) -> Result<()> {
        if job.params.compression != Compression::None {
            return Ok(());
        }
        let need = (job.new.frames() - done) * job.new.frame.bytes() as u64;
        match free_bytes(&self.files.target) {
            Some(free) if free < need => {
                let gb = |n: u64| n as f64 / 1e9;
                let what = format!("{:.2} GB are needed, the disk has {:.2} GB free", gb(need), gb(free));
                let full = std::io::Error::new(std::io::ErrorKind::StorageFull, what);
                Err(Error::io(&self.files.target, "cannot write", full))
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
            .open(&self.files.progress)
            .and_then(|mut file| file.write_all(format!("{done:020}\n").as_bytes()));
        written.map_err(|e| Error::io(&self.files.progress, "cannot write", e))
    }

    /// Closes a file that is not complete so that the same command can go on with it.
    pub fn keep(&self, writer: Box<dyn ScanWriter>, job: &Job<'_>, done: u64) {
        let closed = writer.suspend();
        if done == 0 || closed.and_then(|()| self.note(done)).is_err() {
            self.files.remove();
            return;
        }
        log::warn!(
            "{} holds {done} of {} frames; the same command goes on from there",
            self.files.file.display(),
            job.new.frames()
        );
    }

    /// Gives the complete file its name.
    pub fn publish(&self, format: Format, overwrite: bool) -> Result<()> {
        self.check_target(format, overwrite)?;
        replace_any(&self.files.file, &self.files.target)?;
        self.files.remove();
        Ok(())
    }
}

/// What is being done, so that only the same work is taken up again.
fn task(job: &Job<'_>, output: &Path) -> Result<String> {
    #[derive(Serialize)]
    struct Task<'a> {
        #[serde(flatten)]
        source: Source,
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
    let (frame, nav) = (job.new.frame, job.new.nav);
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    job.selection.iter().for_each(|i| hash.update(&i.to_le_bytes()));
    crate::workflows::to_toml(&Task {
        source: Source::of(&info.path, output)?,
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
