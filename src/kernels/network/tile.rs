//! The inner loops of convolution on the CPU: vectors along the width, several rows and output channels in registers.
//!
//! A tile of R rows × 16 columns × C output channels is summed over input channels, columns and rows of the kernel, in this order, with fused
//! multiply-adds; every sum begins with the bias. So an output has the same bits whatever tile it falls into, on every instruction set
//! (without fused multiply-adds they are put together from several). Tiles are as large as registers allow: 2 × 10 channels with 32
//! registers, half the channels with 16.

use super::plan::Filter;
use crate::backend::cpu::lanes::{LANES, Register, Vector, per_vector};

/// Most rows of a tile: as many rows beyond the image may be read.
pub(super) const ROWS: usize = 8;
/// Most output channels of a tile.
pub(super) const CHANNELS: usize = 10;
/// Sums of a tile, for each row and channel sixteen columns.
pub(super) type Sums = [[[f32; LANES]; CHANNELS]; ROWS];

/// Where a tile's input begins: below its first output pixel, input channel 0.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub data: &'a [f32],
    pub at: usize,
    /// From one channel to the next, and from one row to the next.
    pub pitch: usize,
    pub row: usize,
}

/// Rows of the tile of a block of `channels` output channels: the same for every instruction set, so that rows are cut alike.
pub(super) const fn rows_of(channels: usize) -> usize {
    match channels {
        10 | 8 => 2,
        5 | 4 => 4,
        _ => 8,
    }
}

per_vector! {
    /// Sums of one tile: block number `block` of `filter` at `source`, [`rows_of`] rows. Sums of further rows and channels are left alone.
    pub(super) fn sums = sums_body(filter: &Filter, block: usize, bias: &[f32], source: Source<'_>, out: &mut Sums)
}

#[inline(always)]
fn sums_body<V: Vector>(filter: &Filter, block: usize, bias: &[f32], source: Source<'_>, out: &mut Sums) {
    match filter.taps {
        1 => by_block::<V, 1>(filter, block, bias, source, out),
        2 => by_block::<V, 2>(filter, block, bias, source, out),
        3 => by_block::<V, 3>(filter, block, bias, source, out),
        _ => by_block::<V, 0>(filter, block, bias, source, out),
    }
}

/// Tiles for registers: `K` taps, or any number for 0.
#[inline(always)]
fn by_block<V: Vector, const K: usize>(filter: &Filter, block: usize, bias: &[f32], source: Source<'_>, out: &mut Sums) {
    let b = filter.blocks[block];
    let taps = if K > 0 { K } else { filter.taps };
    let weights = &filter.weights[b.at..b.at + filter.inputs * taps * taps * b.channels];
    let bias = &bias[b.first..b.first + b.channels];
    // Before the last input that any tile of this block reads, and behind the first, all accesses below lie.
    let ahead = filter.ahead.iter().map(|[y, x]| y * source.row + x);
    let (least, most) = ahead.fold((usize::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
    let last = source.at + (filter.inputs - 1) * source.pitch + (rows_of(b.channels) + taps - 2) * source.row + taps - 1 + LANES;
    assert!(
        least <= most && most <= source.at && last - least <= source.data.len(),
        "a tile beyond the image"
    );
    let job = Tile {
        weights,
        bias,
        source,
        ahead: &filter.ahead,
        inputs: filter.inputs / filter.ahead.len().max(1),
        taps,
    };
    let many = V::PARTS == 1;
    macro_rules! cover {
        ($rows:literal, $channels:literal, $of:literal) => {
            for row in (0..rows_of($of)).step_by($rows) {
                for channel in (0..$of).step_by($channels) {
                    job.run::<V, K, $rows, $channels, $of>(row, channel, out);
                }
            }
        };
    }
    match (b.channels, many) {
        (10, true) => cover!(2, 10, 10),
        (10, false) => cover!(2, 5, 10),
        (8, true) => cover!(2, 8, 8),
        (8, false) => cover!(2, 4, 8),
        (5, true) => cover!(4, 5, 5),
        (5, false) => cover!(2, 5, 5),
        (4, true) => cover!(4, 4, 4),
        (4, false) => cover!(2, 4, 4),
        (2, true) => cover!(8, 2, 2),
        (2, false) => cover!(4, 2, 2),
        (_, true) => cover!(8, 1, 1),
        (_, false) => cover!(8, 1, 1),
    }
}

struct Tile<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
    source: Source<'a>,
    /// Of each group of inputs.
    ahead: &'a [[usize; 2]],
    /// Of a group.
    inputs: usize,
    taps: usize,
}

impl Tile<'_> {
    /// Rows from `row` on and channels from `channel` on of a block of `B` channels.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // sums[r][c]: the rows lie in the outer array, channels run in the outer loop.
    fn run<V: Vector, const K: usize, const R: usize, const C: usize, const B: usize>(
        &self,
        row: usize,
        channel: usize,
        out: &mut Sums,
    ) {
        let taps = if K > 0 { K } else { self.taps };
        let lanes = LANES / V::PARTS;
        let s = self.source;
        for part in 0..V::PARTS {
            let mut sums = [[V::Register::all(0.0); C]; R];
            for sums in &mut sums {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = V::Register::all(self.bias[channel + c]);
                }
            }
            // SAFETY: `by_block` has checked the last number that is read of the image; weights have inputs · taps² · B numbers and
            // channel + C ≤ B.
            unsafe {
                let mut weights = self.weights.as_ptr().add(channel);
                let mut group = s.data.as_ptr().add(s.at + row * s.row + part * lanes);
                for [rows, columns] in self.ahead {
                    let mut from = group.wrapping_sub(rows * s.row + columns);
                    for _ in 0..self.inputs {
                        for column in 0..taps {
                            for tap in 0..taps {
                                let mut pixels = [V::Register::all(0.0); R];
                                for (r, pixels) in pixels.iter_mut().enumerate() {
                                    *pixels = V::Register::load_from(from.add((r + tap) * s.row + column));
                                }
                                for c in 0..C {
                                    let weight = V::Register::all(*weights.add(c));
                                    for r in 0..R {
                                        sums[r][c] = pixels[r].fused(weight, sums[r][c]);
                                    }
                                }
                                weights = weights.add(B);
                            }
                        }
                        from = from.wrapping_add(s.pitch);
                    }
                    group = group.wrapping_add(self.inputs * s.pitch);
                }
            }
            for (sums, out) in sums.iter().zip(&mut out[row..row + R]) {
                for (sum, out) in sums.iter().zip(&mut out[channel..channel + C]) {
                    // SAFETY: lanes of this part lie inside the sixteen.
                    unsafe { sum.store_to(out.as_mut_ptr().add(part * lanes)) };
                }
            }
        }
    }
}
