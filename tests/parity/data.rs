//! Frames with known content for every pixel type.

use emstream::pixel::Sample;

/// A pixel type that tests can draw from.
pub trait Random: Sample + std::fmt::Debug {
    const LOWEST: Self;
    const HIGHEST: Self;
    /// A pixel from 32 random bits: mostly counts, now and then any number of the type.
    fn draw(bits: u32) -> Self;
}

macro_rules! random {
    ($($t:ty),*) => {$(
        impl Random for $t {
            const LOWEST: Self = <$t>::MIN;
            const HIGHEST: Self = <$t>::MAX;
            fn draw(bits: u32) -> Self {
                if bits % 16 == 0 { (bits >> 4) as $t } else { ((bits >> 8) % 100) as $t }
            }
        }
    )*};
}
random!(u8, i8, u16, i16);

impl Random for u32 {
    const LOWEST: Self = u32::MIN;
    const HIGHEST: Self = u32::MAX;
    fn draw(bits: u32) -> Self {
        if bits.is_multiple_of(16) {
            bits.wrapping_mul(0x9e37_79b9)
        } else {
            bits >> 12
        }
    }
}
impl Random for i32 {
    const LOWEST: Self = i32::MIN;
    const HIGHEST: Self = i32::MAX;
    fn draw(bits: u32) -> Self {
        u32::draw(bits) as i32
    }
}
impl Random for f32 {
    const LOWEST: Self = f32::MIN;
    const HIGHEST: Self = f32::MAX;
    fn draw(bits: u32) -> Self {
        (bits >> 8) as f32 / 1e5 - 31.0
    }
}

/// A fixed sequence of numbers (Marsaglia's xorshift).
pub fn numbers(seed: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(seed.wrapping_mul(0x9e37_79b9) | 1), |&x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 17);
        Some(x ^ (x << 5))
    })
    .skip(4)
}

/// Runs the body for each pixel type, bound to `$T`.
macro_rules! for_all_pixels {
    ($T:ident => $body:expr) => {{
        {
            type $T = u8;
            $body;
        }
        {
            type $T = i8;
            $body;
        }
        {
            type $T = u16;
            $body;
        }
        {
            type $T = i16;
            $body;
        }
        {
            type $T = u32;
            $body;
        }
        {
            type $T = i32;
            $body;
        }
        {
            type $T = f32;
            $body;
        }
    }};
}
pub(crate) use for_all_pixels;
