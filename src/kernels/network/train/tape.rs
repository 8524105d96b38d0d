//! One image through the network and back.

use super::super::cpu::{Whole, convolved, upsampled};
use super::super::planes::{Planes, SIDE, close};
use super::loss::{counts, loss};
use super::passes::{Both, PARITIES, Pass, Passes};
use super::point::{Shape, pool, split, stop, unpool};
use super::products::{Job, products, totals};
use super::{Contribution, IGNORED};
use crate::backend::cpu::isa::Isa;
use crate::error::{Error, Result};

/// Rows whose errors are summed while they are in the cache, in float32.
const BAND: usize = 32;
/// Rows that are convolved before they are pooled.
const POOLED: usize = 16;

/// The activations of one image, kept for the way back; memory is reused from image to image.
pub struct Tape {
    isa: Isa,
    /// Input, then the output of each pass.
    planes: Vec<Planes>,
    /// Which of four pixels was the largest, for passes that pool.
    codes: Vec<Vec<u8>>,
    error: Planes,
    before: Planes,
    /// Errors before pooling, or split by parity.
    wide: Planes,
    /// Rows that are to be pooled.
    rows: Planes,
    /// Gradients of the filters of an upsampled convolution.
    parts: Vec<f64>,
}

impl Default for Tape {
    fn default() -> Self {
        Tape::new(Isa::active())
    }
}

impl Planes {
    fn as_shape(&self) -> Shape {
        Shape {
            pitch: self.pitch,
            width: self.width,
        }
    }
    /// One row of all channels.
    fn line(&self, y: usize) -> &[f32] {
        let at = (y + self.margin) * self.row();
        &self.data()[at..at + self.row()]
    }
}

impl Tape {
    /// Results have the same bits for every `isa`.
    pub fn new(isa: Isa) -> Self {
        Tape {
            isa,
            planes: Vec::new(),
            codes: Vec::new(),
            error: Planes::default(),
            before: Planes::default(),
            wide: Planes::default(),
            rows: Planes::default(),
            parts: Vec::new(),
        }
    }

    /// Bytes for an image of this size.
    pub fn bytes(passes: &Passes, height: usize, width: usize) -> u64 {
        let sizes = passes.sizes(height, width);
        let of = |&(h, w, c): &(usize, usize, usize)| 4 * Planes::size_of(h, w, c, passes.margin(h)) as u64;
        let wide = passes.passes.iter().zip(&sizes).skip(1).map(|(pass, &(h, w, _))| match pass {
            Pass::Convolve(both) if both.pool => of(&(h, w, both.forward.bias.len())),
            Pass::Convolve(both) if both.forward.upsample => of(&(h, w, 4 * both.forward.bias.len())),
            _ => 0,
        });
        sizes.iter().map(of).sum::<u64>() + 2 * sizes.iter().map(of).max().unwrap_or(0) + wide.max().unwrap_or(0)
    }

    /// What `image` (h, channels, w) with `labels` (h, w) contributes; `weights` holds one for each class. Without `gradient` only the loss is computed.
    ///
    /// # Errors
    /// [`Error::Internal`] for sizes that do not fit the network, [`Error::Parameter`] for labels that are no class.
    pub fn run(
        &mut self,
        passes: &Passes,
        image: &[f32],
        labels: &[u8],
        size: [usize; 2],
        weights: &[f64],
        gradient: bool,
    ) -> Result<Contribution> {
        let [h, w] = size;
        let fits = h > 0 && w > 0 && h.is_multiple_of(passes.multiple) && w.is_multiple_of(passes.multiple);
        if !fits || image.len() != h * w * passes.inputs || labels.len() != h * w || weights.len() != passes.classes {
            return Err(Error::Internal(format!(
                "training on {h} × {w} pixels with {} labels",
                labels.len()
            )));
        }
        let (counts, wrong) = counts(labels, passes.classes.min(usize::from(IGNORED)));
        if let Some(l) = wrong {
            return Err(Error::parameter(
                "--labels",
                format!("label {l} of a network with {} classes", passes.classes),
            ));
        }
        self.forwards(passes, image, size);
        let logits = &self.planes[passes.passes.len()];
        self.error
            .shape(logits.height, logits.width, logits.channels, passes.margin(logits.height));
        let mut found = loss(self.isa, logits, labels, (weights, &counts), &mut self.error);
        if gradient {
            found.gradient = vec![0.0; passes.parameters];
            self.backwards(passes, &mut found.gradient);
        }
        Ok(found)
    }

