//! Frames out of chunks that are decoded here, in parallel: the library only finds and copies their bytes.

use super::cache::{Answer, Cache, Gate};
use super::fault;
use super::filters::Pipeline;
use super::order::Order;
use super::raw::{self, Found};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::ScanInfo;
use crate::io::dtype::Stored as StoredType;
use crate::io::flat::overflow;
use crate::io::limits::tuple;
use crate::io::stack::Stored;
use crate::pixel::Pixel;
use hdf5::dataset::Dataset;
use std::cell::RefCell;
use std::path::PathBuf;

/// Most bytes that a thread keeps between chunks in each of its buffers.
const KEEP: usize = 16 << 20;
/// Threads beyond this many are not expected: memory is not short enough to count them.
const MANY: u64 = 256;

thread_local! {
    static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// The dimensions of a dataset or of its chunks: rows of the scan, frames of a row, height, width.
#[derive(Debug, Clone, Copy)]
struct Shape {
    rows: u64,
    frames: u64,
    height: usize,
    width: usize,
}

impl Shape {
    fn of([rows, frames, height, width]: [u64; 4]) -> Option<Shape> {
        Some(Shape {
            rows,
            frames,
            height: usize::try_from(height).ok()?,
            width: usize::try_from(width).ok()?,
        })
    }
}

/// A chunked dataset whose filters are known.
pub(super) struct Chunked {
    path: PathBuf,
    name: String,
    dataset: Dataset,
    pipeline: Pipeline,
    order: Order,
    dims: Shape,
    chunk: Shape,
    /// Bytes of a decoded chunk.
    bytes: usize,
    stored: StoredType,
    pixel: Pixel,
    fill: Vec<u8>,
    cache: Cache,
    gate: Option<Gate>,
}

/// Frames `x..x + count` of a scan row, all in one column of chunks.
#[derive(Clone, Copy)]
struct Stretch {
    y: u64,
    x: u64,
    count: usize,
}

/// Bytes of the caller, frame i at `i * stride`.
struct Target<'a> {
    out: &'a mut [u8],
    stride: usize,
}

impl Chunked {
    /// `None` if the dataset is not made of chunks that can be decoded here. `cache`: bytes of decoded chunks that may stay.
    ///
    /// # Errors
    /// Those of the library.
    pub fn new(
        dataset: &Dataset,
        info: &ScanInfo,
        order: Order,
        dims: [u64; 4],
        stored: StoredType,
        cache: u64,
        control: &Control,
    ) -> hdf5::Result<Option<Chunked>> {
        let chunk = dataset.create_plist()?.get_chunk()?;
        let Some(chunk) = chunk.filter(|c| !c.contains(&0)) else {
            return Ok(None);
        };
        let chunk = order.four(&chunk).map(|n| n.map_or(1, |n| n as u64));
        let bytes = chunk
            .iter()
            .try_fold(stored.bytes(), |p, &d| p.checked_mul(usize::try_from(d).ok()?));
        let (Some(bytes), Some(chunk), Some(dims)) = (bytes, Shape::of(chunk), Shape::of(dims)) else {
            return Ok(None);
        };
        let Some(pipeline) = raw::pipeline(dataset)? else {
            return Ok(None);
        };
        if !raw::is_standard(&dataset.dtype()?, stored)? {
            return Ok(None);
        }
        // Compressed, between two filters, and decoded.
        let threads = control.memory / 4 / (3 * bytes as u64).max(1);
        Ok(Some(Chunked {
            path: info.path.clone(),
            name: info.dataset.clone().unwrap_or_default(),
            fill: raw::fill_value(dataset, stored)?,
            dataset: dataset.clone(),
            pipeline,
            order,
            dims,
            chunk,
            bytes,
            stored,
            pixel: info.frame.pixel,
            cache: Cache::new(cache / bytes as u64),
            gate: (threads < MANY).then(|| Gate::new(threads)),
        }))
    }

    /// First element of a chunk in each dimension of the dataset.
    fn offset(&self, at: [u64; 4]) -> [u64; 4] {
        let c = self.chunk;
        [
            at[0] * c.rows,
            at[1] * c.frames,
            at[2] * c.height as u64,
            at[3] * c.width as u64,
        ]
    }

    /// Chunks along each dimension.
    fn grid(&self) -> [u64; 4] {
        let (d, c) = (self.dims, self.chunk);
        [
            d.rows.div_ceil(c.rows),
            d.frames.div_ceil(c.frames),
            d.height.div_ceil(c.height) as u64,
            d.width.div_ceil(c.width) as u64,
        ]
    }

    /// Reads and decodes the chunk at `at` (in chunks) to `out`, which takes exactly a chunk.
    fn decode(&self, at: [u64; 4], out: &mut [u8]) -> Result<()> {
        let offset = self.offset(at);
        let offset = self.order.stored(offset);
        let place = || format!("dataset {}, chunk at {}", self.name, tuple(&offset));
        let mut work = || {
            BUFFERS.with_borrow_mut(|(packed, _)| {
                // No filter makes data longer than this.
                let most = 2 * self.bytes + (64 << 10);
                let found = raw::read(&self.dataset, &offset, most, packed).map_err(|e| fault(&self.path, place(), &e))?;
                match found {
                    Found::Missing => {
                        out.chunks_exact_mut(self.fill.len())
                            .for_each(|p| p.copy_from_slice(&self.fill));
                        Ok(())
                    }
                    Found::TooLarge(n) => {
                        let what = format!("the file says that {n} bytes make the {} bytes of the chunk", self.bytes);
                        Err(Error::format(&self.path, place(), what))
                    }
                    Found::Stored { bytes, skipped } => {
                        let outcome = self.pipeline.decode(&packed[..bytes], skipped, out);
                        shrink(packed);
                        outcome.map_err(|what| Error::format(&self.path, place(), what))
                    }
                }
            })
        };
        match &self.gate {
            Some(gate) => gate.pass(work),
            None => work(),
        }
    }

