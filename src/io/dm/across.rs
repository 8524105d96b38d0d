//! Files in which the scan runs fastest: the values of one detector pixel at all positions lie together.

use crate::control::Control;
use crate::error::Result;
use crate::io::dtype::Stored as StoredType;
use crate::io::flat::overflow;
use crate::io::limits::Sizes;
use crate::io::readat::ReadAt;
use crate::io::stack::Stored;
use crate::pixel::Pixel;

/// Bytes that are read at once where pixels lie close together.
const PIECE: u64 = 1 << 20;

/// Frames gathered pixel by pixel.
pub(super) struct Across {
    file: ReadAt,
    start: u64,
    frames: u64,
    pixels: u64,
    width: usize,
    stored: StoredType,
    pixel: Pixel,
}

impl Across {
    pub fn new(file: ReadAt, start: u64, sizes: &Sizes, stored: StoredType, pixel: Pixel) -> Self {
        Across {
            file,
            start,
            frames: sizes.frames,
            pixels: sizes.sig[0] as u64 * sizes.sig[1] as u64,
            width: sizes.sig[1],
            stored,
            pixel,
        }
    }
}

impl Stored for Across {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        let (from, to) = (self.stored.bytes(), self.pixel.bytes());
        // A row of positions; whole rows of several pixels where most of them are wanted or rows are short.
        let row = self.frames * from as u64;
        let wanted = (count * from) as u64;
        let together = if wanted * 8 >= row || row <= 4096 {
            (PIECE / row).clamp(1, self.pixels)
        } else {
            1
        };
        let whole = together > 1;
        let mut raw = vec![0; if whole { (together * row) as usize } else { wanted as usize }];
        let mut decoded = vec![0; count * to];
        for pixel in (0..self.pixels).step_by(together as usize) {
            control.check()?;
            let n = together.min(self.pixels - pixel);
            let at = self.start + pixel * row;
            let (begin, step) = if whole {
                self.file.read(at, &mut raw[..(n * row) as usize])?;
                (first as usize * from, row as usize)
            } else {
                self.file.read(at + first * from as u64, &mut raw)?;
                (0, raw.len())
            };
            for p in 0..n as usize {
                let source = &raw[p * step + begin..][..count * from];
                let index = pixel as usize + p;
                self.stored.decode(self.pixel, source, &mut decoded).map_err(|o| {
                    let hint = "--dtype f32 reads such values rounded";
                    let frame = first + o.index as u64;
                    overflow(self.file.path(), frame, index, self.width, &o.value, self.pixel, hint)
                })?;
                for (value, frame) in decoded.chunks_exact(to).zip(out.chunks_mut(stride)) {
                    frame[index * to..][..to].copy_from_slice(value);
                }
            }
        }
        Ok(())
    }
}
