//! Integer pixels: exact sums of unsigned (sign bit flipped) pixels. 8-bit pixels and small 16-bit ones take the [`narrow`] path where
//! the instruction set has it, all others plain partial sums.

use super::narrow::{self, Lines, Sums};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::kernels::statistics::{Params, Part, Squares};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};
use std::ops::Range;

/// Frames added up in registers before partial sums are touched.
const SWEEP: usize = 8;
/// Pixels whose partial sums, with a sweep of frames, stay in the first-level cache.
const TILE: usize = 512;

/// Pixels (whole strips) and frames of the narrow path that are taken together: sums stay in the first-level cache.
const NARROW_TILE: usize = 1024;
const NARROW_SWEEP: usize = 8;

/// The same for extrema, which have no partial sums.
const EXTREMA_TILE: usize = 2048;

/// An unsigned pixel with the types of its partial sums, wide enough for [`LEAF`] frames.
pub(super) trait Unsigned: Sample + Ord {
    /// Σx.
    type Narrow: Copy + Default + Into<u64>;
    /// Σ of one half of the bits of x².
    type Half: Copy + Default;
    /// Σx² over all frames.
    type Square: Copy + Default + Send;
    const SIGN: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn flip(self, mask: Self) -> Self;
    fn add(self, sum: Self::Narrow) -> Self::Narrow;
    fn add_square(self, low: Self::Half, high: Self::Half) -> (Self::Half, Self::Half);
    fn add_halves(total: Self::Square, low: Self::Half, high: Self::Half) -> Self::Square;
    fn widen(self) -> u32;
    fn squares(all: Vec<Self::Square>) -> Squares;
    /// Frames whose sums in 32 bits cannot overflow on the narrow path; 0: there is none.
    const NARROW: u64;
    /// Takes `pixels` by the narrow path; returns where it ends.
    fn narrow<const SQUARES: bool>(isa: Isa, rows: &[&[Self]], flip: Self, pixels: Range<usize>, sums: &mut Sums) -> usize;
    /// Empties narrow sums of squares into the totals.
    fn widen_squares(squares: &mut [u32], strip: usize, totals: &mut [Self::Square]);
}

macro_rules! unsigned {
    ($t:ty, $narrow:ty, $half:ty, $square:ty, $squares:ident, |$x:ident, $lo:ident, $hi:ident| $halves:expr, $bits:expr,
     $frames:expr, $add:expr, $widen:expr) => {
        impl Unsigned for $t {
            type Narrow = $narrow;
            type Half = $half;
            type Square = $square;
            const SIGN: $t = 1 << (<$t>::BITS - 1);
            const LOWEST: $t = <$t>::MIN;
            const HIGHEST: $t = <$t>::MAX;
            #[inline(always)]
            fn flip(self, mask: $t) -> $t {
                self ^ mask
            }
            #[inline(always)]
            fn add(self, sum: $narrow) -> $narrow {
                sum.wrapping_add(<$narrow>::from(self))
            }
            #[inline(always)]
            fn add_square(self, $lo: $half, $hi: $half) -> ($half, $half) {
                let $x = self;
                $halves
            }
            #[inline(always)]
            fn add_halves(total: $square, low: $half, high: $half) -> $square {
                total
                    .wrapping_add(<$square>::from(low))
                    .wrapping_add(<$square>::from(high) << $bits)
            }
            #[inline(always)]
            fn widen(self) -> u32 {
                u32::from(self)
            }
            fn squares(all: Vec<$square>) -> Squares {
                Squares::$squares(all)
            }
            const NARROW: u64 = $frames;
            fn narrow<const SQUARES: bool>(isa: Isa, rows: &[&[$t]], flip: $t, pixels: Range<usize>, sums: &mut Sums) -> usize {
                $add(isa, rows, flip, pixels, sums)
            }
            fn widen_squares(squares: &mut [u32], strip: usize, totals: &mut [$square]) {
                $widen(squares, strip, size_of::<$t>(), totals);
            }
        }
    };
}
// 64 · 255² fits 32 bits, so there is no upper half.
unsigned!(
    u8,
    u16,
    u32,
    u64,
    Narrow,
    |x, lo, hi| (lo.wrapping_add(u32::from(u16::from(x).wrapping_mul(u16::from(x)))), hi),
    0,
    1 << 16,
    narrow::add_bytes::<SQUARES>,
    narrow::widen
);
unsigned!(
    u16,
    u32,
    u32,
    u64,
    Narrow,
    |x, lo, hi| {
        let square = u32::from(x).wrapping_mul(u32::from(x));
        (lo.wrapping_add(square & 0xffff), hi.wrapping_add(square >> 16))
    },
    16,
    LEAF,
    narrow::add_words::<SQUARES>,
    narrow::widen
);
unsigned!(
    u32,
    u64,
    u64,
    u128,
    Wide,
    |x, lo, hi| {
        let square = u64::from(x).wrapping_mul(u64::from(x));
        (lo.wrapping_add(square & 0xffff_ffff), hi.wrapping_add(square >> 32))
    },
    32,
    0,
    |_, _, _, pixels: Range<usize>, _| pixels.start,
    |_, _, _, _| {}
);

