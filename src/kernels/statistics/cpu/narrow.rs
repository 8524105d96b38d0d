//! Small pixels: sums and sums of squares of a strip of pixels in registers, products of two frames at a time.
//!
//! `pmaddwd` multiplies the pixels of two frames with themselves and adds the two products in 32 bits. For that the frames' pixels are
//! mixed pair by pair inside each 128-bit quarter, so sums come out in another order of pixels, in which they stay until they are
//! [widened](widen). Everything is exact, so other paths may take what this one does not.

use crate::backend::cpu::isa::{Isa, Level};
use std::ops::Range;

/// 16-bit pixels below this take the narrow path: 64 of their squares fit 32 bits, 8 of them fit 16 bits.
pub(super) const SMALL: u16 = 1 << 13;

/// Sums of some pixels over few enough frames, in groups of four consecutive pixels, strip after strip.
pub(super) struct Sums {
    pub sum: Lines,
    pub squares: Lines,
}

/// Numbers in whole cache lines, so that no register is spread over two.
pub(super) struct Lines {
    lines: Vec<Line>,
}

#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([u32; 16]);

impl Lines {
    /// At least `n` zeros.
    pub(super) fn new(n: usize) -> Self {
        Lines {
            lines: vec![Line([0; 16]); n.div_ceil(16)],
        }
    }
    pub(super) fn numbers(&mut self) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}

/// Bytes of a strip: one register of one frame. `None`: no narrow path on this instruction set.
pub(super) fn strip(isa: Isa) -> Option<usize> {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::V3 => Some(32),
        #[cfg(target_arch = "x86_64")]
        Level::V4 => Some(64),
        Level::Baseline => None,
    }
}

/// Adds `sums` of strips of `bytes` bytes of `size`-byte pixels to the totals of the pixels they belong to, and clears them.
pub(super) fn widen(sums: &mut [u32], bytes: usize, size: usize, totals: &mut [u64]) {
    // Quarters of 16 bytes; quarter q of group g holds four pixels from the (16/size)·q + 4·g-th on.
    let (quarters, pixels) = (bytes / 16, bytes / size);
    for (sums, totals) in sums.chunks_exact_mut(pixels).zip(totals.chunks_exact_mut(pixels)) {
        for (k, four) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let at = 16 / size * (k % quarters) + 4 * (k / quarters);
            if let Some(totals) = totals[at..].first_chunk_mut::<4>() {
                for (total, sum) in totals.iter_mut().zip(four.iter()) {
                    *total += u64::from(*sum);
                }
            }
            *four = [0; 4];
        }
    }
}

/// Adds whole strips of 8-bit `pixels` of at most 64 frames; returns where the rest begins.
pub(super) fn add_bytes<const SQUARES: bool>(isa: Isa, rows: &[&[u8]], flip: u8, pixels: Range<usize>, sums: &mut Sums) -> usize {
    match isa.level() {
        // Safety: an `Isa` of this level exists only on a CPU where all these features were detected.
        #[cfg(target_arch = "x86_64")]
        Level::V3 => unsafe { avx2::bytes::<SQUARES>(rows, flip, pixels, sums) },
        #[cfg(target_arch = "x86_64")]
        Level::V4 => unsafe { avx512::bytes::<SQUARES>(rows, flip, pixels, sums) },
        Level::Baseline => pixels.start,
    }
}

