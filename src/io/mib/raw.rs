//! Raw frames of Medipix chips (`R64`): words of 64 bits in big-endian order, of which the last pixel comes first.
//!
//! Turned around as a whole, a word holds its pixels in order: 64 of one bit, 8 of one byte, 4 of two bytes (12 bits used). 24 bits are two
//! images of 12 bits, the higher half first. Four chips in a square deliver each row of words for chips 4, 3, 2, 1; the lower two
//! (3 and 4) are turned by 180°.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::dtype::{Kind, Stored as StoredType};
use crate::io::flat::overflow;
use crate::io::readat::ReadAt;
use crate::io::stack::Stored;
use crate::pixel::Pixel;
use std::cell::RefCell;

thread_local! {
    static BUFFERS: RefCell<[Vec<u8>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Most bytes that a thread keeps between frames in each buffer.
const KEEP: usize = 16 << 20;

/// The type in which raw pixels are decoded.
pub(super) fn kind(bits: u32) -> Kind {
    match bits {
        1 | 6 => Kind::U8,
        12 => Kind::U16,
        _ => Kind::U32,
    }
}

/// Raw frames of one file.
pub(super) struct RawFrames {
    pub file: ReadAt,
    /// Bytes of the text before each frame.
    pub header: usize,
    pub frame_bytes: usize,
    pub sig: [usize; 2],
    pub bits: u32,
    pub quad: bool,
    pub pixel: Pixel,
}

/// Turns words around; what is left are little-endian pixels in order.
fn turn(words: &mut [u8]) {
    words.as_chunks_mut::<8>().0.iter_mut().for_each(|w| w.reverse());
}

/// Pixels in the order of the file, native-endian, of `kind(bits)`.
fn unpack(bits: u32, words: &[u8], out: &mut [u8]) {
    match bits {
        1 => {
            for (byte, pixels) in words.iter().zip(out.as_chunks_mut::<8>().0) {
                *pixels = std::array::from_fn(|i| byte >> i & 1);
            }
        }
        6 => out.copy_from_slice(words),
        12 => {
            for (v, o) in words.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0) {
                *o = u16::from_le_bytes(*v).to_ne_bytes();
            }
        }
        _ => {
            let (high, low) = words.split_at(words.len() / 2);
            let halves = high.as_chunks::<2>().0.iter().zip(low.as_chunks::<2>().0);
            for ((h, l), o) in halves.zip(out.as_chunks_mut::<4>().0) {
                let value = (u32::from(u16::from_le_bytes(*h)) << 12) + u32::from(u16::from_le_bytes(*l));
                *o = value.to_ne_bytes();
            }
        }
    }
}

/// Puts rows of four chips to their places; `size` bytes a pixel, `edge` rows and columns of a chip.
fn assemble(size: usize, edge: usize, rows: &[u8], out: &mut [u8]) {
    let line = edge * size;
    let copy = |from: &[u8], to: &mut [u8]| to.copy_from_slice(from);
    let turned = |from: &[u8], to: &mut [u8]| {
        from.chunks_exact(size)
            .zip(to.chunks_exact_mut(size).rev())
            .for_each(|(a, b)| b.copy_from_slice(a));
    };
    for (y, row) in rows.chunks_exact(4 * line).enumerate() {
        let chip = |i: usize| &row[i * line..(i + 1) * line];
        let upper = &mut out[2 * y * line..][..2 * line];
        copy(chip(3), &mut upper[..line]);
        copy(chip(2), &mut upper[line..]);
        let lower = &mut out[2 * (2 * edge - 1 - y) * line..][..2 * line];
        turned(chip(1), &mut lower[..line]);
        turned(chip(0), &mut lower[line..]);
    }
}

impl RawFrames {
    fn one(&self, frame: u64, out: &mut [u8], [words, pixels, placed]: &mut [Vec<u8>; 3]) -> Result<()> {
        let step = (self.header + self.frame_bytes) as u64;
        let at = frame * step;
        let mut head = [0; 4];
        self.file.read(at, &mut head)?;
        if &head != b"MQ1," {
            let what = "the frame's header does not begin with MQ1";
            return Err(Error::format(self.file.path(), format!("frame {frame}, byte {at}"), what));
        }
        let stored = StoredType::native(kind(self.bits));
        let count = self.sig[0] * self.sig[1];
        words.resize(self.frame_bytes, 0);
        pixels.resize(count * stored.bytes(), 0);
        self.file.read(at + self.header as u64, words)?;
        turn(words);
        unpack(self.bits, words, pixels);
        let mut decoded: &[u8] = pixels;
        if self.quad {
            placed.resize(pixels.len(), 0);
            assemble(stored.bytes(), self.sig[0] / 2, pixels, placed);
            decoded = placed;
        }
        stored.decode(self.pixel, decoded, out).map_err(|o| {
            let hint = "--dtype f32 reads such values rounded";
            overflow(self.file.path(), frame, o.index, self.sig[1], &o.value, self.pixel, hint)
        })
    }
}

impl Stored for RawFrames {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let target = self.sig[0] * self.sig[1] * self.pixel.bytes();
        BUFFERS.with_borrow_mut(|buffers| {
            for (frame, out) in (first..).zip(out.chunks_mut(stride)).take(count) {
                control.check()?;
                self.one(frame, &mut out[..target], buffers)?;
            }
            buffers.iter_mut().filter(|b| b.len() > KEEP).for_each(|b| *b = Vec::new());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_turned_and_unpacked() {
        let mut words = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0x80];
        turn(&mut words);
        let mut bits = [9; 64];
        unpack(1, &words, &mut bits);
        assert_eq!(bits[..12], [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1]);
        let mut values = [0; 8];
        unpack(12, &words, &mut values);
        assert_eq!(values[..4], [0xcd80u16.to_ne_bytes(), 0x89abu16.to_ne_bytes()].concat());
        let mut value = [0; 4];
        unpack(24, &[0x02, 0x01, 0x03, 0x00], &mut value);
        assert_eq!(u32::from_ne_bytes(value), 0x0010_2003);
    }

    #[test]
    fn four_chips_make_a_square() {
        // Rows of words: chips 4, 3, 2, 1; two rows of two columns each.
        let rows = [40, 41, 30, 31, 20, 21, 10, 11, 42, 43, 32, 33, 22, 23, 12, 13];
        let mut out = [0; 16];
        assemble(1, 2, &rows, &mut out);
        assert_eq!(out, [10, 11, 20, 21, 12, 13, 22, 23, 33, 32, 43, 42, 31, 30, 41, 40]);
    }
}
