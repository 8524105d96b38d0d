//! Integer pixels: exact sums of unsigned (sign bit flipped) pixels.

use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::kernels::statistics::{Params, Part, Squares};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};

/// Frames added up in registers before partial sums are touched.
const SWEEP: usize = 8;
/// Pixels whose partial sums, with a sweep of frames, stay in the first-level cache.
const TILE: usize = 512;

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
}

macro_rules! unsigned {
    ($t:ty, $narrow:ty, $half:ty, $square:ty, $squares:ident, |$x:ident, $lo:ident, $hi:ident| $halves:expr, $bits:expr) => {
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
    0
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
    16
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
    32
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
    /// Adds frames (at most [`LEAF`]) to the sums and, if asked for, to the sums of squares.
    fn accumulate[T: Unsigned, const SQUARES: bool][T, SQUARES](rows: &[&[T]], flip: T, sum: &mut [u64], squares: &mut [T::Square]) {
        let pixels = sum.len();
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
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
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
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
}

impl<T: Unsigned> Stage<T> {
    pub(super) fn new(isa: Isa, shape: FrameShape, params: Params) -> Self {
        let pixels = shape.pixels();
        let signed = matches!(shape.pixel, Pixel::I8 | Pixel::I16 | Pixel::I32);
        let extrema = if params.extrema { pixels } else { 0 };
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
        }
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
        let rows: Vec<&[T]> = (0..frames.count()).map(|i| frames.frame(i)).collect();
        for rows in rows.chunks(LEAF as usize) {
            if self.params.squares {
                accumulate::<T, true>(self.isa, rows, self.flip, &mut self.sum, &mut self.squares);
            } else {
                accumulate::<T, false>(self.isa, rows, self.flip, &mut self.sum, &mut self.squares);
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
