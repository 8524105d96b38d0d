//! Counted electrons as pixels of a frame.

use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel};
use crate::rng::{Poisson, Source};

/// Draws a count for every pixel of frame `n` from its expectation and writes it to `out` as native-endian pixels: cut off at the
/// end of 8 and 16 bits, as float32 with `added` (of the pixel's number) on top.
///
/// # Errors
/// [`Error::Internal`] if `out` is not one frame long.
pub(super) fn put_counts(
    (poisson, source): (&Poisson, &Source),
    n: u64,
    frame: FrameShape,
    expectation: &[f32],
    out: &mut [u8],
    mut added: impl FnMut(usize) -> f64,
) -> Result<()> {
    if out.len() != frame.bytes() {
        return Err(Error::Internal(format!("frame {n} into {} bytes", out.len())));
    }
    match frame.pixel {
        Pixel::U8 => poisson.fill(source, n, 0, expectation, |i, k| out[i] = k.min(255) as u8),
        Pixel::U16 => {
            let (pixels, _) = out.as_chunks_mut::<2>();
            poisson.fill(source, n, 0, expectation, |i, k| {
                pixels[i] = (k.min(65_535) as u16).to_ne_bytes();
            });
        }
        _ => {
            let (pixels, _) = out.as_chunks_mut::<4>();
            poisson.fill(source, n, 0, expectation, |i, k| {
                pixels[i] = ((k as f64 + added(i)) as f32).to_ne_bytes();
            });
        }
    }
    Ok(())
}
