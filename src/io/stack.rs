//! What all readers share: frame lists become runs of consecutive frames, `--sync-offset` shifts them, missing ones are blank.

use super::{Scan, ScanInfo};
use crate::control::Control;
use crate::error::{Error, Result};
use std::ops::Range;

/// Frames in the order in which a file stores them.
pub(crate) trait Stored: Send + Sync {
    /// Reads `count` consecutive frames from stored frame `first` on, frame i to `out[i * stride..]`. The caller has checked the
    /// numbers and the length of `out`.
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()>;
    /// Hints that these frames will be read soon.
    fn prefetch(&self, _frames: Range<u64>) {}
}

impl Stored for Box<dyn Stored> {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        self.as_ref().read_run(first, count, stride, out, control)
    }
    fn prefetch(&self, frames: Range<u64>) {
        self.as_ref().prefetch(frames);
    }
}

/// A [`Scan`] over stored frames: scan position p shows stored frame p + `sync_offset`.
pub(crate) struct Stack<S> {
    info: ScanInfo,
    stored: S,
    sync_offset: i64,
}

impl<S: Stored> Stack<S> {
    /// `info.nav` must describe exactly the frames that `stored` has.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the offset leaves no frame.
    pub fn new(mut info: ScanInfo, stored: S, sync_offset: i64) -> Result<Self> {
        let frames = info.frames();
        let missing = sync_offset.unsigned_abs();
        if missing >= frames {
            let what = format!("{sync_offset} leaves none of the {frames} frames of {}", info.path.display());
            return Err(Error::parameter("--sync-offset", what));
        }
        if sync_offset != 0 {
            let (verb, end) = if sync_offset > 0 {
                ("skips the first", "last")
            } else {
                ("drops the last", "first")
            };
            info.notes.push(format!(
                "sync offset {sync_offset} {verb} {missing} stored frames; the {end} {missing} scan positions are blank (zero)"
            ));
        }
        Ok(Stack {
            info,
            stored,
            sync_offset,
        })
    }

    /// Stored frame at a scan position, `None` where there is none.
    fn stored_frame(&self, position: u64) -> Option<u64> {
        position
            .checked_add_signed(self.sync_offset)
            .filter(|&f| f < self.info.frames())
    }
}

impl<S: Stored> Scan for Stack<S> {
    fn info(&self) -> &ScanInfo {
        &self.info
    }

    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        check_request(&self.info, frames, stride, out.len())?;
        let bytes = self.info.frame.bytes();
        let mut i = 0;
        while i < frames.len() {
            control.check()?;
            let start = i * stride;
            match self.stored_frame(frames[i]) {
                None => {
                    out[start..start + bytes].fill(0);
                    i += 1;
                }
                Some(first) => {
                    let run = frames[i..].iter().zip(first..self.info.frames());
                    let count = run.take_while(|&(&p, f)| self.stored_frame(p) == Some(f)).count().max(1);
                    let end = start + (count - 1) * stride + bytes;
                    self.stored.read_run(first, count, stride, &mut out[start..end], control)?;
                    i += count;
                }
            }
        }
        Ok(())
    }

    fn prefetch(&self, frames: Range<u64>) {
        let clamp = |p: u64| p.saturating_add_signed(self.sync_offset).min(self.info.frames());
        let frames = clamp(frames.start)..clamp(frames.end);
        if !frames.is_empty() {
            self.stored.prefetch(frames);
        }
    }
}

/// Checks that a caller's frame numbers and block fit the scan.
///
/// # Errors
/// [`Error::Internal`]: a wrong request is the caller's bug.
pub(crate) fn check_request(info: &ScanInfo, frames: &[u64], stride: usize, out: usize) -> Result<()> {
    let bytes = info.frame.bytes();
    let need = frames
        .len()
        .saturating_sub(1)
        .checked_mul(stride)
        .and_then(|n| n.checked_add(bytes))
        .unwrap_or(usize::MAX);
    if !frames.is_empty() && (stride < bytes || out < need) {
        return Err(Error::Internal(format!(
            "{} frames of {bytes} bytes at stride {stride} into {out} bytes",
            frames.len()
        )));
    }
    match frames.iter().find(|&&f| f >= info.frames()) {
        Some(f) => Err(Error::Internal(format!("frame {f} of a scan of {}", info.frames()))),
        None => Ok(()),
    }
}
