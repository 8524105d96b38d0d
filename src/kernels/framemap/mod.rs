//! One frame in, one float32 frame out: binning, then an optional log scale ln(f − min f + 1).
//!
//! Binning sums blocks of `bin`×`bin` pixels in float32 (each row of a block in ascending x, then these row sums in
//! ascending y), dropping incomplete blocks at the far edges.

pub mod cpu;
pub mod gpu;

use crate::error::{Error, Result};

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
}

/// The mapped frames of some consecutive frames, each of `height·width` values of the output in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub first: u64,
    pub count: usize,
    pub values: Vec<f32>,
}