/// Partial sums of one tile.
struct Tile<T: Unsigned> {
    sum: [T::Narrow; TILE],
    low: [T::Half; TILE],
    high: [T::Half; TILE],
}

impl<T: Unsigned> Tile<T> {
    /// Adds `F` rows of at most a tile of pixels.
    #[inline(always)]
    fn add<const F: usize, const SQUARES: bool>(&mut self, rows: [&[T]; F], flip: T) {
        let n = rows[0].len().min(TILE);
        let rows = rows.map(|r| &r[..n]);
        let (sum, low, high) = (&mut self.sum[..n], &mut self.low[..n], &mut self.high[..n]);
        for p in 0..n {
            let (mut s, mut l, mut h) = (sum[p], low[p], high[p]);
            for row in &rows {
                let x = row[p].flip(flip);
                s = x.add(s);
                if SQUARES {
                    (l, h) = x.add_square(l, h);
                }
            }
            sum[p] = s;
            if SQUARES {
                (low[p], high[p]) = (l, h);
            }
        }
    }
}

per_isa! {
    /// Adds `pixels` of frames (at most [`LEAF`]) to the sums and, if asked for, to the sums of squares.
    fn accumulate[T: Unsigned, const SQUARES: bool][T, SQUARES](
        rows: &[&[T]], flip: T, pixels: Range<usize>, sum: &mut [u64], squares: &mut [T::Square],
    ) {
        for start in pixels.clone().step_by(TILE) {
            let end = (start + TILE).min(pixels.end);
            let mut tile = Tile::<T> {
                sum: [T::Narrow::default(); TILE],
                low: [T::Half::default(); TILE],
                high: [T::Half::default(); TILE],
            };
            let (sweeps, rest) = rows.as_chunks::<SWEEP>();
            for sweep in sweeps {
                tile.add::<SWEEP, SQUARES>(sweep.map(|r| &r[start..end]), flip);
            }
            for row in rest {
                tile.add::<1, SQUARES>([&row[start..end]], flip);
            }
            for (total, &part) in sum[start..end].iter_mut().zip(&tile.sum) {
                *total += part.into();
            }
            if SQUARES {
                for ((total, &low), &high) in squares[start..end].iter_mut().zip(&tile.low).zip(&tile.high) {
                    *total = T::add_halves(*total, low, high);
                }
            }
        }
    }
}

/// Takes `F` rows of pixels into the extrema.
#[inline(always)]
fn widen_extrema<T: Unsigned, const F: usize>(rows: [&[T]; F], flip: T, min: &mut [T], max: &mut [T]) {
    let n = min.len();
    let rows = rows.map(|r| &r[..n]);
    let max = &mut max[..n];
    for p in 0..n {
        let (mut lo, mut hi) = (min[p], max[p]);
        for row in &rows {
            let x = row[p].flip(flip);
            lo = lo.min(x);
            hi = hi.max(x);
        }
        (min[p], max[p]) = (lo, hi);
    }
}

per_isa! {
    /// Takes frames into the extrema.
    fn extrema[T: Unsigned][T](rows: &[&[T]], flip: T, min: &mut [T], max: &mut [T]) {
        let pixels = min.len();
        for start in (0..pixels).step_by(EXTREMA_TILE) {
            let end = (start + EXTREMA_TILE).min(pixels);
            let (min, max) = (&mut min[start..end], &mut max[start..end]);
            let (sweeps, rest) = rows.as_chunks::<SWEEP>();
            for sweep in sweeps {
                widen_extrema(sweep.map(|r| &r[start..end]), flip, min, max);
            }
            for row in rest {
                widen_extrema([&row[start..end]], flip, min, max);
            }
        }
    }
}

