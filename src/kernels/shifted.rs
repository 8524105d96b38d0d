//! Pixels relative to a minimum, f - min + 1, as log scales take them on the CPU.

use crate::backend::cpu::isa::per_isa;
use crate::pixel::Sample;

/// A pixel that can be taken relative to a minimum.
pub(crate) trait Shifted: Sample {
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
pub(crate) fn least<T: Shifted>(min: T, x: T) -> T {
    if x < min { x } else { min }
}

per_isa! {
    /// The smallest pixel of a frame; NaN is passed over.
    pub(crate) fn minimum[T: Shifted][T](frame: &[T]) -> T {
        let mut lanes = [T::HIGHEST; 64];
        let (chunks, rest) = frame.as_chunks::<64>();
        for chunk in chunks {
            for (m, &x) in lanes.iter_mut().zip(chunk) {
                *m = least(*m, x);
            }
        }
        let mut all = T::HIGHEST;
        for &x in lanes.iter().chain(rest) {
            all = least(all, x);
        }
        all
    }
}
