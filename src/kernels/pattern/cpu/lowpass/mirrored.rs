//! Weighted sums under windows that read the same backwards: the two inputs that share a weight are added first. Going outwards from the
//! centre, a block of rows needs two new inputs for each weight; the others stay in registers and change their rows.

use crate::backend::cpu::lanes::{Lanes, Register, Vector};

/// Whether the second half of the weights mirrors the first.
pub(super) fn is(weights: &[f32]) -> bool {
    weights.len() > 1 && weights.iter().eq(weights.iter().rev())
}

/// Row r takes inputs r to r + number of weights − 1, which [`is`] mirrored.
#[inline(always)]
pub(super) fn rows<V: Vector>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes]) {
    // Only one of them is compiled in.
    match V::PARTS {
        1 => blocks::<V, WIDE>(inputs, weights, out),
        _ => blocks::<V, NARROW>(inputs, weights, out),
    }
}

/// Rows at a time where there are 32 registers, of which three times as many are in use, and where there are 16. Divisors of [`UNROLLED`].
const WIDE: usize = 8;
const NARROW: usize = 4;
const UNROLLED: usize = 8;

#[inline(always)]
fn blocks<V: Vector, const ROWS: usize>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes]) {
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    let first = blocks.len() * ROWS;
    for part in 0..V::PARTS {
        for (block, out) in blocks.iter_mut().enumerate() {
            sum::<V::Register, ROWS>(&inputs[block * ROWS..], weights, out, part);
        }
        for (row, out) in rest.as_chunks_mut::<1>().0.iter_mut().enumerate() {
            sum::<V::Register, 1>(&inputs[first + row..], weights, out, part);
        }
    }
}

/// Σ (before + behind) · weight for part `part` of the lanes, from the centre outwards, each product added without rounding it before.
#[inline(always)]
fn sum<R: Register, const ROWS: usize>(inputs: &[Lanes], weights: &[f32], out: &mut [Lanes; ROWS], part: usize) {
    let (half, odd) = (weights.len() / 2, weights.len() % 2);
    let inputs = &inputs[..weights.len() + ROWS - 1];
    let load = |j: usize| R::load(&inputs[j], part);
    let mut sums = [R::all(0.0); ROWS];
    if odd == 1 {
        let weight = R::all(weights[half]);
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = load(half + r).times(weight);
        }
    }
    // Inputs before and behind, each in the place that is its number modulo `ROWS`, counted from those of row 0 at first.
    let mut before = [R::all(0.0); ROWS];
    let mut behind = [R::all(0.0); ROWS];
    for r in 0..ROWS {
        before[r] = load(half - 1 + r);
        behind[r] = load(half + odd + r);
    }
    let mut k = 0;
    macro_rules! steps {
        ($($step:literal)*) => {
            const { assert!(UNROLLED.is_multiple_of(ROWS) && [$($step),*].len() == UNROLLED) };
            loop {
                $(
                    let weight = R::all(weights[half - 1 - k]);
                    for r in 0..ROWS {
                        let pair = before[(r + UNROLLED - $step) % ROWS].plus(behind[(r + $step) % ROWS]);
                        sums[r] = pair.fused(weight, sums[r]);
                    }
                    k += 1;
                    if k == half {
                        break;
                    }
                    before[(UNROLLED - 1 - $step) % ROWS] = load(half - 1 - k);
                    behind[$step % ROWS] = load(half + odd + ROWS - 1 + k);
                )*
            }
        };
    }
    steps!(0 1 2 3 4 5 6 7);
    for (out, sum) in out.iter_mut().zip(sums) {
        sum.store(out, part);
    }
}
