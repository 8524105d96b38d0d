//! Conversions that can be interrupted: `FILE.part` and what is known of it.

use super::{Job, Params, complete};
use crate::error::{Error, Result};
use crate::io::ebsd::{Codec, Description, PatternWriter, Store};
use crate::io::output::check_free;
use crate::pixel::FrameShape;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

impl Job<'_> {
    /// Converts to `path` by way of `path.part`, going on where an earlier run stopped. Returns how many patterns that run had converted.
    pub(super) fn resumable(&self, what: &Description<'_>, path: &Path, overwrite: bool) -> Result<u64> {
        check_free(path, overwrite)?;
        let (layout, stack) = (self.params.target.layout(), self.params.target.stack());
        let part = Part::of(path);
        let task = self.task()?;
        let (store, writer, before) = match part.reopen(&task, stack, self.frame, || {
            Store::resume_part(&part.file, path, layout, what, overwrite)
        })? {
            Some((store, writer, before)) => {
                log::info!("{}: going on after {} patterns", path.display(), before.len());
                (store, writer, before)
            }
            None => {
                part.remove();
                let store = Store::create_part(&part.file, path, layout, what, overwrite)?;
                let writer = store.pattern_writer(stack, self.frame, Codec::None)?;
                fs::write(&part.task, &task).map_err(|e| Error::io(&part.task, "cannot write", e))?;
                (store, writer, Vec::new())
            }
        };
        let failed = |e| Error::io(&part.means, "cannot write", e);
        let mut log = File::options().append(true).create(true).open(&part.means).map_err(failed)?;
        let mut means = before;
        let resumed = means.len() as u64;
        let go_on = self.run(
            resumed,
            |block| {
                writer.sync()?;
                log.write_all(bytemuck::cast_slice(block)).map_err(failed)?;
                means.extend_from_slice(block);
                Ok(())
            },
            |first, bytes| writer.put(first, bytes),
        );
        if let Err(e) = go_on {
            log::warn!(
                "{} holds {} of {} patterns; the same command goes on from there",
                part.file.display(),
                means.len(),
                self.selection.len()
            );
            return Err(e);
        }
        drop(log);
        complete(store, writer, self.selection, &means)?;
        part.remove();
        Ok(resumed)
    }

    /// What is being done, so that only the same work is taken up again.
    fn task(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Task<'a> {
            input: String,
            bytes: u64,
            modified: String,
            patterns: u64,
            shape: [usize; 4],
            pixel: &'a str,
            params: &'a Params,
        }
        let info = self.scan.info();
        let metadata = fs::metadata(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
        let absolute = fs::canonicalize(&info.path).map_err(|e| Error::io(&info.path, "cannot read", e))?;
        let task = Task {
            input: absolute.display().to_string(),
            bytes: metadata.len(),
            modified: metadata.modified().map(crate::io::results::iso_time).unwrap_or_default(),
            patterns: self.selection.len(),
            shape: [info.nav[0], info.nav[1], self.frame.height, self.frame.width],
            pixel: self.frame.pixel.name(),
            params: self.params,
        };
        crate::workflows::to_toml(&task)
    }
}

/// The files of a conversion that is not complete.
struct Part {
    file: PathBuf,
    means: PathBuf,
    task: PathBuf,
}

impl Part {
    fn of(path: &Path) -> Part {
        let with = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Part {
            file: with(".part"),
            means: with(".part.means"),
            task: with(".part.toml"),
        }
    }

    fn remove(&self) {
        for file in [&self.means, &self.task, &self.file] {
            // Most often there is none.
            let _ = fs::remove_file(file);
        }
    }

    /// The unfinished file and the means of the patterns in it, if it is of the same task and can be read.
    fn reopen(
        &self,
        task: &str,
        stack: &str,
        frame: FrameShape,
        open: impl FnOnce() -> Result<Store>,
    ) -> Result<Option<(Store, PatternWriter, Vec<f64>)>> {
        if !fs::read_to_string(&self.task).is_ok_and(|t| t == task) {
            return Ok(None);
        }
        let opened = open().and_then(|store| Ok((store.resume_writer(stack, frame)?, store)));
        let Ok((Some(writer), store)) = opened else { return Ok(None) };
        let failed = |e| Error::io(&self.means, "cannot read", e);
        let mut bytes = Vec::new();
        let mut log = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.means)
            .map_err(failed)?;
        (&mut log).take(8 * writer.count()).read_to_end(&mut bytes).map_err(failed)?;
        let means: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).collect();
        // A mean that was cut in the middle is written anew.
        log.set_len(8 * means.len() as u64).map_err(failed)?;
        Ok(Some((store, writer, means)))
    }
}
