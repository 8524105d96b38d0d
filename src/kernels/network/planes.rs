//! Activations on the CPU.

use crate::backend::cpu::lanes::LANES;

/// Zeros to the left and right of every row: loads of whole vectors may begin [`SIDE`] pixels early and end as many late.
pub(super) const SIDE: usize = LANES;

/// An image of several channels as rows of channels: row y holds `channels` stretches of `pitch` numbers, one for each channel, each with
/// [`SIDE`] zeros, the pixels, and zeros up to the pitch. `margin` rows of zeros lie above, and below.
#[derive(Debug, Default)]
pub(super) struct Planes {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pitch: usize,
    pub margin: usize,
    pub data: Vec<f32>,
}

impl Planes {
    /// Numbers from one channel of a row to the next.
    pub fn pitch_of(width: usize) -> usize {
        width.next_multiple_of(LANES) + 2 * SIDE
    }
    /// Numbers that an image takes.
    pub fn size_of(height: usize, width: usize, channels: usize, margin: usize) -> usize {
        (height + 2 * margin) * channels * Self::pitch_of(width)
    }
    /// Takes on a shape; margins are zero, rows hold anything until they are written and closed ([`close`]). Memory is reused.
    pub fn shape(&mut self, height: usize, width: usize, channels: usize, margin: usize) {
        self.data.resize(Self::size_of(height, width, channels, margin), 0.0);
        (self.height, self.width, self.channels, self.margin) = (height, width, channels, margin);
        self.pitch = Self::pitch_of(width);
        let zeros = margin * self.row();
        let end = self.data.len() - zeros;
        self.data[..zeros].fill(0.0);
        self.data[end..].fill(0.0);
    }
    /// Numbers of one row.
    pub fn row(&self) -> usize {
        self.channels * self.pitch
    }
    /// The pixels' rows without margins.
    pub fn rows_mut(&mut self) -> &mut [f32] {
        let (row, margin) = (self.row(), self.margin);
        let end = self.data.len() - margin * row;
        &mut self.data[margin * row..end]
    }
    /// Pixels of one channel of one row.
    pub fn pixels(&self, y: usize, channel: usize) -> &[f32] {
        let at = (y + self.margin) * self.row() + channel * self.pitch + SIDE;
        &self.data[at..at + self.width]
    }
}

/// Sets everything beside the pixels of a row to zero, also what whole vectors have written behind them.
#[inline]
pub(super) fn close(row: &mut [f32], pitch: usize, width: usize) {
    for channel in row.chunks_exact_mut(pitch) {
        channel[..SIDE].fill(0.0);
        channel[SIDE + width..].fill(0.0);
    }
}