/// Adds whole strips of 16-bit `pixels` of at most 64 frames, up to a strip with one that is not below [`SMALL`]; returns where that,
/// or the rest, begins.
pub(super) fn add_words<const SQUARES: bool>(
    isa: Isa,
    rows: &[&[u16]],
    flip: u16,
    pixels: Range<usize>,
    sums: &mut Sums,
) -> usize {
    match isa.level() {
        // Safety: as above.
        #[cfg(target_arch = "x86_64")]
        Level::V3 => unsafe { avx2::words::<SQUARES>(rows, flip, pixels, sums) },
        #[cfg(target_arch = "x86_64")]
        Level::V4 => unsafe { avx512::words::<SQUARES>(rows, flip, pixels, sums) },
        Level::Baseline => pixels.start,
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! paths {
    ($name:ident, $features:literal, $register:ty, $bytes:literal, $load:ident, $store:ident, $zero:ident, $all8:ident, $all16:ident,
     $xor:ident, $or:ident, $add16:ident, $add32:ident, $low8:ident, $high8:ident, $low16:ident, $high16:ident, $pairs8:ident,
     $pairs16:ident, |$seen:ident, $limit:ident| $large:expr) => {
        mod $name {
            use super::{SMALL, Sums};
            use std::arch::x86_64::*;
            use std::ops::Range;

            /// The register at byte `16 · $bytes`… of a row; `row` has at least `at + $bytes` bytes.
            macro_rules! pixels {
                ($row:expr, $at:expr, $flip:expr) => {
                    $xor($load($row.as_ptr().add($at).cast()), $flip)
                };
            }
            /// Adds to four registers' worth of sums in memory.
            macro_rules! add_to {
                ($sums:expr, $at:expr, $k:expr, $v:expr) => {{
                    let p = $sums.as_mut_ptr().add($at + $k * ($bytes / 4)).cast();
                    $store(p, $add32($load(p), $v));
                }};
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn bytes<const SQUARES: bool>(
                rows: &[&[u8]],
                flip: u8,
                pixels: Range<usize>,
                sums: &mut Sums,
            ) -> usize {
                assert!(rows.len() <= 64 && rows.iter().all(|r| r.len() >= pixels.end));
                let (sum, squares) = (sums.sum.numbers(), sums.squares.numbers());
                let end = pixels.end.min(sum.len());
                assert!(!SQUARES || squares.len() >= end);
                let (flip, ones, zero) = ($all8(flip as i8), $all8(1), $zero());
                let mut at = pixels.start;
                while at + $bytes <= end {
                    // Two 16-bit sums and four 32-bit sums of squares for each pixel of a quarter.
                    let mut s = [zero; 2];
                    let mut q = [zero; 4];
                    macro_rules! add {
                        ($a:expr, $b:expr) => {{
                            let (a, b) = ($a, $b);
                            let mixed = [$low8(a, b), $high8(a, b)];
                            for k in 0..2 {
                                s[k] = $add16(s[k], $pairs8(mixed[k], ones));
                                if SQUARES {
                                    let (low, high) = ($low8(mixed[k], zero), $high8(mixed[k], zero));
                                    q[2 * k] = $add32(q[2 * k], $pairs16(low, low));
                                    q[2 * k + 1] = $add32(q[2 * k + 1], $pairs16(high, high));
                                }
                            }
                        }};
                    }
                    let (pairs, rest) = rows.as_chunks::<2>();
                    // Safety: the strip lies inside every row and inside the sums.
                    unsafe {
                        for [a, b] in pairs {
                            add!(pixels!(a, at, flip), pixels!(b, at, flip));
                        }
                        for a in rest {
                            add!(pixels!(a, at, flip), zero);
                        }
                        for k in 0..2 {
                            add_to!(sum, at, 2 * k, $low16(s[k], zero));
                            add_to!(sum, at, 2 * k + 1, $high16(s[k], zero));
                        }
                        if SQUARES {
                            for (k, q) in q.into_iter().enumerate() {
                                add_to!(squares, at, k, q);
                            }
                        }
                    }
                    at += $bytes;
                }
                at
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn words<const SQUARES: bool>(
                rows: &[&[u16]],
                flip: u16,
                pixels: Range<usize>,
                sums: &mut Sums,
            ) -> usize {
                const PIXELS: usize = $bytes / 2;
                assert!(rows.len() <= 64 && rows.iter().all(|r| r.len() >= pixels.end));
                let (sum, squares) = (sums.sum.numbers(), sums.squares.numbers());
                let end = pixels.end.min(sum.len());
                assert!(!SQUARES || squares.len() >= end);
                let (flip, zero, $limit) = ($all16(flip as i16), $zero(), $all16(!(SMALL as i16 - 1)));
                let mut at = pixels.start;
                while at + PIXELS <= end {
                    let mut s = [zero; 2];
                    let mut q = [zero; 2];
                    let mut $seen = zero;
                    // Safety: the strip lies inside every row and inside the sums.
                    unsafe {
                        for eight in rows.chunks(8) {
                            let mut few = zero;
                            macro_rules! add {
                                ($a:expr, $b:expr) => {{
                                    let (a, b) = ($a, $b);
                                    $seen = $or($seen, $or(a, b));
                                    few = $add16(few, $add16(a, b));
                                    if SQUARES {
                                        let (low, high) = ($low16(a, b), $high16(a, b));
                                        q[0] = $add32(q[0], $pairs16(low, low));
                                        q[1] = $add32(q[1], $pairs16(high, high));
                                    }
                                }};
                            }
                            let (pairs, rest) = eight.as_chunks::<2>();
                            for [a, b] in pairs {
                                add!(pixels!(a, at, flip), pixels!(b, at, flip));
                            }
                            for a in rest {
                                add!(pixels!(a, at, flip), zero);
                            }
                            s[0] = $add32(s[0], $low16(few, zero));
                            s[1] = $add32(s[1], $high16(few, zero));
                        }
                        if $large {
                            return at;
                        }
                        for k in 0..2 {
                            add_to!(sum, at, k, s[k]);
                            if SQUARES {
                                add_to!(squares, at, k, q[k]);
                            }
                        }
                    }
                    at += PIXELS;
                }
                at
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
paths!(
    avx2,
    "avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt",
    __m256i,
    32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_setzero_si256,
    _mm256_set1_epi8,
    _mm256_set1_epi16,
    _mm256_xor_si256,
    _mm256_or_si256,
    _mm256_add_epi16,
    _mm256_add_epi32,
    _mm256_unpacklo_epi8,
    _mm256_unpackhi_epi8,
    _mm256_unpacklo_epi16,
    _mm256_unpackhi_epi16,
    _mm256_maddubs_epi16,
    _mm256_madd_epi16,
    |seen, limit| _mm256_testz_si256(seen, limit) == 0
);
#[cfg(target_arch = "x86_64")]
paths!(
    avx512,
    "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt",
    __m512i,
    64,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_setzero_si512,
    _mm512_set1_epi8,
    _mm512_set1_epi16,
    _mm512_xor_si512,
    _mm512_or_si512,
    _mm512_add_epi16,
    _mm512_add_epi32,
    _mm512_unpacklo_epi8,
    _mm512_unpackhi_epi8,
    _mm512_unpacklo_epi16,
    _mm512_unpackhi_epi16,
    _mm512_maddubs_epi16,
    _mm512_madd_epi16,
    |seen, limit| _mm512_test_epi16_mask(seen, limit) != 0
);
