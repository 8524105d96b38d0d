use super::{Compression, Description, Format, NewScan, Place, ScanWriter};
use crate::error::{Error, Result};
use crate::io::output;
use crate::pixel::FrameShape;
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Bytes that are written at once, about.
const PIECE: usize = 1 << 20;

/// Takes the frames of a scan in scan order. Dropped before [`FrameWriter::finish`], it leaves no file behind.
pub struct FrameWriter {
    // Dropped in this order: the file is closed before it is removed or renamed.
    writer: Box<dyn ScanWriter>,
    temporary: TempPath,
    target: PathBuf,
    overwrite: bool,
    scan: NewScan,
    /// Frames that wait for the others of their piece.
    waiting: Vec<u8>,
    written: u64,
}

impl FrameWriter {
    /// Begins a file beside `path`.
    ///
    /// # Errors
    /// As [`super::begin`]; [`Error::Io`] if the file exists and `overwrite` is not set.
    pub fn create(format: Format, path: &Path, scan: NewScan, compression: Compression, overwrite: bool) -> Result<Self> {
        let temporary = output::temp_file(path, overwrite)?.into_temp_path();
        let place = Place {
            at: &temporary,
            name: path,
        };
        let writer = super::begin(format, place, &scan, compression)?;
        Ok(FrameWriter {
            writer,
            temporary,
            target: path.to_owned(),
            overwrite,
            scan,
            waiting: Vec::new(),
            written: 0,
        })
    }

    /// Begins a HyperSpy signal, shuffled and compressed; with three axes, frames of one row are spectra.
    ///
    /// # Errors
    /// As [`FrameWriter::create`]; [`Error::Internal`] for axes that do not fit the frames.
    pub fn create_signal(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool, what: &Description) -> Result<Self> {
        let fits = match what.axes.len() {
            3 => frame.height == 1,
            n => n == 4,
        };
        if !fits {
            return Err(Error::Internal("axes of a signal that do not fit its frames".into()));
        }
        let scan = NewScan {
            signal: Some(what.clone()),
            ..NewScan::new(nav, frame)
        };
        Self::create(Format::Hspy, path, scan, super::packed(), overwrite)
    }

    /// Appends whole frames, tightly packed, native-endian.
    ///
    /// # Errors
    /// [`Error::Internal`] for part of a frame or more frames than the scan has, [`Error::Io`] from the disk.
    pub fn write(&mut self, frames: &[u8]) -> Result<()> {
        let size = self.scan.frame.bytes();
        let waiting = (self.waiting.len() / size) as u64;
        self.scan.check(&self.target, self.written + waiting, frames.len())?;
        let mut rest = frames;
        while !rest.is_empty() {
            let piece = (PIECE / size).max(1) as u64;
            let end = self.writer.boundary((self.written + piece).min(self.scan.frames()));
            let missing = (end - self.written) as usize * size - self.waiting.len();
            let (now, later) = rest.split_at(missing.min(rest.len()));
            rest = later;
            if self.waiting.is_empty() && now.len() == missing {
                self.writer.put(self.written, now)?;
            } else {
                self.waiting.extend_from_slice(now);
                if now.len() < missing {
                    break;
                }
                self.writer.put(self.written, &self.waiting)?;
                self.waiting.clear();
            }
            self.written = end;
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Internal`] if frames are missing, [`Error::Io`] from the disk.
    pub fn finish(self) -> Result<()> {
        let done = self.written + (self.waiting.len() / self.scan.frame.bytes()) as u64;
        if done != self.scan.frames() {
            let what = format!(
                "{}: only {done} of {} frames were written",
                self.target.display(),
                self.scan.frames()
            );
            return Err(Error::Internal(what));
        }
        self.writer.finish()?;
        output::persist(self.temporary, &self.target, self.overwrite)
    }
}
