//! Frames out of chunks that are decoded in parallel, whoever finds and decodes the chunks: HDF5, zarr.

mod cache;

use self::cache::{Answer, Cache, Gate};
use super::dtype::Stored as StoredType;
use super::flat::overflow;
use super::stack::Stored;
use crate::control::Control;
use crate::error::Result;
use crate::pixel::Pixel;
use std::cell::RefCell;
use std::path::PathBuf;

/// Most bytes that a thread keeps between chunks in each of its buffers.
const KEEP: usize = 16 << 20;
/// Threads beyond this many are not expected: memory is not short enough to count them.
const MANY: u64 = 256;

thread_local! {
    static DECODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Finds and decodes chunks.
pub(crate) trait Chunks: Send + Sync {
    /// Decodes the chunk whose first element (scan row, frame of the row, row, column) is `offset` to exactly `out`.
    ///
    /// # Errors
    /// Those of reading and decoding, with file and chunk.
    fn decode(&self, offset: [u64; 4], out: &mut [u8]) -> Result<()>;
}

/// The dimensions of a dataset or of its chunks: rows of the scan, frames of a row, height, width.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    rows: u64,
    frames: u64,
    height: usize,
    width: usize,
}

impl Shape {
    /// Bytes of all elements of `size` bytes.
    fn bytes(self, size: usize) -> Option<usize> {
        let frames = usize::try_from(self.rows.checked_mul(self.frames)?).ok()?;
        frames.checked_mul(self.height)?.checked_mul(self.width)?.checked_mul(size)
    }

    pub fn of([rows, frames, height, width]: [u64; 4]) -> Option<Shape> {
        Some(Shape {
            rows,
            frames,
            height: usize::try_from(height).ok()?,
            width: usize::try_from(width).ok()?,
        })
    }
}

/// What a chunked array is like.
pub(crate) struct Plan {
    pub path: PathBuf,
    pub dims: Shape,
    pub chunk: Shape,
    /// The frames of a chunk run fastest: (height, width, frames).
    pub frames_last: bool,
    pub stored: StoredType,
    pub pixel: Pixel,
}

/// A chunked array.
pub(crate) struct Chunked<C> {
    plan: Plan,
    chunks: C,
    /// Bytes of a decoded chunk.
    bytes: usize,
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

impl<C: Chunks> Chunked<C> {
    /// `cache`: bytes of decoded chunks that may stay. `None` if a chunk has more bytes than can be counted.
    pub fn new(plan: Plan, chunks: C, cache: u64, control: &Control) -> Option<Chunked<C>> {
        let bytes = plan.chunk.bytes(plan.stored.bytes())?;
        // Compressed, between two filters, and decoded.
        let threads = control.memory / 4 / (3 * bytes as u64).max(1);
        Some(Chunked {
            plan,
            chunks,
            bytes,
            cache: Cache::new(cache / (bytes as u64).max(1)),
            gate: (threads < MANY).then(|| Gate::new(threads)),
        })
    }

    /// First element of a chunk in each dimension.
    fn offset(&self, at: [u64; 4]) -> [u64; 4] {
        let c = self.plan.chunk;
        [
            at[0] * c.rows,
            at[1] * c.frames,
            at[2] * c.height as u64,
            at[3] * c.width as u64,
        ]
    }

    /// Chunks along each dimension.
    fn grid(&self) -> [u64; 4] {
        let (d, c) = (self.plan.dims, self.plan.chunk);
        [
            d.rows.div_ceil(c.rows),
            d.frames.div_ceil(c.frames),
            d.height.div_ceil(c.height) as u64,
            d.width.div_ceil(c.width) as u64,
        ]
    }

    /// Reads and decodes the chunk at `at` (in chunks) to `out`, which takes exactly a chunk.
    fn decode(&self, at: [u64; 4], out: &mut [u8]) -> Result<()> {
        let mut work = || self.chunks.decode(self.offset(at), out);
        match &self.gate {
            Some(gate) => gate.pass(work),
            None => work(),
        }
    }

