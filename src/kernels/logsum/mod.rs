//! Sum over frames of ln(f − min f + 1), the minimum taken over each frame; one sum per label.
//!
//! Inside a leaf: frames are grouped by their place in the leaf (`GROUP` consecutive places), the shifted
//! pixels of a group with the same label are multiplied in float32 (exact order: ascending frame) and one
//! natural logarithm is taken per group; the logs of a leaf add up in float32 in group order. Leaves merge in
//! float64. Groups of 8 (8-bit), 4 (16-bit) and 1 (32-bit, f32) keep the product below 2^127. Differences
//! f − min are formed in the pixel's own integer width, so inputs to the product are equal on all backends.

pub mod cpu;
pub mod gpu;

use crate::backend::cpu::ln;
use crate::backend::stage::{Merge, Work};
use crate::pixel::{FrameShape, Pixel};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Frames multiplied before one logarithm.
pub const fn group(pixel: Pixel) -> usize {
    match pixel {
        Pixel::U8 | Pixel::I8 => 8,
        Pixel::U16 | Pixel::I16 => 4,
        Pixel::U32 | Pixel::I32 | Pixel::F32 => 1,
    }
}

/// Work on one frame. For each pixel: a comparison as wide as the pixel for the frame's minimum; difference, addition of 1 and product; a
/// logarithm and an addition for each group of frames.
pub fn work(shape: FrameShape) -> Work {
    let (pixels, width) = (shape.pixels() as u64, shape.pixel.bytes() as u64);
    Work {
        read: shape.bytes() as u64,
        written: 0,
        operations: pixels * width / 4 + 3 * pixels + pixels * (ln::OPERATIONS + 1) / group(shape.pixel) as u64,
    }
}

/// Which sum each frame goes to.
#[derive(Debug, Clone)]
pub struct Params {
    /// Label of each selected frame, by its number in the selection; negative: in no sum. `None`: all in sum 0.
    pub labels: Option<Arc<[i32]>>,
}

impl Params {
    /// The label of selected frame `n`; −1 where there is none.
    pub fn label(&self, n: u64) -> i32 {
        match &self.labels {
            None => 0,
            Some(l) => l.get(n as usize).copied().unwrap_or(-1),
        }
    }
}

/// For each label that occurs: frames, and the log-sum of each pixel in C order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    pub sums: BTreeMap<i32, LabelSum>,
}

/// Log-sum of the frames of one label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSum {
    pub frames: u64,
    pub values: Vec<f64>,
}

impl Merge for Part {
    fn merge(&mut self, right: Part) {
        for (label, r) in right.sums {
            match self.sums.get_mut(&label) {
                None => {
                    self.sums.insert(label, r);
                }
                Some(l) => {
                    l.frames += r.frames;
                    l.values.iter_mut().zip(r.values).for_each(|(a, b)| *a += b);
                }
            }
        }
    }
}
