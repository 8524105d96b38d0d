//! Frames through the HDF5 library: chunks, filters and byte orders are its work, one hyperslab a run of frames.

use super::order::Order;
use super::{fault, native_type};
use crate::control::Control;
use crate::error::Result;
use crate::io::dtype::Stored as StoredType;
use crate::io::flat::overflow;
use crate::io::stack::Stored;
use crate::pixel::Pixel;
use hdf5::dataset::Dataset;
use hdf5::{Dataspace, Datatype, Hyperslab, Selection, SliceOrIndex};
use std::path::{Path, PathBuf};

/// Bytes of one read of the library, during which its lock is held, unless one frame or group of frames is larger.
const PIECE: usize = 16 << 20;
/// Bytes of pixels that wait for decoding to another type.
const SCRATCH: usize = 4 << 20;

/// The cache of decoded chunks.
pub(super) struct Chunking {
    pub cache: u64,
    pub slots: u64,
}

/// A dataset that the library reads.
pub(super) struct Library {
    path: PathBuf,
    name: String,
    dataset: Dataset,
    memory: Datatype,
    order: Order,
    /// Frames of a row of the dataset's own shape (ny, nx, …); a stack is one row.
    row: u64,
    height: usize,
    width: usize,
    stored: StoredType,
    pixel: Pixel,
}

/// Consecutive frames of the dataset that make one hyperslab: `rows` rows from `y` on, `frames` frames of each from `x` on.
struct Slab {
    y: u64,
    rows: u64,
    x: u64,
    frames: u64,
}

impl Library {
    pub fn new(
        path: &Path,
        name: String,
        dataset: Dataset,
        order: Order,
        [_, row, height, width]: [u64; 4],
        stored: StoredType,
        pixel: Pixel,
    ) -> hdf5::Result<Library> {
        Ok(Library {
            path: path.to_owned(),
            name,
            memory: native_type(stored.kind)?,
            dataset,
            order,
            row,
            // The limits keep edges far below `usize::MAX`.
            height: height as usize,
            width: width as usize,
            // The library swaps bytes: what it delivers is native.
            stored: StoredType::native(stored.kind),
            pixel,
        })
    }

    fn frame_bytes(&self) -> usize {
        self.height * self.width * self.stored.bytes()
    }

    /// The longest hyperslab of at most `most` frames from `first` on.
    fn slab(&self, first: u64, most: u64) -> Slab {
        // Where frames run fastest, only one at a time comes out in order.
        let most = if self.order == Order::FramesLast { 1 } else { most };
        let (y, x) = (first / self.row, first % self.row);
        if x == 0 && most >= self.row {
            Slab {
                y,
                rows: most / self.row,
                x: 0,
                frames: self.row,
            }
        } else {
            Slab {
                y,
                rows: 1,
                x,
                frames: most.min(self.row - x),
            }
        }
    }

    /// Rows `from..to` of the frames of a slab, in the file.
    fn file_space(&self, slab: &Slab, from: usize, to: usize) -> hdf5::Result<Dataspace> {
        let part = |start: u64, count: u64| SliceOrIndex::SliceCount {
            start: start as usize,
            step: 1,
            count: count as usize,
            block: 1,
        };
        let axes = self.order.stored([
            part(slab.y, slab.rows),
            part(slab.x, slab.frames),
            part(from as u64, (to - from) as u64),
            part(0, self.width as u64),
        ]);
        self.dataset.space()?.select(Selection::new(Hyperslab::from(axes)))
    }

