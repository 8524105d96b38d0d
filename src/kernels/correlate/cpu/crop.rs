//! Pixels around a position into one lane, and the log scale.

use crate::backend::cpu::isa::per_isa;
use crate::kernels::fft::{LANES, Lanes};
use crate::kernels::ln::ln;
use crate::pixel::Sample;

/// A pixel that can be taken relative to a minimum.
pub(super) trait Shifted: Sample {
    const HIGHEST: Self;
    const ZERO: Self;
    /// self − min + 1 in float32; the difference in the pixel's own width for integers.
    fn shifted(self, min: Self) -> f32;
}

macro_rules! shifted {
    ($($t:ty => $unsigned:ty),*) => {$(
        impl Shifted for $t {
            const HIGHEST: $t = <$t>::MAX;
            const ZERO: $t = 0;
            #[inline(always)]
            fn shifted(self, min: $t) -> f32 {
                // The difference of signed numbers may need the sign bit: it is taken as unsigned.
                self.wrapping_sub(min) as $unsigned as f32 + 1.0
            }
        }
    )*};
}
shifted!(u8 => u8, i8 => u8, u16 => u16, i16 => u16, u32 => u32, i32 => u32);

impl Shifted for f32 {
    const HIGHEST: f32 = f32::INFINITY;
    const ZERO: f32 = 0.0;
    #[inline(always)]
    fn shifted(self, min: f32) -> f32 {
        self - min + 1.0
    }
}

#[inline(always)]
fn least<T: Shifted>(min: T, x: T) -> T {
    if x < min { x } else { min }
}

per_isa! {
    /// The smallest pixel of a frame; NaN is passed over.
    pub(super) fn minimum[T: Shifted][T](frame: &[T]) -> T {
        let mut lanes = [T::HIGHEST; 64];
        let (chunks, rest) = frame.as_chunks::<64>();
        for chunk in chunks {
            for (m, &x) in lanes.iter_mut().zip(chunk) {
                *m = least(*m, x);
            }
        }
        lanes.iter().chain(rest).fold(T::HIGHEST, |m, &x| least(m, x))
    }
}

/// What stands for pixels outside the frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outside<T> {
    /// No signal; the minimum is that of the pixels inside.
    Nothing,
    /// Pixels of value 0, which take part in the minimum.
    Zero,
    /// No signal; the minimum is given.
    Below(T),
}

per_isa! {
    /// f − min + 1 of the `edge` × `edge` pixels from `origin` on, into one lane of `crop`; no signal is 1.
    pub(super) fn gather[T: Shifted][T](frame: &[T], width: usize, origin: [i32; 2], edge: usize, outside: Outside<T>, lane: usize, crop: &mut [Lanes]) {
        let height = frame.len() / width;
        let crop = &mut crop[..edge * edge];
        let lane = lane % LANES;
        // Rows and columns of the crop that lie inside the frame.
        let inside = |from: i32, n: usize| {
            let start = from.min(0).unsigned_abs() as usize;
            let end = (i64::from(from) + edge as i64).min(n as i64) - i64::from(from);
            start.min(edge)..(end.max(0) as usize).max(start.min(edge))
        };
        let (rows, columns) = (inside(origin[0], height), inside(origin[1], width));
        let row = |y: usize| {
            let start = (origin[0] + y as i32) as usize * width + (origin[1] + columns.start as i32) as usize;
            &frame[start..start + columns.len()]
        };
        let whole = rows.len() == edge && columns.len() == edge;
        let min = match outside {
            Outside::Below(min) => min,
            _ => {
                let all = rows.clone().fold(T::HIGHEST, |m, y| row(y).iter().fold(m, |m, &x| least(m, x)));
                if matches!(outside, Outside::Zero) && !whole { least(all, T::ZERO) } else { all }
            }
        };
        if !whole {
            let nothing = match outside {
                Outside::Zero => T::ZERO.shifted(min),
                _ => 1.0,
            };
            crop.iter_mut().for_each(|v| v.0[lane] = nothing);
        }
        for y in rows.clone() {
            let at = y * edge + columns.start;
            for (v, x) in crop[at..at + columns.len()].iter_mut().zip(row(y)) {
                v.0[lane] = x.shifted(min);
            }
        }
    }
}

per_isa! {
    /// ln of every number, in place.
    pub(super) fn logs(values: &mut [f32]) {
        let (lanes, rest) = values.as_chunks_mut::<LANES>();
        for v in lanes {
            for x in v {
                *x = ln(*x);
            }
        }
        rest.iter_mut().for_each(|x| *x = ln(*x));
    }
}

per_isa! {
    /// f − min + 1 of a whole frame.
    pub(super) fn shift[T: Shifted][T](frame: &[T], min: T, out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(frame) {
            *o = x.shifted(min);
        }
    }
}
