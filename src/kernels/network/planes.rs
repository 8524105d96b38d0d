//! Activations on the CPU.

use crate::backend::cpu::lanes::{LANES, Lanes};

/// Zeros to the left and right of every row: loads of whole vectors may begin [`SIDE`] pixels early and end as many late.
pub(super) const SIDE: usize = LANES;

/// An image of several channels as rows of channels: row y holds `channels` stretches of `pitch` numbers, one for each channel, each with
/// [`SIDE`] zeros, the pixels, and zeros up to the pitch; where there are none, the zeros of the next stretch serve. `margin` rows of zeros lie above, and below,
/// and [`SIDE`] zeros at the end.
#[derive(Debug, Default)]
pub(super) struct Planes {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pitch: usize,
    pub margin: usize,
    /// Whole vectors, so that pixels begin at a line of the cache.
    data: Vec<Lanes>,
}

impl Planes {
    /// Numbers from one channel of a row to the next. Upsampling writes pairs of vectors: behind other widths they need room.
    pub fn pitch_of(width: usize) -> usize {
        match width.is_multiple_of(2 * LANES) {
            true => width + SIDE,
            false => width.next_multiple_of(LANES) + 2 * SIDE,
        }
    }
    /// Numbers that an image takes.
    pub fn size_of(height: usize, width: usize, channels: usize, margin: usize) -> usize {
        (height + 2 * margin) * channels * Self::pitch_of(width) + SIDE
    }
    /// Takes on a shape; margins are zero, rows hold anything until they are written and closed ([`close`]). Memory is reused.
    pub fn shape(&mut self, height: usize, width: usize, channels: usize, margin: usize) {
        let size = Self::size_of(height, width, channels, margin);
        if self.data.len() < size / LANES {
            self.data.resize(size / LANES, Lanes::ZERO);
        }
        (self.height, self.width, self.channels, self.margin) = (height, width, channels, margin);
        self.pitch = Self::pitch_of(width);
        let row = self.row();
        let data = bytemuck::cast_slice_mut::<_, f32>(&mut self.data);
        data[..margin * row].fill(0.0);
        data[(margin + height) * row..size].fill(0.0);
    }
    /// All numbers, margins included.
    pub fn data(&self) -> &[f32] {
        bytemuck::cast_slice(&self.data)
    }
    /// Numbers of one row.
    pub fn row(&self) -> usize {
        self.channels * self.pitch
    }
    /// The pixels' rows without margins.
    pub fn rows_mut(&mut self) -> &mut [f32] {
        let (row, margin) = (self.row(), self.margin);
        let end = (margin + self.height) * row;
        &mut bytemuck::cast_slice_mut::<_, f32>(&mut self.data)[margin * row..end]
    }
    /// Pixels of one channel of one row.
    pub fn pixels(&self, y: usize, channel: usize) -> &[f32] {
        let at = (y + self.margin) * self.row() + channel * self.pitch + SIDE;
        &self.data()[at..at + self.width]
    }
}

/// Sets everything beside the pixels of a row to zero, also what whole vectors have written behind them.
#[inline]
pub(super) fn close(row: &mut [f32], pitch: usize, width: usize) {
    for channel in row.chunks_exact_mut(pitch) {
        channel[..SIDE].fill(0.0);
        let rest = &mut channel[SIDE + width..];
        if !rest.is_empty() {
            rest.fill(0.0);
        }
    }
}
