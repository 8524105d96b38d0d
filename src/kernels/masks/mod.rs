//! Products of every frame with a stack of masks: one number per frame and mask.
//!
//! Pixels are converted to float32 and summed in float32 in an order that depends on the mask alone.
//! Tolerance against float64: 1e-5 of Σ|mask|·|counts| (measured far below; see the parity test).

pub mod cpu;
pub mod gpu;

use crate::backend::stage::Work;
pub use crate::mask::MaskStack;
use crate::pixel::FrameShape;

impl MaskStack {
    /// Work on one frame: a multiply-add for each pixel that a mask touches; one float32 for each mask is written.
    pub fn work(&self, shape: FrameShape) -> Work {
        Work {
            read: shape.bytes() as u64,
            written: 4 * self.len() as u64,
            operations: 2 * self.touched(shape.height, shape.width),
        }
    }
}

/// The products of some consecutive frames, `frames × masks` in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number of the first frame in the selection.
    pub first: u64,
    pub values: Vec<f32>,
}
