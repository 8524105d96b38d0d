//! One image through the network and back.

use super::super::cpu::convolved;
use super::super::planes::{Planes, SIDE, close};
use super::products::{Job, products, totals};
use super::{Contribution, IGNORED, Pass, Passes};
use crate::backend::cpu::isa::Isa;
use crate::error::{Error, Result};
use crate::rng::math::{exp, ln};

/// The activations of one image, kept for the way back; memory is reused from image to image.
pub struct Tape {
    isa: Isa,
    /// Input, then the output of each pass.
    planes: Vec<Planes>,
    error: Planes,
    before: Planes,
}

impl Default for Tape {
    fn default() -> Self {
        Tape::new(Isa::active())
    }
}

impl Tape {
    /// Results have the same bits for every `isa`.
    pub fn new(isa: Isa) -> Self {
        Tape {
            isa,
            planes: Vec::new(),
            error: Planes::default(),
            before: Planes::default(),
        }
    }

    /// Bytes for an image of this size.
    pub fn bytes(passes: &Passes, height: usize, width: usize) -> u64 {
        let sizes = passes.sizes(height, width);
        let of = |&(h, w, c): &(usize, usize, usize)| 4 * Planes::size_of(h, w, c, passes.margin) as u64;
        sizes.iter().map(of).sum::<u64>() + 2 * sizes.iter().map(of).max().unwrap_or(0)
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
        if let Some(l) = labels.iter().find(|&&l| l != IGNORED && usize::from(l) >= passes.classes) {
            return Err(Error::parameter(
                "--labels",
                format!("label {l} of a network with {} classes", passes.classes),
            ));
        }
        self.forwards(passes, image, size);
        let mut found = self.loss(passes, labels, weights);
        if gradient {
            found.gradient = vec![0.0; passes.parameters];
            self.backwards(passes, &mut found.gradient);
        }
        Ok(found)
    }

    fn forwards(&mut self, passes: &Passes, image: &[f32], [h, w]: [usize; 2]) {
        let sizes = passes.sizes(h, w);
        self.planes.resize_with(sizes.len(), Planes::default);
        for (planes, (h, w, c)) in self.planes.iter_mut().zip(&sizes) {
            planes.shape(*h, *w, *c, passes.margin);
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
            let (pitch, row, width, channels) = (to.pitch, to.row(), to.width, to.channels);
            match pass {
                Pass::Convolve(both) => convolved(self.isa, &both.forward, from, 0, to.rows_mut(), pitch),
                Pass::Relu => each(to, |y, c, out| {
                    out.iter_mut().zip(from.pixels(y, c)).for_each(|(o, v)| *o = v.max(0.0));
                }),
                Pass::Pool => each(to, |y, c, out| {
                    let (a, b) = (from.pixels(2 * y, c), from.pixels(2 * y + 1, c));
                    for (x, o) in out.iter_mut().enumerate() {
                        *o = a[2 * x].max(a[2 * x + 1]).max(b[2 * x]).max(b[2 * x + 1]);
                    }
                }),
                Pass::Upsample => each(to, |y, c, out| {
                    let from = from.pixels(y / 2, c);
                    out.iter_mut().enumerate().for_each(|(x, o)| *o = from[x / 2]);
                }),
            }
            debug_assert_eq!(row, channels * pitch);
            to.rows_mut().chunks_exact_mut(row).for_each(|r| close(r, pitch, width));
        }
    }

