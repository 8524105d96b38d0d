//! CPU path: task after task over the whole image, rows in parallel where asked for.

use super::Activation;
use super::exp::exp;
use super::plan::{Filter, Plan, Step, Task};
use super::planes::{Planes, SIDE, close};
use super::tile::{CHANNELS, ROWS, Source, Sums, rows_of, sums};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::LANES;
use crate::error::{Error, Result};
use rayon::prelude::*;

/// Working memory for one image at a time; made once, used for many.
pub struct Runner {
    isa: Isa,
    from: Planes,
    to: Planes,
    probabilities: bool,
}

impl Default for Runner {
    fn default() -> Self {
        Runner::new(Isa::active())
    }
}

impl Runner {
    /// Results have the same bits for every `isa`.
    pub fn new(isa: Isa) -> Self {
        Runner {
            isa,
            from: Planes::default(),
            to: Planes::default(),
            probabilities: true,
        }
    }
    /// What comes before the softmax or sigmoid at the end instead of probabilities.
    pub fn logits(mut self) -> Self {
        self.probabilities = false;
        self
    }

    /// Bytes of memory for an image of this size.
    pub fn bytes(plan: &Plan, height: usize, width: usize) -> u64 {
        let sizes = plan.sizes(height, width);
        let all = sizes.iter().enumerate();
        let bytes: Vec<u64> = all
            .map(|(i, &(h, w, c))| 4 * Planes::size_of(h, w, c, plan.margin(i)) as u64)
            .collect();
        bytes.windows(2).map(|pair| pair[0] + pair[1]).max().unwrap_or(0)
    }

    /// Runs the network on one image. `image` and `out` are rows of channels: (height, channels, width) in C order. With `parallel`,
    /// rows are shared among the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Internal`] for buffers of other sizes, or sides that are no multiples of [`crate::network::Network::multiple`].
    pub fn run(&mut self, plan: &Plan, image: &[f32], size: [usize; 2], out: &mut [f32], parallel: bool) -> Result<()> {
        let ([height, width], network) = (size, plan.network());
        let (inputs, classes, multiple) = (network.inputs(), network.classes(), network.multiple());
        let fits = height % multiple == 0 && width % multiple == 0 && height > 0 && width > 0;
        if !fits || image.len() != height * width * inputs || out.len() != height * width * classes {
            return Err(Error::Internal(format!(
                "a network of {classes} classes on {height} × {width} pixels"
            )));
        }
        let sizes = plan.sizes(height, width);
        self.from.shape(height, width, inputs, plan.margin(0));
        let (row, pitch) = (self.from.row(), self.from.pitch);
        let rows = self
            .from
            .rows_mut()
            .chunks_exact_mut(row)
            .zip(image.chunks_exact(inputs * width));
        for (to, from) in rows {
            for (to, from) in to.chunks_exact_mut(pitch).zip(from.chunks_exact(width)) {
                to[SIDE..SIDE + width].copy_from_slice(from);
            }
            close(to, pitch, width);
        }
        for (i, task) in plan.tasks.iter().enumerate() {
            let (h, w, c) = sizes[i + 1];
            self.to.shape(h, w, c, plan.margin(i + 1));
            let (isa, from, to) = (self.isa, &self.from, &mut self.to);
            let (pitch, row) = (to.pitch, to.row());
            let band = match task {
                Task::Convolve(s) if s.upsample => 2 * ROWS,
                Task::Convolve(s) if s.pool => ROWS / 2,
                _ => ROWS,
            };
            let work = |(n, rows): (usize, &mut [f32])| {
                let y = n * band;
                match task {
                    Task::Convolve(s) if s.upsample => upsampled(isa, s, from, y / 2, rows, pitch),
                    Task::Convolve(s) => {
                        if let Some(whole) = Whole::of(s) {
                            convolved(isa, whole, from, y, rows, pitch);
                        }
                    }
                    Task::Pool => pooled(from, y, rows, pitch, c),
                    Task::Upsample => repeated(from, y, rows, pitch, c),
                    Task::Relu => positive(from, y, rows),
                }
                rows.chunks_exact_mut(row).for_each(|row| close(row, pitch, w));
            };
            if parallel {
                to.rows_mut().par_chunks_mut(band * row).enumerate().for_each(work);
            } else {
                to.rows_mut().chunks_mut(band * row).enumerate().for_each(work);
            }
            std::mem::swap(&mut self.from, &mut self.to);
        }
        let ending = match self.probabilities {
            true => network.ending(),
            false => Activation::Linear,
        };
        let (isa, from) = (self.isa, &self.from);
        let finish = |(y, out): (usize, &mut [f32])| {
            for (c, out) in out.chunks_exact_mut(width).enumerate() {
                out.copy_from_slice(from.pixels(y, c));
            }
            match ending {
                Activation::Softmax => softmax(isa, out, width),
                Activation::Sigmoid => sigmoid(isa, out),
                Activation::Linear | Activation::Relu => {}
            }
        };
        let out = out.chunks_exact_mut(classes * width);
        match parallel {
            true => out.enumerate().par_bridge().for_each(finish),
            false => out.enumerate().for_each(finish),
        }
        Ok(())
    }
}