    fn forwards(&mut self, passes: &Passes, image: &[f32], [h, w]: [usize; 2]) {
        let sizes = passes.sizes(h, w);
        self.planes.resize_with(sizes.len(), Planes::default);
        self.codes.resize_with(passes.passes.len(), Vec::new);
        for (planes, (h, w, c)) in self.planes.iter_mut().zip(&sizes) {
            planes.shape(*h, *w, *c, passes.margin(*h));
        }
        let first = &mut self.planes[0];
        let (row, pitch) = (first.row(), first.pitch);
        for (to, from) in first
            .rows_mut()
            .chunks_exact_mut(row)
            .zip(image.chunks_exact(passes.inputs * w))
        {
            for (to, from) in to.chunks_exact_mut(pitch).zip(from.chunks_exact(w)) {
                to[SIDE..SIDE + w].copy_from_slice(from);
            }
            close(to, pitch, w);
        }
        for (i, pass) in passes.passes.iter().enumerate() {
            let (done, rest) = self.planes.split_at_mut(i + 1);
            let (from, to) = (&done[i], &mut rest[0]);
            let (isa, pitch, row, width) = (self.isa, to.pitch, to.row(), to.width);
            match pass {
                Pass::Convolve(both) if both.pool => {
                    convolved_and_pooled(isa, both, from, &mut self.rows, to, &mut self.codes[i]);
                }
                Pass::Convolve(both) if both.forward.upsample => upsampled(isa, &both.forward, from, 0, to.rows_mut(), pitch),
                Pass::Convolve(both) => {
                    if let Some(whole) = Whole::of(&both.forward) {
                        convolved(isa, whole, from, 0, to.rows_mut(), pitch);
                    }
                }
                Pass::Relu => each(to, |y, c, out| {
                    out.iter_mut().zip(from.pixels(y, c)).for_each(|(o, v)| *o = v.max(0.0));
                }),
                Pass::Pool => {
                    let codes = &mut self.codes[i];
                    let (wide, narrow, line) = (from.as_shape(), to.as_shape(), to.width * to.channels);
                    codes.resize(to.height * line, 0);
                    let lines = to.rows_mut().chunks_exact_mut(row).zip(codes.chunks_exact_mut(line));
                    for (y, (to, codes)) in lines.enumerate() {
                        let at = (2 * y + from.margin) * from.row();
                        pool(isa, &from.data()[at..at + 2 * from.row()], wide, to, narrow, codes, false);
                    }
                }
                Pass::Upsample => each(to, |y, c, out| {
                    let from = from.pixels(y / 2, c);
                    out.iter_mut().enumerate().for_each(|(x, o)| *o = from[x / 2]);
                }),
            }
            to.rows_mut().chunks_exact_mut(row).for_each(|r| close(r, pitch, width));
        }
    }