/// Exact state of one worker.
pub(super) struct Stage<T: Unsigned> {
    isa: Isa,
    shape: FrameShape,
    params: Params,
    flip: T,
    frames: u64,
    sum: Vec<u64>,
    squares: Vec<T::Square>,
    min: Vec<T>,
    max: Vec<T>,
    /// Sums of the last `pending` frames by the narrow path, which works on strips of so many bytes, if at all.
    narrow: Sums,
    strip: Option<usize>,
    pending: u64,
}

impl<T: Unsigned> Stage<T> {
    pub(super) fn new(isa: Isa, shape: FrameShape, params: Params) -> Self {
        let pixels = shape.pixels();
        let signed = matches!(shape.pixel, Pixel::I8 | Pixel::I16 | Pixel::I32);
        let extrema = if params.extrema { pixels } else { 0 };
        let strip = if T::NARROW > 0 { narrow::strip(isa) } else { None };
        let narrow = strip.map_or(0, |bytes| pixels / (bytes / size_of::<T>()) * (bytes / size_of::<T>()));
        Stage {
            isa,
            shape,
            params,
            flip: if signed { T::SIGN } else { T::LOWEST },
            frames: 0,
            sum: vec![0; pixels],
            squares: vec![T::Square::default(); if params.squares { pixels } else { 0 }],
            min: vec![T::HIGHEST; extrema],
            max: vec![T::LOWEST; extrema],
            narrow: Sums {
                sum: Lines::new(narrow),
                squares: Lines::new(if params.squares { narrow } else { 0 }),
            },
            strip,
            pending: 0,
        }
    }

    /// Adds at most [`LEAF`] frames.
    fn add<const SQUARES: bool>(&mut self, rows: &[&[T]]) {
        if self.pending + rows.len() as u64 > T::NARROW {
            self.widen();
        }
        let pixels = self.shape.pixels();
        let Some(bytes) = self.strip else {
            return accumulate::<T, SQUARES>(self.isa, rows, self.flip, 0..pixels, &mut self.sum, &mut self.squares);
        };
        let mut refused = 0;
        for start in (0..pixels).step_by(NARROW_TILE) {
            let tile_end = (start + NARROW_TILE).min(pixels);
            for rows in rows.chunks(NARROW_SWEEP) {
                let mut at = start;
                while at < tile_end {
                    at = T::narrow::<SQUARES>(self.isa, rows, self.flip, at..tile_end, &mut self.narrow);
                    let end = (at + bytes / size_of::<T>()).min(tile_end);
                    accumulate::<T, SQUARES>(self.isa, rows, self.flip, at..end, &mut self.sum, &mut self.squares);
                    refused += (end - at) * rows.len();
                    at = end;
                }
            }
        }
        self.pending += rows.len() as u64;
        if refused > pixels * rows.len() / 4 {
            // Pixels are large: no more attempts.
            self.widen();
            self.strip = None;
        }
    }

    /// Empties the sums of the narrow path into the totals.
    fn widen(&mut self) {
        if let Some(bytes) = self.strip
            && self.pending > 0
        {
            narrow::widen(self.narrow.sum.numbers(), bytes, size_of::<T>(), &mut self.sum);
            T::widen_squares(self.narrow.squares.numbers(), bytes, &mut self.squares);
        }
        self.pending = 0;
    }
}

impl<T: Unsigned> CpuStage for Stage<T> {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "statistics of {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        for from in (0..frames.count()).step_by(LEAF as usize) {
            let count = (frames.count() - from).min(LEAF as usize);
            let mut rows: [&[T]; LEAF as usize] = [&[]; LEAF as usize];
            for (i, row) in rows[..count].iter_mut().enumerate() {
                *row = frames.frame(from + i);
            }
            let rows = &rows[..count];
            if self.params.squares {
                self.add::<true>(rows);
            } else {
                self.add::<false>(rows);
            }
            if self.params.extrema {
                extrema(self.isa, rows, self.flip, &mut self.min, &mut self.max);
            }
        }
        self.frames += frames.count() as u64;
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        if self.frames == 0 {
            return Ok(None);
        }
        self.widen();
        let all = std::mem::replace(
            self,
            Stage::new(self.isa, FrameShape { height: 0, ..self.shape }, self.params),
        );
        Ok(Some(Part::Exact {
            pixel: all.shape.pixel,
            frames: all.frames,
            sum: all.sum,
            squares: if all.params.squares {
                T::squares(all.squares)
            } else {
                Squares::None
            },
            min: all.min.into_iter().map(T::widen).collect(),
            max: all.max.into_iter().map(T::widen).collect(),
        }))
    }
}