/// The output pixel at row `y` and column `x` of the image that the taps lie on.
fn source(from: &Planes, y: usize, x: usize) -> Source<'_> {
    Source {
        data: from.data(),
        at: (y + from.margin) * from.row() + SIDE + x,
        pitch: from.pitch,
        row: from.row(),
    }
}

/// A convolution with what follows it, without upsampling.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    pub filter: &'a Filter,
    pub bias: &'a [f32],
    pub relu: bool,
    pub pool: bool,
}

impl<'a> Whole<'a> {
    pub(super) fn of(step: &'a Step) -> Option<Self> {
        Some(Whole {
            filter: step.filters.first()?,
            bias: &step.bias,
            relu: step.relu,
            pool: step.pool,
        })
    }
}

#[inline(always)]
fn activated(mut v: [f32; LANES], relu: bool) -> [f32; LANES] {
    if relu {
        for v in &mut v {
            *v = if *v > 0.0 { *v } else { 0.0 };
        }
    }
    v
}

/// Where the sums of a tile go: its first row and channel, at its first column, and from one row and channel to the next.
struct Target<'a> {
    to: &'a mut [f32],
    row: usize,
    pitch: usize,
    channels: usize,
    relu: bool,
}

per_isa! {
    /// Writes the first `rows` rows of a tile.
    fn put(tile: &Sums, target: Target<'_>, rows: usize) {
        for (r, sums) in tile[..rows].iter().enumerate() {
            for (c, sums) in sums[..target.channels].iter().enumerate() {
                target.to[r * target.row + c * target.pitch..][..LANES].copy_from_slice(&activated(*sums, target.relu));
            }
        }
    }
}

per_isa! {
    /// Writes the largest of each 2 × 2 sums.
    fn put_pooled(tile: &Sums, target: Target<'_>, rows: usize) {
        for (r, pair) in tile[..rows].as_chunks::<2>().0.iter().enumerate() {
            for c in 0..target.channels {
                let (a, b) = (activated(pair[0][c], target.relu), activated(pair[1][c], target.relu));
                let high: [f32; LANES] = std::array::from_fn(|l| if b[l] > a[l] { b[l] } else { a[l] });
                let to = &mut target.to[r * target.row + c * target.pitch..][..LANES / 2];
                for (to, pair) in to.iter_mut().zip(high.as_chunks::<2>().0) {
                    *to = if pair[1] > pair[0] { pair[1] } else { pair[0] };
                }
            }
        }
    }
}

per_isa! {
    /// Writes the sums of two tiles in turn, along the rows.
    fn put_pairs(tiles: &[Sums; 2], target: Target<'_>, rows: usize) {
        for (r, (even, odd)) in tiles[0][..rows].iter().zip(&tiles[1]).enumerate() {
            for (c, (left, right)) in even[..target.channels].iter().zip(odd).enumerate() {
                let (left, right) = (activated(*left, target.relu), activated(*right, target.relu));
                let to = &mut target.to[r * target.row + c * target.pitch..][..2 * LANES];
                for (to, (l, r)) in to.as_chunks_mut::<2>().0.iter_mut().zip(left.into_iter().zip(right)) {
                    *to = [l, r];
                }
            }
        }
    }
}

/// Output rows from `first` on: a convolution, and pooling if the step has it.
pub(super) fn convolved(isa: Isa, whole: Whole<'_>, from: &Planes, first: usize, rows: &mut [f32], pitch: usize) {
    let filter = whole.filter;
    let row = filter.outputs * pitch;
    let per = if whole.pool { 2 } else { 1 };
    let (begin, end) = (first * per, first * per + rows.len() / row * per);
    let mut tile: Sums = [[[0.0; LANES]; CHANNELS]; ROWS];
    for (n, block) in filter.blocks.iter().enumerate() {
        let height = rows_of(block.channels);
        for y in (begin..end).step_by(height) {
            let here = height.min(end - y);
            for x in (0..from.width).step_by(LANES) {
                sums(isa, filter, n, whole.bias, source(from, y, x), &mut tile);
                let target = Target {
                    to: &mut rows[(y / per - first) * row + block.first * pitch + SIDE + x / per..],
                    row,
                    pitch,
                    channels: block.channels,
                    relu: whole.relu,
                };
                match whole.pool {
                    true => put_pooled(isa, &tile, target, here),
                    false => put(isa, &tile, target, here),
                }
            }
        }
    }
}

