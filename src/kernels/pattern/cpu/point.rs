//! What is done to each pixel by itself, and to blocks of them.

use crate::backend::cpu::isa::per_isa;
use crate::pixel::Sample;

per_isa! {
    pub(super) fn convert[T: Sample][T](raw: &[T], out: &mut [f32]) {
        for (o, v) in out.iter_mut().zip(raw) {
            *o = v.to_f32();
        }
    }
}

per_isa! {
    /// Conversion and division in one sweep.
    pub(super) fn convert_divide[T: Sample][T](raw: &[T], by: &[f32], out: &mut [f32]) {
        for ((o, v), b) in out.iter_mut().zip(raw).zip(by) {
            *o = v.to_f32() / *b;
        }
    }
}

per_isa! {
    /// Means of blocks of `bin` × `bin` pixels: rows of a block from left to right, then their sums from top to bottom.
    pub(super) fn mean_blocks[T: Sample][T](raw: &[T], width: usize, bin: usize, out_width: usize, out: &mut [f32]) {
        let area = (bin * bin) as f32;
        for (out, rows) in out.chunks_exact_mut(out_width).zip(raw.chunks(width * bin)) {
            out.fill(0.0);
            for row in rows.chunks_exact(width) {
                for (o, block) in out.iter_mut().zip(row.chunks_exact(bin)) {
                    let mut sum = 0.0;
                    for v in block {
                        sum += v.to_f32();
                    }
                    *o += sum;
                }
            }
            for o in out.iter_mut() {
                *o /= area;
            }
        }
    }
}

per_isa! {
    pub(super) fn all_finite(values: &[f32]) -> bool {
        let mut bad = 0u32;
        for v in values {
            bad |= u32::from(v.to_bits() & 0x7f80_0000 == 0x7f80_0000);
        }
        bad == 0
    }
}

per_isa! {
    pub(super) fn divide(values: &mut [f32], by: &[f32]) {
        for (v, b) in values.iter_mut().zip(by) {
            *v /= *b;
        }
    }
}

per_isa! {
    /// x / b; 0 where b is no positive or negative number. Counts these.
    pub(super) fn divide_low(values: &mut [f32], by: &[f32]) -> u32 {
        let mut zeros = 0;
        for (v, &b) in values.iter_mut().zip(by) {
            let zero = b == 0.0;
            zeros += u32::from(zero);
            *v = if zero { 0.0 } else { *v / b };
        }
        zeros
    }
}

per_isa! {
    /// x − (scale·b + offset).
    pub(super) fn subtract(values: &mut [f32], b: &[f32], scale: f32, offset: f32) {
        for (v, b) in values.iter_mut().zip(b) {
            *v -= scale * *b + offset;
        }
    }
}

per_isa! {
    /// x − ((b − least)·scale + offset).
    pub(super) fn subtract_scaled(values: &mut [f32], b: &[f32], least: f32, scale: f32, offset: f32) {
        for (v, b) in values.iter_mut().zip(b) {
            *v -= (*b - least) * scale + offset;
        }
    }
}

per_isa! {
    /// Smallest and largest value.
    pub(super) fn extremes(values: &[f32]) -> [f32; 2] {
        let (mut least, mut most) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
        let (chunks, rest) = values.as_chunks::<16>();
        for chunk in chunks {
            for l in 0..16 {
                least[l] = if chunk[l] < least[l] { chunk[l] } else { least[l] };
                most[l] = if chunk[l] > most[l] { chunk[l] } else { most[l] };
            }
        }
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        for &v in least.iter().chain(rest) {
            range[0] = if v < range[0] { v } else { range[0] };
        }
        for &v in most.iter().chain(rest) {
            range[1] = if v > range[1] { v } else { range[1] };
        }
        range
    }
}

per_isa! {
    /// Clips to `range` and maps it to `to`.
    pub(super) fn stretch(values: &mut [f32], range: [f32; 2], to: [f32; 2], whole: bool) {
        if range[1] - range[0] > 0.0 {
            for v in values.iter_mut() {
                let x = mapped(*v, range, to);
                *v = if whole { x.trunc() } else { x };
            }
        } else {
            values.fill(to[0]);
        }
    }
}

/// What happens between a pattern and its bytes: the last stretch, if it is one, and rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    /// Range and what it is mapped to.
    pub stretch: Option<([f32; 2], [f32; 2])>,
    pub whole: bool,
    pub round: bool,
}

per_isa! {
    /// Integers up to the largest of the type; NaN is 0.
    pub(super) fn to_integers[T: Integer][T](values: &[f32], finish: &Finish, out: &mut [T]) {
        let half = if finish.round { 0.5 } else { 0.0 };
        let pixel = |v: f32| {
            let v = v + half;
            let v = if v > 0.0 { v } else { 0.0 };
            let v = if v < T::MOST { v } else { T::MOST };
            // Safety: a number from 0 to 65 535, since comparisons are false for NaN.
            T::from_i32(unsafe { v.to_int_unchecked::<i32>() })
        };
        let Some((range, to)) = finish.stretch else {
            out.iter_mut().zip(values).for_each(|(o, &v)| *o = pixel(v));
            return;
        };
        if range[1] - range[0] > 0.0 {
            for (o, &v) in out.iter_mut().zip(values) {
                let x = mapped(v, range, to);
                *o = pixel(if finish.whole { x.trunc() } else { x });
            }
        } else {
            out.fill(pixel(to[0]));
        }
    }
}

/// A pixel of a result.
pub(super) trait Integer: Copy {
    const MOST: f32;
    fn from_i32(v: i32) -> Self;
}
impl Integer for u8 {
    const MOST: f32 = 255.0;
    #[inline(always)]
    fn from_i32(v: i32) -> Self {
        v as u8
    }
}
impl Integer for u16 {
    const MOST: f32 = 65_535.0;
    #[inline(always)]
    fn from_i32(v: i32) -> Self {
        v as u16
    }
}

/// Clipped to `range`, which becomes `to`.
#[inline(always)]
fn mapped(v: f32, [low, high]: [f32; 2], to: [f32; 2]) -> f32 {
    let x = if v < low { low } else { v };
    let x = if x > high { high } else { x };
    (x - low) / (high - low) * (to[1] - to[0]) + to[0]
}
