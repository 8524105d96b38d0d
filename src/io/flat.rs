//! Frames at a fixed step in a file, each with an optional header and footer: raw, `.npy`, `.blo`, contiguous HDF5 and most detectors' files.

use super::dtype::{Overflow, Stored as StoredType};
use super::limits::Sizes;
use super::readat::ReadAt;
use super::stack::Stored;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use std::cell::RefCell;
use std::ops::Range;

/// Bytes of the per-thread buffer in which pixels wait for decoding: small enough to stay in the second-level cache.
const SCRATCH: usize = 256 << 10;
/// Bytes of one read between looks at the control.
const PIECE: usize = 16 << 20;
/// Frames of one scattered read; each takes up to two of the 1024 places that systems allow.
const SCATTER: usize = 256;
/// Most bytes hinted at once.
const AHEAD: u64 = 64 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Longest stretch between two frames that is read along with them.
const GAP: usize = 4096;

/// What stands between frames: checked while reading where it can be, so that a shifted or damaged file does not pass for data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Marker {
    None,
    /// A `.blo` marker: bytes AA 55 and the frame's number from `base` on, or without numbering.
    Blo {
        base: Option<u32>,
    },
    /// A header of a `.mib` frame, of so many bytes: it begins with `MQ1,`.
    Mib(usize),
    /// Bytes before and after the pixels that say nothing about the frame's place.
    Skip {
        before: usize,
        after: usize,
    },
}

impl Marker {
    /// Bytes before the pixels of each frame.
    pub const fn before(self) -> usize {
        match self {
            Marker::None => 0,
            Marker::Blo { .. } => 6,
            Marker::Mib(n) | Marker::Skip { before: n, .. } => n,
        }
    }
    /// Bytes behind the pixels of each frame.
    pub const fn after(self) -> usize {
        match self {
            Marker::Skip { after, .. } => after,
            _ => 0,
        }
    }
    /// The first bytes before the pixels that [`Marker::fault`] looks at.
    const fn checked(self) -> usize {
        match self {
            Marker::None | Marker::Skip { .. } => 0,
            Marker::Blo { .. } => 6,
            Marker::Mib(_) => 4,
        }
    }
    /// What is wrong with the marker of `frame`, if anything; `head` holds at least the checked bytes.
    fn fault(self, frame: u64, head: &[u8]) -> Option<String> {
        match (self, head) {
            (Marker::None | Marker::Skip { .. }, _) => None,
            (Marker::Blo { base }, &[a, b, n0, n1, n2, n3]) => {
                if [a, b] != [0xAA, 0x55] {
                    return Some(format!("the frame's marker should be AA 55 and is {a:02X} {b:02X}"));
                }
                let number = u32::from_le_bytes([n0, n1, n2, n3]);
                let want = u64::from(base?) + frame;
                (u64::from(number) != want).then(|| format!("the frame's number should be {want} and is {number}"))
            }
            (Marker::Mib(_), head) => {
                (!head.starts_with(b"MQ1,")).then(|| "the frame's header does not begin with MQ1".to_owned())
            }
            (Marker::Blo { .. }, _) => Some("the frame's marker is missing".into()),
        }
    }
}

/// Frames at a fixed step in a file.
pub(crate) struct Flat {
    pub file: ReadAt,
    /// Byte of the first frame's marker, or pixels where there is none.
    pub start: u64,
    pub marker: Marker,
    /// Bytes of a frame's pixels as stored.
    pub frame_bytes: usize,
    /// Pixels of a row, to tell places.
    pub width: usize,
    pub stored: StoredType,
    pub pixel: Pixel,
    /// What to try when a 64-bit value does not fit.
    pub hint: &'static str,
}

impl Flat {
    pub fn new(file: ReadAt, start: u64, marker: Marker, sizes: &Sizes, stored: StoredType, pixel: Pixel) -> Flat {
        let hint = "--dtype f32 reads such values rounded";
        // The limits keep a frame's bytes far below `usize::MAX`.
        Flat {
            file,
            start,
            marker,
            frame_bytes: sizes.frame_bytes as usize,
            width: sizes.sig[1],
            stored,
            pixel,
            hint,
        }
    }
    fn step(&self) -> usize {
        self.marker.before() + self.frame_bytes + self.marker.after()
    }
    /// Byte at which `frame` begins. The limits on frames and frame bytes keep this far from overflow.
    fn offset(&self, frame: u64) -> u64 {
        self.start + frame * self.step() as u64
    }
    fn check_marker(&self, frame: u64, head: &[u8]) -> Result<()> {
        match self.marker.fault(frame, head) {
            None => Ok(()),
            Some(what) => Err(Error::format(
                self.file.path(),
                format!("frame {frame}, byte {}", self.offset(frame)),
                what,
            )),
        }
    }
    fn overflow(&self, frame: u64, pixels_before: usize, o: Overflow) -> Error {
        overflow(
            self.file.path(),
            frame,
            pixels_before + o.index,
            self.width,
            &o.value,
            self.pixel,
            self.hint,
        )
    }