/// Output rows 2 · `first` on: a convolution of the upsampled image, from the small one.
pub(super) fn upsampled(isa: Isa, step: &Step, from: &Planes, first: usize, rows: &mut [f32], pitch: usize) {
    let [a, b, c, d] = &step.filters[..] else { return };
    let row = a.outputs * pitch;
    let end = first + rows.len() / row / 2;
    let mut tiles: [Sums; 2] = [[[[0.0; LANES]; CHANNELS]; ROWS]; 2];
    for (n, block) in a.blocks.iter().enumerate() {
        let height = rows_of(block.channels);
        for y in (first..end).step_by(height) {
            let here = height.min(end - y);
            for x in (0..from.width).step_by(LANES) {
                for (p, pair) in [[a, b], [c, d]].into_iter().enumerate() {
                    for (filter, tile) in pair.into_iter().zip(&mut tiles) {
                        sums(isa, filter, n, &step.bias, source(from, y, x), tile);
                    }
                    let target = Target {
                        to: &mut rows[(2 * (y - first) + p) * row + block.first * pitch + SIDE + 2 * x..],
                        row: 2 * row,
                        pitch,
                        channels: block.channels,
                        relu: step.relu,
                    };
                    put_pairs(isa, &tiles, target, here);
                }
            }
        }
    }
}

fn pooled(from: &Planes, first: usize, rows: &mut [f32], pitch: usize, channels: usize) {
    for (i, to) in rows.chunks_exact_mut(channels * pitch).enumerate() {
        for (c, to) in to.chunks_exact_mut(pitch).enumerate() {
            let y = 2 * (first + i);
            let (a, b) = (from.pixels(y, c), from.pixels(y + 1, c));
            let pairs = a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0);
            for (to, (a, b)) in to[SIDE..].iter_mut().zip(pairs) {
                *to = a[0].max(a[1]).max(b[0]).max(b[1]);
            }
        }
    }
}

fn repeated(from: &Planes, first: usize, rows: &mut [f32], pitch: usize, channels: usize) {
    for (i, to) in rows.chunks_exact_mut(channels * pitch).enumerate() {
        for (c, to) in to.chunks_exact_mut(pitch).enumerate() {
            let from = from.pixels((first + i) / 2, c);
            for (to, v) in to[SIDE..].as_chunks_mut::<2>().0.iter_mut().zip(from) {
                *to = [*v; 2];
            }
        }
    }
}

fn positive(from: &Planes, first: usize, rows: &mut [f32]) {
    let begin = (first + from.margin) * from.row();
    for (to, v) in rows.iter_mut().zip(&from.data()[begin..]) {
        *to = v.max(0.0);
    }
}

per_isa! {
    /// Softmax over the channels of one row (channels, width).
    fn softmax(row: &mut [f32], width: usize) {
        for x in (0..width).step_by(LANES) {
            let n = LANES.min(width - x);
            let mut high = [f32::NEG_INFINITY; LANES];
            for channel in row.chunks_exact(width) {
                for (h, v) in high[..n].iter_mut().zip(&channel[x..x + n]) {
                    *h = if *v > *h { *v } else { *h };
                }
            }
            let mut sum = [0f32; LANES];
            for channel in row.chunks_exact_mut(width) {
                let mut values = [0f32; LANES];
                values[..n].copy_from_slice(&channel[x..x + n]);
                for l in 0..LANES {
                    values[l] = exp(values[l] - high[l]);
                    sum[l] += values[l];
                }
                channel[x..x + n].copy_from_slice(&values[..n]);
            }
            for channel in row.chunks_exact_mut(width) {
                for (v, s) in channel[x..x + n].iter_mut().zip(&sum) {
                    *v /= *s;
                }
            }
        }
    }
}

per_isa! {
    fn sigmoid(row: &mut [f32]) {
        for v in row.iter_mut() {
            *v = 1.0 / (1.0 + exp(-*v));
        }
    }
}