    /// Reads a selection of the file to `out`: `blocks` stretches of `length` values, each `step` values after the one before.
    fn read_space(&self, file: &Dataspace, blocks: usize, length: usize, step: usize, out: &mut [u8]) -> hdf5::Result<()> {
        let values = (blocks - 1) * step + length;
        if values * self.stored.bytes() > out.len() {
            return Err("a block too small for its frames".into());
        }
        let memory = Dataspace::try_new(values)?;
        let memory = if blocks > 1 && step != length {
            let axis = SliceOrIndex::SliceCount {
                start: 0,
                step,
                count: blocks,
                block: length,
            };
            memory.select(Selection::new(Hyperslab::from(vec![axis])))?
        } else {
            memory
        };
        hdf5::sync::sync(|| {
            // SAFETY: all identifiers are open, the memory space ends inside `out` (checked above), and the library's lock is held.
            let status = unsafe {
                let default = hdf5_sys::h5p::H5P_DEFAULT;
                hdf5_sys::h5d::H5Dread(
                    self.dataset.id(),
                    self.memory.id(),
                    memory.id(),
                    file.id(),
                    default,
                    out.as_mut_ptr().cast(),
                )
            };
            hdf5::h5check(status).map(|_| ())
        })
    }

    fn err(&self, slab: &Slab, e: &hdf5::Error) -> crate::Error {
        let first = slab.y * self.row + slab.x;
        let last = first + slab.rows * slab.frames - 1;
        fault(&self.path, format!("dataset {}, frames {first} to {last}", self.name), e)
    }

    /// Reads frames with pixels that need another type, through a bounded buffer: whole frames, or rows of one.
    fn read_decoded(&self, slab: &Slab, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let frames = (slab.rows * slab.frames) as usize;
        let first = slab.y * self.row + slab.x;
        let decode = |frame: u64, before: usize, source: &[u8], target: &mut [u8]| {
            let hint = "--dtype f32 reads such values rounded";
            self.stored
                .decode(self.pixel, source, target)
                .map_err(|o| overflow(&self.path, frame, before + o.index, self.width, &o.value, self.pixel, hint))
        };
        let target = self.height * self.width * self.pixel.bytes();
        if self.frame_bytes() <= SCRATCH {
            let mut buffer = vec![0; frames * self.frame_bytes()];
            let length = self.height * self.width * frames;
            let space = self.file_space(slab, 0, self.height).map_err(|e| self.err(slab, &e))?;
            self.read_space(&space, 1, length, length, &mut buffer)
                .map_err(|e| self.err(slab, &e))?;
            for (i, source) in buffer.chunks_exact(self.frame_bytes()).enumerate() {
                decode(first + i as u64, 0, source, &mut out[i * stride..][..target])?;
            }
            return Ok(());
        }
        let rows = (SCRATCH / (self.width * self.stored.bytes())).max(1);
        let mut buffer = vec![0; rows * self.width * self.stored.bytes()];
        for i in 0..frames {
            let one = self.slab(first + i as u64, 1);
            for from in (0..self.height).step_by(rows) {
                control.check()?;
                let to = (from + rows).min(self.height);
                let (before, length) = (from * self.width, (to - from) * self.width);
                let source = &mut buffer[..length * self.stored.bytes()];
                let space = self.file_space(&one, from, to).map_err(|e| self.err(&one, &e))?;
                self.read_space(&space, 1, length, length, source)
                    .map_err(|e| self.err(&one, &e))?;
                let place = &mut out[i * stride + before * self.pixel.bytes()..][..length * self.pixel.bytes()];
                decode(first + i as u64, before, source, place)?;
            }
        }
        Ok(())
    }
}

impl Stored for Library {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let size = self.stored.bytes();
        let plain = self.stored.is_plain(self.pixel) && stride.is_multiple_of(size);
        let piece = if plain { PIECE } else { SCRATCH };
        let most = (piece / self.frame_bytes()).max(1) as u64;
        let mut done = 0;
        while done < count {
            control.check()?;
            let slab = self.slab(first + done as u64, most.min((count - done) as u64));
            let frames = (slab.rows * slab.frames) as usize;
            let out = &mut out[done * stride..];
            if plain {
                let pixels = self.height * self.width;
                let space = self.file_space(&slab, 0, self.height).map_err(|e| self.err(&slab, &e))?;
                self.read_space(&space, frames, pixels, stride / size, out)
                    .map_err(|e| self.err(&slab, &e))?;
            } else {
                self.read_decoded(&slab, stride, out, control)?;
            }
            done += frames;
        }
        Ok(())
    }
}
