//! Frames that lie one after the other in a file, each behind an optional marker: raw, `.npy`, `.blo` and contiguous HDF5.

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

/// What stands before each frame: checked while reading, so that a shifted or damaged file does not pass for data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Marker {
    None,
    /// A `.blo` marker: bytes AA 55 and the frame's number from `base` on, or without numbering.
    Blo {
        base: Option<u32>,
    },
}

impl Marker {
    pub const fn bytes(self) -> usize {
        match self {
            Marker::None => 0,
            Marker::Blo { .. } => 6,
        }
    }
    /// What is wrong with the marker of `frame`, if anything.
    fn fault(self, frame: u64, head: &[u8]) -> Option<String> {
        match (self, head) {
            (Marker::None, _) => None,
            (Marker::Blo { base }, &[a, b, n0, n1, n2, n3]) => {
                if [a, b] != [0xAA, 0x55] {
                    return Some(format!("the frame's marker should be AA 55 and is {a:02X} {b:02X}"));
                }
                let number = u32::from_le_bytes([n0, n1, n2, n3]);
                let want = u64::from(base?) + frame;
                (u64::from(number) != want).then(|| format!("the frame's number should be {want} and is {number}"))
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
        self.marker.bytes() + self.frame_bytes
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
        let (head, bytes) = (self.marker.bytes(), self.frame_bytes);
        if head == 0 && (stride == bytes || count == 1) {
            for (i, piece) in out[..count * bytes].chunks_mut(PIECE).enumerate() {
                control.check()?;
                self.file.read(self.offset(first) + (i * PIECE) as u64, piece)?;
            }
            return Ok(());
        }
        let batch = (PIECE / self.step()).clamp(1, SCATTER);
        let mut heads = vec![0; head * batch.min(count)];
        let mut frame = first;
        for block in out.chunks_mut(batch * stride) {
            control.check()?;
            let n = block.len().div_ceil(stride);
            let mut pieces: Vec<&mut [u8]> = Vec::with_capacity(2 * n);
            if head == 0 {
                pieces.extend(block.chunks_mut(stride).map(|b| &mut b[..bytes]));
            } else {
                for (h, b) in heads.chunks_exact_mut(head).zip(block.chunks_mut(stride)) {
                    pieces.push(h);
                    pieces.push(&mut b[..bytes]);
                }
            }
            self.file.read_scattered(self.offset(frame), &mut pieces)?;
            if head > 0 {
                for (h, f) in heads.chunks_exact(head).take(n).zip(frame..) {
                    self.check_marker(f, h)?;
                }
            }
            frame += n as u64;
        }
        Ok(())
    }

    /// Pixels are decoded from a small buffer, many frames or a part of one at a time.
    fn read_decoded(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(SCRATCH, 0);
            let (head, step) = (self.marker.bytes(), self.step());
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
                        let (h, pixels) = s.split_at(head);
                        self.check_marker(frame, h)?;
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
                let mut h = [0; 8];
                self.file.read(self.offset(frame), &mut h[..head])?;
                self.check_marker(frame, &h[..head])?;
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
