//! One frame in, one float32 frame out: binning, then an optional log scale ln(f − min f + 1).
//!
//! Binning sums blocks of `bin`×`bin` pixels in float32 (each row of a block in ascending x, then these row sums in
//! ascending y), dropping incomplete blocks at the far edges. 32-bit
//! integers are rounded to float32 before, so counts above 2^24 lose their last bits.

pub mod cpu;
pub mod gpu;

use crate::backend::cpu::ln;
use crate::backend::stage::Work;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;

/// What is done with each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Edge of the blocks of pixels that are summed; 1 leaves the frame as it is.
    pub bin: usize,
    /// ln(f − min f + 1) of the binned frame.
    pub log: bool,
}

impl Params {
    /// Rows and columns of the output.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `bin` is 0 or larger than the frame.
    pub fn output(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        if self.bin == 0 || self.bin > height.min(width) {
            return Err(Error::parameter(
                "--bin",
                format!("{} does not fit frames of {height}×{width}", self.bin),
            ));
        }
        Ok((height / self.bin, width / self.bin))
    }

    /// Work on one frame: an addition for each pixel that is binned; comparison, difference, addition and logarithm for each pixel
    /// of the output.
    ///
    /// # Errors
    /// As [`Params::output`].
    pub fn work(&self, shape: FrameShape) -> Result<Work> {
        let (h, w) = self.output(shape.height, shape.width)?;
        let out = (h * w) as u64;
        let binned = if self.bin > 1 { out * (self.bin * self.bin) as u64 } else { 0 };
        Ok(Work {
            read: shape.bytes() as u64,
            written: 4 * out,
            operations: binned + if self.log { out * (ln::OPERATIONS + 3) } else { 0 },
        })
    }
}

/// The mapped frames of some consecutive frames, each of `height·width` values of the output in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub first: u64,
    pub count: usize,
    pub values: Vec<f32>,
}
