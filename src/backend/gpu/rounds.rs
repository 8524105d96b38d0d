//! Kernels with an output per frame: a block is done in rounds, so that neither the output buffer nor the time of a
//! dispatch grows with the block.

use super::Gpu;
use crate::error::{Error, Result};
use std::borrow::Cow;

/// Multiply-adds of one dispatch: 0.1 s on a device that does 10 billion a second, which is a slow one.
const WORK: u64 = 1 << 30;

/// Frames of one round.
pub(crate) struct Rounds {
    frames: usize,
    per_frame: u64,
}

impl Rounds {
    /// `per_frame` bytes of output and `work` multiply-adds for each frame.
    pub fn new(gpu: &Gpu, per_frame: u64, work: u64) -> Rounds {
        let frames = (gpu.output_bytes() / per_frame.max(1))
            .min(WORK / work.max(1))
            .clamp(1, 1 << 20);
        Rounds {
            frames: frames as usize,
            per_frame,
        }
    }
    /// Most frames of a round.
    pub fn frames(&self) -> usize {
        self.frames
    }
    /// Size of the output buffer.
    pub fn bytes(&self) -> u64 {
        self.frames as u64 * self.per_frame
    }
    /// First frame and number of frames of each round of a block.
    pub fn of(&self, count: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let frames = self.frames;
        (0..count).step_by(frames).map(move |from| (from, (count - from).min(frames)))
    }
}

/// All reads of a block, one after another, as float32.
///
/// # Errors
/// [`Error::Internal`] unless there are `expected` values.
pub(crate) fn floats_of(kernel: &str, reads: &[&[u8]], expected: usize) -> Result<Vec<f32>> {
    let mut values = Vec::with_capacity(expected);
    for read in reads {
        values.extend(words_of(read).iter().map(|&b| f32::from_bits(b)));
    }
    match values.len() == expected {
        true => Ok(values),
        false => Err(Error::Internal(format!(
            "{kernel}: {} values came back, expected {expected}",
            values.len()
        ))),
    }
}

/// The words of a read, copied only when they are not aligned.
pub(crate) fn words_of(bytes: &[u8]) -> Cow<'_, [u32]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(words) => Cow::Borrowed(words),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&bytes[..bytes.len() / 4 * 4])),
    }
}