    /// Pixels need no decoding: they go straight to their place.
    fn read_plain(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let (before, bytes) = (self.marker.before(), self.frame_bytes);
        let gap = before + self.marker.after();
        if gap == 0 && (stride == bytes || count == 1) {
            for (i, piece) in out[..count * bytes].chunks_mut(PIECE).enumerate() {
                control.check()?;
                self.file.read(self.offset(first) + (i * PIECE) as u64, piece)?;
            }
            return Ok(());
        }
        let batch = if gap > GAP {
            1
        } else {
            (PIECE / self.step()).clamp(1, SCATTER)
        };
        let mut gaps = vec![0; gap.min(GAP) * batch.min(count)];
        let mut frame = first;
        for block in out.chunks_mut(batch * stride) {
            control.check()?;
            let n = block.len().div_ceil(stride);
            if gap > GAP {
                self.read_marker(frame)?;
                self.file.read(self.offset(frame) + before as u64, &mut block[..bytes])?;
                frame += 1;
                continue;
            }
            let mut pieces: Vec<&mut [u8]> = Vec::with_capacity(3 * n);
            if gap == 0 {
                pieces.extend(block.chunks_mut(stride).map(|b| &mut b[..bytes]));
            } else {
                for (g, b) in gaps.chunks_exact_mut(gap).zip(block.chunks_mut(stride)) {
                    let (head, tail) = g.split_at_mut(before);
                    pieces.extend([head, &mut b[..bytes], tail]);
                }
                pieces.retain(|p| !p.is_empty());
            }
            self.file.read_scattered(self.offset(frame), &mut pieces)?;
            if self.marker.checked() > 0 {
                for (g, f) in gaps.chunks_exact(gap).take(n).zip(frame..) {
                    self.check_marker(f, &g[..self.marker.checked()])?;
                }
            }
            frame += n as u64;
        }
        Ok(())
    }

    /// Reads and checks the marker of one frame.
    fn read_marker(&self, frame: u64) -> Result<()> {
        let mut head = [0; 8];
        let head = &mut head[..self.marker.checked()];
        self.file.read(self.offset(frame), head)?;
        self.check_marker(frame, head)
    }

    /// Pixels are decoded from a small buffer, many frames or a part of one at a time.
    fn read_decoded(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(SCRATCH, 0);
            let (head, step) = (self.marker.before(), self.step());
            let target = self.frame_bytes / self.stored.bytes() * self.pixel.bytes();
            if step <= SCRATCH {
                let batch = SCRATCH / step;
                let mut done = 0;
                while done < count {
                    control.check()?;
                    let n = batch.min(count - done);
                    let at = first + done as u64;
                    let source = &mut buffer[..n * step];
                    self.file.read(self.offset(at), source)?;
                    for (i, (s, frame)) in source.chunks_exact(step).zip(at..).enumerate() {
                        let pixels = &s[head..head + self.frame_bytes];
                        self.check_marker(frame, &s[..self.marker.checked()])?;
                        let place = &mut out[(done + i) * stride..][..target];
                        self.stored
                            .decode(self.pixel, pixels, place)
                            .map_err(|o| self.overflow(frame, 0, o))?;
                    }
                    done += n;
                }
                return Ok(());
            }
            for (i, frame) in (first..).take(count).enumerate() {
                self.read_marker(frame)?;
                let pixels = SCRATCH / self.stored.bytes();
                let place = &mut out[i * stride..][..target];
                for (j, part) in place.chunks_mut(pixels * self.pixel.bytes()).enumerate() {
                    control.check()?;
                    let source = &mut buffer[..part.len() / self.pixel.bytes() * self.stored.bytes()];
                    self.file.read(self.offset(frame) + (head + j * SCRATCH) as u64, source)?;
                    self.stored
                        .decode(self.pixel, source, part)
                        .map_err(|o| self.overflow(frame, j * pixels, o))?;
                }
            }
            Ok(())
        })
    }
}

impl Stored for Flat {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        if self.stored.is_plain(self.pixel) {
            self.read_plain(first, count, stride, out, control)
        } else {
            self.read_decoded(first, count, stride, out, control)
        }
    }
    fn prefetch(&self, frames: Range<u64>) {
        let start = self.offset(frames.start);
        self.file.will_need(start, (self.offset(frames.end) - start).min(AHEAD));
    }
}

/// The error for a 64-bit value that the delivered type cannot hold; `index` counts pixels of the frame.
pub(crate) fn overflow(
    path: &std::path::Path,
    frame: u64,
    index: usize,
    width: usize,
    value: &str,
    pixel: Pixel,
    hint: &str,
) -> Error {
    let place = format!("frame {frame}, pixel ({}, {})", index / width, index % width);
    Error::format(path, place, format!("the value {value} does not fit {pixel}: {hint}"))
}
