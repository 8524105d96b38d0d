//! The gradient of a convolution's weights: sums over all pixels of input times error, for each tap and pair of channels.

use super::super::planes::{Planes, SIDE};
use crate::backend::cpu::lanes::{LANES, Lanes, Register, Vector, per_vector};

/// Rows that are summed in float32; bands are added in float64.
const BAND: usize = 32;
/// Output channels whose sums lie in registers together.
const OUTPUTS: usize = 2;

/// Input of a convolution with `taps` × `taps` weights, and the errors of its output.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub taps: usize,
    pub input: &'a Planes,
    pub error: &'a Planes,
}

per_vector! {
    /// Adds the gradient (row, column, input, output) to `out`.
    pub(super) fn products = products_body(job: Job<'_>, out: &mut [f64])
}

#[inline(always)]
fn products_body<V: Vector>(job: Job<'_>, out: &mut [f64]) {
    let (inputs, outputs) = (job.input.channels, job.error.channels);
    assert_eq!(out.len(), job.taps * job.taps * inputs * outputs);
    assert!(job.input.margin >= job.taps / 2 && job.taps / 2 <= SIDE && job.input.pitch == job.error.pitch);
    assert!(job.input.height == job.error.height);
    for first in (0..job.error.height).step_by(BAND) {
        let rows = first..(first + BAND).min(job.error.height);
        for input in 0..inputs {
            for output in (0..outputs).step_by(OUTPUTS) {
                match (job.taps, outputs - output) {
                    (3, 1) => square::<V, 1>(job, rows.clone(), input, output, out),
                    (3, _) => square::<V, OUTPUTS>(job, rows.clone(), input, output, out),
                    _ => {
                        for output in output..(output + OUTPUTS).min(outputs) {
                            any::<V>(job, rows.clone(), input, output, out);
                        }
                    }
                }
            }
        }
    }
}

/// Lanes added pair by pair, always in the same order.
#[inline(always)]
fn whole(lanes: &Lanes) -> f64 {
    let mut sums = lanes.0.map(f64::from);
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            sums[l] += sums[l + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Where a pixel lies.
#[inline(always)]
fn place(planes: &Planes, y: usize, channel: usize) -> usize {
    (y + planes.margin) * planes.row() + channel * planes.pitch + SIDE
}

/// 3 × 3 taps of one input and `O` output channels.
#[inline(always)]
fn square<V: Vector, const O: usize>(job: Job<'_>, rows: std::ops::Range<usize>, input: usize, output: usize, out: &mut [f64]) {
    let lanes = LANES / V::PARTS;
    let (inputs, outputs) = (job.input.channels, job.error.channels);
    let mut sums = [[Lanes::ZERO; O]; 9];
    let steps = job.error.width.div_ceil(LANES);
    for part in 0..V::PARTS {
        let mut running = [[V::Register::all(0.0); O]; 9];
        for y in rows.clone() {
            let (from, error) = (place(job.input, y, input), place(job.error, y, output));
            let row = job.input.row();
            // The last numbers read: a row below, one to the right, a whole vector.
            assert!(from + row + 1 + steps * LANES <= job.input.data.len() && from > row);
            assert!(error + (O - 1) * job.error.pitch + steps * LANES <= job.error.data.len());
            for step in 0..steps {
                let x = step * LANES + part * lanes;
                // SAFETY: checked above; x + lanes ≤ steps · LANES.
                unsafe {
                    let errors: [V::Register; O] = std::array::from_fn(|o| {
                        V::Register::load_from(job.error.data.as_ptr().add(error + o * job.error.pitch + x))
                    });
                    for (tap, running) in running.iter_mut().enumerate() {
                        let at = from + x + tap / 3 * row + tap % 3 - row - 1;
                        let pixels = V::Register::load_from(job.input.data.as_ptr().add(at));
                        for (running, error) in running.iter_mut().zip(errors) {
                            *running = pixels.fused(error, *running);
                        }
                    }
                }
            }
        }
        for (sums, running) in sums.iter_mut().zip(running) {
            for (sum, running) in sums.iter_mut().zip(running) {
                running.store(sum, part);
            }
        }
    }
    for (tap, sums) in sums.iter().enumerate() {
        for (o, sum) in sums.iter().enumerate() {
            out[(tap * inputs + input) * outputs + output + o] += whole(sum);
        }
    }
}

/// Any number of taps, one by one.
#[inline(always)]
fn any<V: Vector>(job: Job<'_>, rows: std::ops::Range<usize>, input: usize, output: usize, out: &mut [f64]) {
    let (inputs, outputs) = (job.input.channels, job.error.channels);
    let half = job.taps / 2;
    for tap in 0..job.taps * job.taps {
        let (dy, dx) = (tap / job.taps, tap % job.taps);
        let mut sum = V::all(0.0);
        for y in rows.clone() {
            let error = place(job.error, y, output);
            let from = place(job.input, y, input) + dy * job.input.row() + dx - half * job.input.row() - half;
            for x in (0..job.error.width).step_by(LANES) {
                let (mut a, mut b) = (Lanes::ZERO, Lanes::ZERO);
                a.0.copy_from_slice(&job.input.data[from + x..from + x + LANES]);
                b.0.copy_from_slice(&job.error.data[error + x..error + x + LANES]);
                sum = sum.plus(V::load(&a).times(V::load(&b)));
            }
        }
        let mut lanes = Lanes::ZERO;
        sum.store(&mut lanes);
        out[(tap * inputs + input) * outputs + output] += whole(&lanes);
    }
}

/// Adds the sum of the errors of each channel to `out`.
pub(super) fn totals(error: &Planes, out: &mut [f64]) {
    for (c, out) in out.iter_mut().enumerate() {
        for y in 0..error.height {
            let mut sums = Lanes::ZERO;
            for chunk in error.pixels(y, c).chunks(LANES) {
                sums.0.iter_mut().zip(chunk).for_each(|(s, v)| *s += v);
            }
            *out += whole(&sums);
        }
    }
}