    /// Cross entropy and, in `error`, its derivatives by what enters the softmax.
    fn loss(&mut self, passes: &Passes, labels: &[u8], weights: &[f64]) -> Contribution {
        let logits = &self.planes[passes.passes.len()];
        let (h, w, classes) = (logits.height, logits.width, logits.channels);
        self.error.shape(h, w, classes, passes.margin);
        let (pitch, row) = (self.error.pitch, self.error.row());
        let mut found = Contribution::default();
        let mut p = vec![0.0; classes];
        for ((y, error), labels) in self
            .error
            .rows_mut()
            .chunks_exact_mut(row)
            .enumerate()
            .zip(labels.chunks_exact(w))
        {
            error.fill(0.0);
            for (x, &label) in labels.iter().enumerate().filter(|(_, l)| **l != IGNORED) {
                let mut top = 0;
                for (c, p) in p.iter_mut().enumerate() {
                    *p = f64::from(logits.pixels(y, c)[x]);
                }
                for c in 1..classes {
                    top = if p[c] > p[top] { c } else { top };
                }
                let (label, high) = (usize::from(label), p[top]);
                let own = p[label] - high;
                p.iter_mut().for_each(|p| *p = exp(*p - high));
                let sum: f64 = p.iter().sum();
                let weight = weights[label];
                found.loss += weight * (ln(sum) - own);
                found.weight += weight;
                found.pixels += 1;
                found.right += u64::from(top == label);
                for (c, p) in p.iter().enumerate() {
                    let wanted = if c == label { 1.0 } else { 0.0 };
                    error[c * pitch + SIDE + x] = (weight * (p / sum - wanted)) as f32;
                }
            }
        }
        found
    }

    fn backwards(&mut self, passes: &Passes, gradient: &mut [f64]) {
        for (i, pass) in passes.passes.iter().enumerate().rev() {
            let (from, to) = (&self.planes[i], &self.planes[i + 1]);
            if let Pass::Convolve(both) = pass {
                if both.forward.relu {
                    each(&mut self.error, |y, c, error| stopped(error, to.pixels(y, c)));
                }
                let taps = both.forward.source.kernel.dim().0;
                let kernel = both.forward.source.kernel.len();
                let job = Job {
                    taps,
                    input: from,
                    error: &self.error,
                };
                products(self.isa, job, &mut gradient[both.at..both.at + kernel]);
                totals(&self.error, &mut gradient[both.at + kernel..][..to.channels]);
            }
            // Nothing is learnt from the input's own error.
            if i == 0 {
                break;
            }
            self.before.shape(from.height, from.width, from.channels, passes.margin);
            let (error, before) = (&self.error, &mut self.before);
            let (pitch, row, width) = (before.pitch, before.row(), before.width);
            match pass {
                Pass::Convolve(both) => convolved(self.isa, &both.backward, error, 0, before.rows_mut(), pitch),
                Pass::Relu => each(before, |y, c, out| {
                    out.copy_from_slice(error.pixels(y, c));
                    stopped(out, to.pixels(y, c));
                }),
                Pass::Pool => each(before, |y, c, out| {
                    let (error, top) = (error.pixels(y / 2, c), to.pixels(y / 2, c));
                    let (a, b) = (from.pixels(y / 2 * 2, c), from.pixels(y / 2 * 2 + 1, c));
                    for (x, out) in out.iter_mut().enumerate() {
                        let high = top[x / 2];
                        // The first of equal pixels gets it all, row by row.
                        let first = [a[x / 2 * 2], a[x / 2 * 2 + 1], b[x / 2 * 2], b[x / 2 * 2 + 1]]
                            .iter()
                            .position(|v| *v == high);
                        *out = if first == Some(y % 2 * 2 + x % 2) { error[x / 2] } else { 0.0 };
                    }
                }),
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
}

/// Errors of outputs that ReLU has cut off are none.
fn stopped(error: &mut [f32], output: &[f32]) {
    for (e, o) in error.iter_mut().zip(output) {
        *e = if *o > 0.0 { *e } else { 0.0 };
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

impl Passes {
    /// Sizes (height, width, channels) of the input and of every pass's output.
    pub(super) fn sizes(&self, height: usize, width: usize) -> Vec<(usize, usize, usize)> {
        let mut sizes = vec![(height, width, self.inputs)];
        let mut size = sizes[0];
        for pass in &self.passes {
            let (h, w, c) = size;
            size = match pass {
                Pass::Convolve(both) => (h, w, both.forward.bias.len()),
                Pass::Relu => size,
                Pass::Pool => (h / 2, w / 2, c),
                Pass::Upsample => (2 * h, 2 * w, c),
            };
            sizes.push(size);
        }
        sizes
    }
}
