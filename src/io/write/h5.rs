use super::hspy::{self, Description};
use super::{Counter, FrameWriter};
use crate::error::Result;
use crate::io::dtype::Stored;
use crate::io::h5::{fault, native_type};
use crate::io::output;
use crate::pixel::FrameShape;
use hdf5::dataset::Dataset;
use hdf5::{Dataspace, Datatype, File, Hyperslab, Selection, SliceOrIndex};
use std::path::Path;
use tempfile::TempPath;

/// Bytes of a chunk, unless one frame is larger.
const CHUNK: usize = 1 << 20;
/// Stronger compression of noisy counts costs time and gains little.
const GZIP_LEVEL: u8 = 1;

/// Writes HDF5: dataset `/data` of shape (ny, nx, height, width), or that of a HyperSpy signal, in chunks of whole frames along a row,
/// shuffled and gzip-compressed.
pub struct Hdf5Writer {
    // Dropped in this order: the file is closed before it is removed or renamed.
    dataset: Dataset,
    file: File,
    temporary: TempPath,
    memory: Datatype,
    count: Counter,
    overwrite: bool,
    nx: usize,
    frame: FrameShape,
    /// Frames of one row have no axis of their own for it.
    spectra: bool,
    /// Frames of a chunk, and frames that wait for theirs to be complete.
    together: usize,
    waiting: Vec<u8>,
    written: u64,
}

impl Hdf5Writer {
    /// Starts the file beside `path`.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Format`] from the library.
    pub fn create(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool) -> Result<Self> {
        Self::start(path, nav, frame, overwrite, None)
    }

    /// Starts a HyperSpy signal; with three axes, frames of one row are spectra.
    ///
    /// # Errors
    /// As [`Hdf5Writer::create`]; [`crate::Error::Internal`] for axes that do not fit the frames.
    pub fn create_signal(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool, what: &Description) -> Result<Self> {
        Self::start(path, nav, frame, overwrite, Some(what))
    }

    fn start(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool, signal: Option<&Description>) -> Result<Self> {
        let spectra = signal.is_some_and(|s| s.axes.len() == 3);
        if signal.is_some_and(|s| s.axes.len() != if spectra { 3 } else { 4 }) || (spectra && frame.height != 1) {
            return Err(crate::Error::Internal("axes of a signal that do not fit its frames".into()));
        }
        let temporary = output::temp_file(path, overwrite)?.into_temp_path();
        let together = (CHUNK / frame.bytes()).clamp(1, nav[1]);
        let err = |e: hdf5::Error| fault(path, "file", &e);
        let file = File::create(&temporary).map_err(err)?;
        let kind = Stored::parse(frame.pixel.name()).map(|s| s.kind);
        let kind = kind.ok_or_else(|| crate::Error::Internal(format!("no stored type for {}", frame.pixel)))?;
        let memory = native_type(kind).map_err(err)?;
        let mut shape = vec![nav[0], nav[1], frame.height, frame.width];
        let mut chunk = vec![1, together, frame.height, frame.width];
        if spectra {
            shape.remove(2);
            chunk.remove(2);
        }
        let group = signal.map(|s| hspy::put(&file, &shape, s)).transpose().map_err(err)?;
        let builder = match &group {
            Some(group) => group.new_dataset_builder(),
            None => file.new_dataset_builder(),
        };
        let mut builder = builder.chunk(chunk).obj_track_times(false);
        if hdf5::filters::deflate_available() {
            builder = builder.shuffle().deflate(GZIP_LEVEL);
        }
        let dataset = builder.empty_as(&memory).shape(shape).create("data").map_err(err)?;
        let count = Counter::new(path, nav, frame);
        Ok(Hdf5Writer {
            dataset,
            file,
            temporary,
            memory,
            count,
            overwrite,
            nx: nav[1],
            frame,
            spectra,
            together,
            waiting: Vec::new(),
            written: 0,
        })
    }

    /// Frames from the next one to the end of its chunk.
    fn room(&self) -> usize {
        let x = (self.written % self.nx as u64) as usize;
        (self.together - x % self.together).min(self.nx - x)
    }

    /// Writes `frames` frames, at most up to the end of their chunk.
    fn put(&mut self, bytes: &[u8], frames: usize) -> Result<()> {
        let (y, x) = (
            (self.written / self.nx as u64) as usize,
            (self.written % self.nx as u64) as usize,
        );
        let part = |start, count| SliceOrIndex::SliceCount {
            start,
            step: 1,
            count,
            block: 1,
        };
        let mut axes = vec![part(y, 1), part(x, frames), part(0, self.frame.width)];
        if !self.spectra {
            axes.insert(2, part(0, self.frame.height));
        }
        let values = frames * self.frame.pixels();
        let go = || -> hdf5::Result<()> {
            if values * self.frame.pixel.bytes() > bytes.len() {
                return Err("too few bytes for the frames".into());
            }
            let target = self.dataset.space()?.select(Selection::new(Hyperslab::from(axes)))?;
            let source = Dataspace::try_new(values)?;
            hdf5::sync::sync(|| {
                // SAFETY: all identifiers are open, `bytes` holds all values (checked above), and the library's lock is held.
                let status = unsafe {
                    let default = hdf5_sys::h5p::H5P_DEFAULT;
                    hdf5_sys::h5d::H5Dwrite(
                        self.dataset.id(),
                        self.memory.id(),
                        source.id(),
                        target.id(),
                        default,
                        bytes.as_ptr().cast(),
                    )
                };
                hdf5::h5check(status).map(|_| ())
            })
        };
        go().map_err(|e| fault(&self.count.path, format!("frame {}", self.written), &e))?;
        self.written += frames as u64;
        Ok(())
    }
}

impl FrameWriter for Hdf5Writer {
    fn write(&mut self, mut frames: &[u8]) -> Result<()> {
        self.count.add(frames.len())?;
        let size = self.frame.bytes();
        while !frames.is_empty() {
            let chunk = self.room() * size;
            let n = (chunk - self.waiting.len()).min(frames.len());
            let (now, rest) = frames.split_at(n);
            frames = rest;
            if self.waiting.is_empty() && n == chunk {
                self.put(now, chunk / size)?;
                continue;
            }
            self.waiting.extend_from_slice(now);
            if self.waiting.len() == chunk {
                let full = std::mem::take(&mut self.waiting);
                self.put(&full, chunk / size)?;
                self.waiting = full;
                self.waiting.clear();
            }
        }
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.count.complete()?;
        let Hdf5Writer {
            dataset,
            file,
            temporary,
            count,
            overwrite,
            ..
        } = *self;
        drop(dataset);
        file.flush().map_err(|e| fault(&count.path, "file", &e))?;
        file.close().map_err(|e| fault(&count.path, "file", &e))?;
        output::persist(temporary, &count.path, overwrite)
    }
}
