//! Frames in order, made by several threads in blocks of bounded size.

use super::frames::Simulated;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Scan, write};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// Blocks need not be larger than this.
const BLOCK: u64 = 64 << 20;

impl Simulated {
    /// Writes the scan to `path` (`.blo`, `.npy` or HDF5, see [`write::create`]) and the truth beside it (see
    /// [`Simulated::write_truth`]). Returns the path of the truth: [`truth_path`]. The scan gets its name last, so that a complete
    /// scan always has its truth.
    ///
    /// # Errors
    /// As [`write::create`], [`Simulated::stream`] and [`Simulated::write_truth`]; [`Error::Cancelled`] leaves no file.
    pub fn write(&self, path: &Path, overwrite: bool, control: &Control) -> Result<PathBuf> {
        let truth = truth_path(path);
        if !overwrite && truth.exists() {
            return Err(Error::parameter(
                truth.display().to_string(),
                "exists already (use --overwrite to replace it)",
            ));
        }
        let mut writer = write::create(path, self.info().nav, self.info().frame, overwrite)?;
        self.stream(control, |frames| writer.write(frames))?;
        self.write_truth(&truth, overwrite, control)?;
        writer.finish()?;
        Ok(truth)
    }

    /// Makes all frames and hands them to `sink` in scan order, several at a time, tightly packed.
    ///
    /// Memory: one block of at most 64 MiB and at most a quarter of `control.memory` (but at least one frame), and one frame of f32
    /// for each thread.
    ///
    /// # Errors
    /// What `sink` says; [`Error::Cancelled`].
    pub fn stream(&self, control: &Control, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (frames, bytes) = (self.info().frames(), self.info().frame.bytes());
        let fit = (control.memory / 4).min(BLOCK) / bytes as u64;
        let count = fit.clamp(1, frames) as usize;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        let mut block = vec![0u8; count * bytes];
        control
            .progress
            .begin("simulate", frames, frames.saturating_mul(bytes as u64));
        let result = (0..frames.div_ceil(count as u64)).try_for_each(|b| {
            let first = b * count as u64;
            let here = &mut block[..(frames - first).min(count as u64) as usize * bytes];
            pool.install(|| {
                here.par_chunks_exact_mut(bytes)
                    .enumerate()
                    .try_for_each_init(Vec::new, |scratch, (i, out)| {
                        control.check()?;
                        self.counts(first + i as u64, scratch, out)?;
                        control.progress.advance(1);
                        Ok(())
                    })
            })?;
            sink(here)
        });
        control.progress.end();
        result
    }
}

/// Where the truth of a scan at `path` goes: the same name with `.truth.h5` added.
pub fn truth_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".truth.h5");
    PathBuf::from(name)
}