    /// Reads frames of one scan row that lie in one column of chunks.
    fn stretch(&self, s: Stretch, target: &mut Target<'_>, control: &Control) -> Result<()> {
        let (c, grid) = (self.chunk, self.grid());
        let (cy, cx) = (s.y / c.rows, s.x / c.frames);
        // Frames of these chunks that exist: less than a whole chunk at the edges.
        let rows = c.rows.min(self.dims.rows - cy * c.rows);
        let frames = rows * c.frames.min(self.dims.frames - cx * c.frames);
        let all = s.count as u64 == frames;
        let mut busy = Vec::new();
        for ty in 0..grid[2] {
            for tx in 0..grid[3] {
                control.check()?;
                let at = [cy, cx, ty, tx];
                if all {
                    self.alone(at, s, target)?;
                } else if !self.shared(at, s, frames, false, target)? {
                    busy.push(at);
                }
            }
        }
        for at in busy {
            control.check()?;
            self.shared(at, s, frames, true, target)?;
        }
        Ok(())
    }

    /// A chunk of which all frames are wanted: nobody else needs it.
    fn alone(&self, at: [u64; 4], s: Stretch, target: &mut Target<'_>) -> Result<()> {
        let (c, d) = (self.chunk, self.dims);
        let frame = d.height * d.width * self.stored.bytes();
        let fits = (c.height, c.width) == (d.height, d.width) && s.count as u64 == c.rows * c.frames;
        if fits && self.stored.is_plain(self.pixel) && (s.count == 1 || target.stride == frame) {
            return self.decode(at, &mut target.out[..s.count * frame]);
        }
        let mut decoded = BUFFERS.with_borrow_mut(|(_, decoded)| std::mem::take(decoded));
        if decoded.len() < self.bytes {
            decoded.resize(self.bytes, 0);
        }
        let outcome = self
            .decode(at, &mut decoded[..self.bytes])
            .and_then(|()| self.place(at, s, &decoded[..self.bytes], target));
        shrink(&mut decoded);
        BUFFERS.with_borrow_mut(|(_, kept)| *kept = decoded);
        outcome
    }

    /// A chunk that holds other frames, too; false if another thread is decoding it and there is no `wait`.
    fn shared(&self, at: [u64; 4], s: Stretch, frames: u64, wait: bool, target: &mut Target<'_>) -> Result<bool> {
        let grid = self.grid();
        let number = ((at[0] * grid[1] + at[1]) * grid[2] + at[2]) * grid[3] + at[3];
        let answer = self.cache.get(number, frames, wait, || {
            let mut decoded = vec![0; self.bytes];
            self.decode(at, &mut decoded).map(|()| decoded)
        })?;
        let Answer::Ready(decoded) = answer else { return Ok(false) };
        self.place(at, s, &decoded, target)?;
        self.cache.taken(number, s.count as u64);
        Ok(true)
    }

    /// Copies what a decoded chunk has of the frames to their places.
    fn place(&self, at: [u64; 4], s: Stretch, decoded: &[u8], target: &mut Target<'_>) -> Result<()> {
        let (c, d) = (self.chunk, self.dims);
        let (from, to) = (self.stored.bytes(), self.pixel.bytes());
        let (top, left) = (at[2] as usize * c.height, at[3] as usize * c.width);
        let (height, width) = (c.height.min(d.height - top), c.width.min(d.width - left));
        // Rows that follow each other in the chunk and in the frame are one.
        let (lines, length) = if c.width == d.width {
            (1, height * width)
        } else {
            (height, width)
        };
        let plain = self.stored.is_plain(self.pixel);
        for i in 0..s.count {
            let inside = (s.y % c.rows * c.frames + s.x % c.frames) as usize + i;
            for line in 0..lines {
                let source = &decoded[(inside * c.height + line) * c.width * from..][..length * from];
                let before = (top + line) * d.width + left;
                let place = &mut target.out[i * target.stride + before * to..][..length * to];
                if plain {
                    place.copy_from_slice(source);
                    continue;
                }
                self.stored.decode(self.pixel, source, place).map_err(|o| {
                    let frame = s.y * d.frames + s.x + i as u64;
                    let hint = "--dtype f32 reads such values rounded";
                    overflow(&self.path, frame, before + o.index, d.width, &o.value, self.pixel, hint)
                })?;
            }
        }
        Ok(())
    }
}

impl Stored for Chunked {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let row = self.dims.frames;
        let mut done = 0;
        while done < count {
            let (y, x) = ((first + done as u64) / row, (first + done as u64) % row);
            let end = ((x / self.chunk.frames + 1) * self.chunk.frames).min(row);
            let n = (end - x).min((count - done) as u64) as usize;
            let out = &mut out[done * stride..];
            self.stretch(Stretch { y, x, count: n }, &mut Target { out, stride }, control)?;
            done += n;
        }
        Ok(())
    }
}

/// Gives a large buffer back to the system.
fn shrink(buffer: &mut Vec<u8>) {
    if buffer.len() > KEEP {
        *buffer = Vec::new();
    }
}
