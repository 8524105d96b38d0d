//! New scans, frame by frame: written beside the target, renamed when complete.

mod blo;
mod h5;
pub(crate) mod hspy;
mod npy;

pub use blo::BloWriter;
pub use h5::Hdf5Writer;
pub use hspy::{Described, Description, XRays};
pub use npy::NpyWriter;

use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::path::{Path, PathBuf};

/// Takes the frames of a scan in scan order. Dropped before [`FrameWriter::finish`], it leaves no file behind.
pub trait FrameWriter: Send {
    /// Appends whole frames, tightly packed, native-endian.
    ///
    /// # Errors
    /// [`Error::Internal`] for part of a frame or more frames than the scan has, [`Error::Io`] and [`Error::Format`] from the disk.
    fn write(&mut self, frames: &[u8]) -> Result<()>;
    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Internal`] if frames are missing, [`Error::Io`] and [`Error::Format`] from the disk.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Creates a scan file of shape `nav` (ny, nx); the format follows from the ending: `.blo` (square `u8` frames), `.npy`, or HDF5 (`.h5`,
/// `.hdf5`, `.emd`), shuffled and compressed, in the dataset `/data`.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is not set, or cannot be created; [`Error::Parameter`] for another ending or
/// for frames that the format cannot hold.
pub fn create(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool) -> Result<Box<dyn FrameWriter>> {
    super::limits::check(
        path,
        nav.map(|n| n as u64),
        [frame.height as u64, frame.width as u64],
        frame.pixel.bytes(),
    )?;
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    match ending.as_str() {
        "blo" => Ok(Box::new(BloWriter::create(path, nav, frame, overwrite)?)),
        "npy" => Ok(Box::new(NpyWriter::create(path, nav, frame, overwrite)?)),
        "h5" | "hdf5" | "emd" => Ok(Box::new(Hdf5Writer::create(path, nav, frame, overwrite)?)),
        _ => Err(Error::parameter(
            "-o",
            format!("{}: scans are written as .blo, .npy or .h5", path.display()),
        )),
    }
}

/// Counts frames, so that a file never has too few or too many.
struct Counter {
    path: PathBuf,
    frame_bytes: usize,
    done: u64,
    total: u64,
}

impl Counter {
    fn new(path: &Path, nav: [usize; 2], frame: FrameShape) -> Self {
        Counter {
            path: path.to_owned(),
            frame_bytes: frame.bytes(),
            done: 0,
            total: nav[0] as u64 * nav[1] as u64,
        }
    }
    /// Accepts `bytes` of frames.
    fn add(&mut self, bytes: usize) -> Result<()> {
        let frames = (bytes / self.frame_bytes) as u64;
        if !bytes.is_multiple_of(self.frame_bytes) || self.done + frames > self.total {
            let (path, total, done) = (self.path.display(), self.total, self.done);
            return Err(Error::Internal(format!(
                "{path}: {bytes} bytes after {done} of {total} frames of {} bytes",
                self.frame_bytes
            )));
        }
        self.done += frames;
        Ok(())
    }
    fn complete(&self) -> Result<()> {
        if self.done == self.total {
            return Ok(());
        }
        Err(Error::Internal(format!(
            "{}: only {} of {} frames were written",
            self.path.display(),
            self.done,
            self.total
        )))
    }
}
