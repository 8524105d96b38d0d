//! The gradient of a convolution's weights: sums over all pixels of input times error, for each tap and pair of channels.
//!
//! One row of taps of two input and four output channels is summed together: as many sums as registers hold, each vector read serving several of them.
//! A sum runs over the vectors of a row and the rows of a band in float32 with fused multiply-adds, lane by lane, so it has the same bits whichever others
//! are summed with it; lanes and bands are added in float64.

use super::super::planes::{Planes, SIDE};
use crate::backend::cpu::lanes::{LANES, Lanes, Register, Vector, per_vector};
use std::ops::Range;

/// Errors of some rows of an image, and what has been convolved.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    /// The convolution has `taps` × `taps` weights, the first `ahead` rows and columns before the pixel.
    pub taps: usize,
    pub ahead: [usize; 2],
    pub input: &'a Planes,
    pub error: &'a Planes,
    /// Channels of `error` from this one on, as many as there are outputs.
    pub first: usize,
    pub outputs: usize,
    /// Number in the image of the first row of `error`.
    pub top: usize,
}

per_vector! {
    /// Adds the gradient (row, column, input, output) of the errors of `rows` to `out`.
    pub(super) fn products = products_body(job: Job<'_>, rows: Range<usize>, out: &mut [f64])
}

#[inline(always)]
fn products_body<V: Vector>(job: Job<'_>, rows: Range<usize>, out: &mut [f64]) {
    assert_eq!(out.len(), job.taps * job.taps * job.input.channels * job.outputs);
    assert!(job.input.width == job.error.width && job.first + job.outputs <= job.error.channels);
    assert!(rows.end <= job.input.height && rows.start >= job.top && rows.end - job.top <= job.error.height);
    // Rows above and below, and columns beside the image, are zeros that may be read.
    let beyond = job.ahead.map(|n| n.max((job.taps - 1).saturating_sub(n)));
    assert!(beyond[0] <= job.input.margin && beyond[1] <= SIDE);
    for row in 0..job.taps {
        match job.taps {
            2 => of_taps::<V, 2>(job, &rows, [row, 0], out),
            3 => of_taps::<V, 3>(job, &rows, [row, 0], out),
            _ => (0..job.taps).for_each(|column| of_taps::<V, 1>(job, &rows, [row, column], out)),
        }
    }
}

/// `K` taps from `tap` on along a row, all channels.
#[inline(always)]
fn of_taps<V: Vector, const K: usize>(job: Job<'_>, rows: &Range<usize>, tap: [usize; 2], out: &mut [f64]) {
    // With sixteen registers fewer sums. More than twenty beside the vectors they are made from do not stay in thirty-two.
    let (most_inputs, most_outputs) = match (V::PARTS, K) {
        (1, 3) => (1, 5),
        (1, _) => (2, 4),
        (_, 3) => (1, 3),
        _ => (2, 2),
    };
    let mut output = 0;
    while output < job.outputs {
        let outputs = match job.outputs - output {
            n if n >= most_outputs => most_outputs,
            n if n >= 2 => 2,
            _ => 1,
        };
        let mut input = 0;
        while input < job.input.channels {
            let inputs = most_inputs.min(job.input.channels - input);
            let at = [input, output];
            match (inputs, outputs) {
                (2, 4) => block::<V, K, 2, 4>(job, rows, tap, at, out),
                (2, 2) => block::<V, K, 2, 2>(job, rows, tap, at, out),
                (2, _) => block::<V, K, 2, 1>(job, rows, tap, at, out),
                (_, 5) => block::<V, K, 1, 5>(job, rows, tap, at, out),
                (_, 4) => block::<V, K, 1, 4>(job, rows, tap, at, out),
                (_, 3) => block::<V, K, 1, 3>(job, rows, tap, at, out),
                (_, 2) => block::<V, K, 1, 2>(job, rows, tap, at, out),
                _ => block::<V, K, 1, 1>(job, rows, tap, at, out),
            }
            input += inputs;
        }
        output += outputs;
    }
}

/// `K` taps from `tap` on along a row, `I` input and `O` output channels from `at` on.
#[inline(always)]
fn block<V: Vector, const K: usize, const I: usize, const O: usize>(
    job: Job<'_>,
    rows: &Range<usize>,
    tap: [usize; 2],
    at: [usize; 2],
    out: &mut [f64],
) {
    let (input, error) = (job.input, job.error);
    let (pixels, errors) = (input.data(), error.data());
    let lanes = LANES / V::PARTS;
    let steps = input.width.div_ceil(LANES);
    let pixel =
        |y: usize| (y + input.margin + tap[0] - job.ahead[0]) * input.row() + at[0] * input.pitch + SIDE + tap[1] - job.ahead[1];
    let wrong = |y: usize| (y - job.top + error.margin) * error.row() + (job.first + at[1]) * error.pitch + SIDE;
    if rows.is_empty() {
        return;
    }
    // The last numbers read.
    let last = rows.end - 1;
    assert!(pixel(last) + (I - 1) * input.pitch + K - 1 + steps * LANES <= pixels.len());
    assert!(wrong(last) + (O - 1) * error.pitch + steps * LANES <= errors.len());
    let mut sums = [[[Lanes::ZERO; O]; K]; I];
    for part in 0..V::PARTS {
        let mut running = [[[V::Register::all(0.0); O]; K]; I];
        for y in rows.clone() {
            // SAFETY: checked above for the last row, all others lie before it; every step reads `lanes` numbers of a vector.
            unsafe {
                let mut from = pixels.as_ptr().add(pixel(y) + part * lanes);
                let mut error_at = errors.as_ptr().add(wrong(y) + part * lanes);
                for _ in 0..steps {
                    let errors: [V::Register; O] = std::array::from_fn(|o| V::Register::load_from(error_at.add(o * error.pitch)));
                    for (i, running) in running.iter_mut().enumerate() {
                        for (k, running) in running.iter_mut().enumerate() {
                            let pixels = V::Register::load_from(from.add(i * input.pitch + k));
                            for (running, error) in running.iter_mut().zip(errors) {
                                *running = pixels.fused(error, *running);
                            }
                        }
                    }
                    from = from.wrapping_add(LANES);
                    error_at = error_at.wrapping_add(LANES);
                }
            }
        }
        for (sum, running) in sums
            .as_flattened_mut()
            .as_flattened_mut()
            .iter_mut()
            .zip(running.as_flattened().as_flattened())
        {
            running.store(sum, part);
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (k, sums) in sums.iter().enumerate() {
            let of = ((tap[0] * job.taps + tap[1] + k) * input.channels + at[0] + i) * job.outputs + at[1];
            for (out, sum) in out[of..of + O].iter_mut().zip(sums) {
                *out += whole(sum);
            }
        }
    }
}

/// Lanes added pair by pair, always in the same order.
#[inline(always)]
fn whole(lanes: &Lanes) -> f64 {
    let [low, high] = [&lanes.0[..8], &lanes.0[8..]];
    let eight: [f64; 8] = std::array::from_fn(|l| f64::from(low[l]) + f64::from(high[l]));
    let four: [f64; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

per_vector! {
    /// Adds the sums of the errors of each output over `rows` to `out`.
    pub(super) fn totals = totals_body(job: Job<'_>, rows: Range<usize>, out: &mut [f64])
}

#[inline(always)]
fn totals_body<V: Vector>(job: Job<'_>, rows: Range<usize>, out: &mut [f64]) {
    let error = job.error;
    for (c, out) in out.iter_mut().enumerate() {
        let mut running = V::all(0.0);
        for y in rows.clone() {
            let at = (y - job.top + error.margin) * error.row() + (job.first + c) * error.pitch + SIDE;
            let row = &error.data()[at..at + error.width.next_multiple_of(LANES)];
            for chunk in bytemuck::cast_slice::<f32, [f32; LANES]>(row) {
                running = running.plus(V::load(&Lanes(*chunk)));
            }
        }
        let mut sum = Lanes::ZERO;
        running.store(&mut sum);
        *out += whole(&sum);
    }
}