    /// Reads frames of one scan row that lie in one column of chunks.
    fn stretch(&self, s: Stretch, target: &mut Target<'_>, control: &Control) -> Result<()> {
        let (c, grid) = (self.plan.chunk, self.grid());
        let (cy, cx) = (s.y / c.rows, s.x / c.frames);
        // Frames of these chunks that exist: less than a whole chunk at the edges.
        let rows = c.rows.min(self.plan.dims.rows - cy * c.rows);
        let frames = rows * c.frames.min(self.plan.dims.frames - cx * c.frames);
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

    /// True if pixels of a frame do not lie together in a chunk.
    fn across(&self) -> bool {
        self.plan.frames_last && self.plan.chunk.frames > 1
    }

    /// A chunk of which all frames are wanted: nobody else needs it.
    fn alone(&self, at: [u64; 4], s: Stretch, target: &mut Target<'_>) -> Result<()> {
        let (c, d) = (self.plan.chunk, self.plan.dims);
        let frame = d.height * d.width * self.plan.stored.bytes();
        let fits = !self.across() && (c.height, c.width) == (d.height, d.width) && s.count as u64 == c.rows * c.frames;
        if fits && self.plan.stored.is_plain(self.plan.pixel) && (s.count == 1 || target.stride == frame) {
            return self.decode(at, &mut target.out[..s.count * frame]);
        }
        let mut decoded = DECODED.take();
        if decoded.len() < self.bytes {
            decoded.resize(self.bytes, 0);
        }
        let outcome = self
            .decode(at, &mut decoded[..self.bytes])
            .and_then(|()| self.place(at, s, &decoded[..self.bytes], target));
        shrink(&mut decoded);
        DECODED.set(decoded);
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
        let (c, d) = (self.plan.chunk, self.plan.dims);
        let (from, to) = (self.plan.stored.bytes(), self.plan.pixel.bytes());
        let (top, left) = (at[2] as usize * c.height, at[3] as usize * c.width);
        let (height, width) = (c.height.min(d.height - top), c.width.min(d.width - left));
        // Rows that follow each other in the chunk and in the frame are one.
        let (lines, length) = if c.width == d.width {
            (1, height * width)
        } else {
            (height, width)
        };
        let plain = self.plan.stored.is_plain(self.plan.pixel);
        let mut gathered = vec![0; if self.across() { length * from } else { 0 }];
        for i in 0..s.count {
            let inside = (s.y % c.rows * c.frames + s.x % c.frames) as usize + i;
            for line in 0..lines {
                let source = if self.across() {
                    let step = c.frames as usize * from;
                    let pixels = decoded[line * c.width * step + inside * from..].chunks(step);
                    gathered
                        .chunks_exact_mut(from)
                        .zip(pixels)
                        .for_each(|(g, p)| g.copy_from_slice(&p[..from]));
                    &gathered[..]
                } else {
                    &decoded[(inside * c.height + line) * c.width * from..][..length * from]
                };
                let before = (top + line) * d.width + left;
                let place = &mut target.out[i * target.stride + before * to..][..length * to];
                if plain {
                    place.copy_from_slice(source);
                    continue;
                }
                self.plan.stored.decode(self.plan.pixel, source, place).map_err(|o| {
                    let frame = s.y * d.frames + s.x + i as u64;
                    let hint = "--dtype f32 reads such values rounded";
                    overflow(
                        &self.plan.path,
                        frame,
                        before + o.index,
                        d.width,
                        &o.value,
                        self.plan.pixel,
                        hint,
                    )
                })?;
            }
        }
        Ok(())
    }
}

impl<C: Chunks> Stored for Chunked<C> {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let row = self.plan.dims.frames;
        let mut done = 0;
        while done < count {
            let (y, x) = ((first + done as u64) / row, (first + done as u64) % row);
            let end = ((x / self.plan.chunk.frames + 1) * self.plan.chunk.frames).min(row);
            let n = (end - x).min((count - done) as u64) as usize;
            let out = &mut out[done * stride..];
            self.stretch(Stretch { y, x, count: n }, &mut Target { out, stride }, control)?;
            done += n;
        }
        Ok(())
    }
}

/// Gives a large buffer back to the system.
pub(crate) fn shrink(buffer: &mut Vec<u8>) {
    if buffer.len() > KEEP {
        *buffer = Vec::new();
    }
}