    fn backwards(&mut self, passes: &Passes, gradient: &mut [f64]) {
        for (i, pass) in passes.passes.iter().enumerate().rev() {
            // Nothing is learnt from the input's own error.
            let last = i == 0;
            if let Pass::Convolve(both) = pass {
                let bias = both.at + both.kernel;
                let outputs = both.forward.bias.len();
                let (kernel, biases) = gradient[both.at..bias + outputs].split_at_mut(both.kernel);
                self.gradients(passes, i, both, last, kernel, biases);
            }
            if last {
                break;
            }
            let (from, to) = (&self.planes[i], &self.planes[i + 1]);
            self.before
                .shape(from.height, from.width, from.channels, passes.margin(from.height));
            let (isa, error, before) = (self.isa, &self.error, &mut self.before);
            let (pitch, row, width) = (before.pitch, before.row(), before.width);
            match pass {
                Pass::Convolve(both) => {
                    let error = match both.pool || both.forward.upsample {
                        true => &self.wide,
                        false => error,
                    };
                    let back = Whole {
                        filter: &both.backward,
                        bias: &both.nothing,
                        relu: false,
                        pool: false,
                    };
                    convolved(isa, back, error, 0, before.rows_mut(), pitch);
                }
                Pass::Relu => each(before, |y, c, out| {
                    out.copy_from_slice(error.pixels(y, c));
                    stop(isa, out, to.pixels(y, c));
                }),
                Pass::Pool => {
                    let (wide, narrow, line) = (before.as_shape(), error.as_shape(), error.width * error.channels);
                    let lines = before
                        .rows_mut()
                        .chunks_exact_mut(2 * row)
                        .zip(self.codes[i].chunks_exact(line));
                    for (y, (rows, codes)) in lines.enumerate() {
                        unpool(isa, error.line(y), narrow, codes, rows, wide);
                    }
                }
                Pass::Upsample => each(before, |y, c, out| {
                    let (a, b) = (error.pixels(2 * y, c), error.pixels(2 * y + 1, c));
                    for (x, out) in out.iter_mut().enumerate() {
                        *out = a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1];
                    }
                }),
            }
            before.rows_mut().chunks_exact_mut(row).for_each(|r| close(r, pitch, width));
            std::mem::swap(&mut self.error, &mut self.before);
        }
    }

    /// Gradients of the weights and biases of pass `i`, and what the way back to its input needs: errors without those that ReLU has cut off, before
    /// pooling or split by parity in `wide`; of the `last` pass back only a band at a time.
    fn gradients(&mut self, passes: &Passes, i: usize, both: &Both, last: bool, kernel: &mut [f64], biases: &mut [f64]) {
        let (isa, step) = (self.isa, &both.forward);
        let (from, to, wide) = (&self.planes[i], &self.planes[i + 1], &mut self.wide);
        let outputs = step.bias.len();
        let groups = if step.upsample { 4 } else { 1 };
        if both.pool || step.upsample {
            let height = if last { BAND.min(from.height) } else { from.height };
            wide.shape(height, from.width, groups * outputs, passes.margin(height));
        }
        let small = wide.as_shape();
        self.parts.clear();
        self.parts.resize(if step.upsample { kernel.len() / 9 * 16 } else { 0 }, 0.0);
        for first in (0..from.height).step_by(BAND) {
            let rows = first..(first + BAND).min(from.height);
            let top = if last { first } else { 0 };
            let (row, large) = (wide.row(), self.error.as_shape());
            let shown = rows.start - top..rows.end - top;
            if both.pool {
                let line = to.width * to.channels;
                let lines = wide.rows_mut()[shown.start * row..shown.end * row].chunks_exact_mut(2 * row);
                for (lines, y) in lines.zip(rows.start / 2..) {
                    let codes = &self.codes[i][y * line..(y + 1) * line];
                    unpool(isa, self.error.line(y), large, codes, lines, small);
                }
            } else if step.upsample {
                let lines = wide.rows_mut()[shown.start * row..shown.end * row].chunks_exact_mut(row);
                for (line, y) in lines.zip(rows.clone()) {
                    for half in 0..2 {
                        let output = step.relu.then(|| to.line(2 * y + half));
                        split(isa, self.error.line(2 * y + half), output, large, line, small, half);
                    }
                }
            } else if step.relu {
                let row = self.error.row();
                let lines = self.error.rows_mut()[rows.start * row..rows.end * row].chunks_exact_mut(row);
                lines.zip(rows.clone()).for_each(|(line, y)| stop(isa, line, to.line(y)));
            }
            let error = match both.pool || step.upsample {
                true => &*wide,
                false => &self.error,
            };
            for (group, [p, q]) in PARITIES.into_iter().take(groups).enumerate() {
                let taps = step.source.kernel.dim().0;
                let job = Job {
                    taps: if step.upsample { 2 } else { taps },
                    ahead: if step.upsample { [1 - p, 1 - q] } else { [taps / 2; 2] },
                    input: from,
                    error,
                    first: group * outputs,
                    outputs,
                    top: if both.pool || step.upsample { top } else { 0 },
                };
                let n = self.parts.len() / 4;
                let out = if step.upsample {
                    &mut self.parts[group * n..][..n]
                } else {
                    &mut *kernel
                };
                products(isa, job, rows.clone(), out);
                totals(isa, job, rows.clone(), biases);
            }
        }
        if step.upsample {
            both.gather(&self.parts, kernel);
        }
    }
}

/// A convolution and its pooling, some rows at a time.
fn convolved_and_pooled(isa: Isa, both: &Both, from: &Planes, rows: &mut Planes, to: &mut Planes, codes: &mut Vec<u8>) {
    let Some(whole) = Whole::of(&both.forward) else { return };
    rows.shape(POOLED, from.width, to.channels, 0);
    let (wide, narrow, line) = (rows.as_shape(), to.as_shape(), to.width * to.channels);
    let (row, out_row) = (rows.row(), to.row());
    codes.resize(to.height * line, 0);
    let outs = to
        .rows_mut()
        .chunks_mut(POOLED / 2 * out_row)
        .zip(codes.chunks_mut(POOLED / 2 * line));
    for (n, (out, codes)) in outs.enumerate() {
        let lines = &mut rows.rows_mut()[..out.len() / out_row * 2 * row];
        convolved(isa, whole, from, n * POOLED, lines, wide.pitch);
        let outs = out.chunks_exact_mut(out_row).zip(codes.chunks_exact_mut(line));
        for (lines, (out, codes)) in lines.chunks_exact(2 * row).zip(outs) {
            pool(isa, lines, wide, out, narrow, codes, both.forward.relu);
        }
    }
}

/// Every row of every channel.
fn each(planes: &mut Planes, mut work: impl FnMut(usize, usize, &mut [f32])) {
    let (pitch, row, width) = (planes.pitch, planes.row(), planes.width);
    for (y, line) in planes.rows_mut().chunks_exact_mut(row).enumerate() {
        for (c, channel) in line.chunks_exact_mut(pitch).enumerate() {
            work(y, c, &mut channel[SIDE..SIDE + width]);
        }
    }
}
