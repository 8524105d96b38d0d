//! Blocks of pixels that become one, in whole numbers where pixels are.

use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Pixel, Sample};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Most that a sum of pixels may take: frames are binned in 32 bits.
const MAX_BIN: usize = 256;

/// How a block of pixels becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinMode {
    /// Their mean, rounded to the nearest integer, ties to even; the pixel type stays.
    #[default]
    Mean,
    /// Their sum, in the next larger integer type.
    Sum,
}

/// Edge of the blocks and what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binning {
    pub bin: usize,
    pub mode: BinMode,
}

/// The shape and type of binned frames.
pub(crate) fn binned_frame(from: FrameShape, params: Binning) -> Result<FrameShape> {
    let f = params.bin;
    if f == 0 || f > MAX_BIN || f > from.height || f > from.width {
        let what = format!(
            "{f} for frames of {} × {}: 1 to {MAX_BIN} and at most the frame",
            from.height, from.width
        );
        return Err(Error::parameter("--bin", what));
    }
    let pixel = match (params.mode, from.pixel) {
        (BinMode::Mean, p) => p,
        (BinMode::Sum, p) if f == 1 => p,
        (BinMode::Sum, Pixel::U8) => Pixel::U16,
        (BinMode::Sum, Pixel::U16 | Pixel::U32) => Pixel::U32,
        (BinMode::Sum, Pixel::I8 | Pixel::I16 | Pixel::I32) => Pixel::I32,
        (BinMode::Sum, Pixel::F32) => Pixel::F32,
    };
    Ok(FrameShape {
        pixel,
        height: from.height / f,
        width: from.width / f,
    })
}

/// The static background binned like the patterns; rounded where it holds whole numbers, as the layout's own importers do.
pub(crate) fn bin_background(background: &Array2<f64>, frame: FrameShape, params: Binning) -> Array2<f64> {
    let f = params.bin;
    let whole = background.iter().all(|v| v.fract() == 0.0);
    Array2::from_shape_fn((frame.height, frame.width), |(y, x)| {
        let block = background.slice(ndarray::s![y * f..(y + 1) * f, x * f..(x + 1) * f]);
        match params.mode {
            BinMode::Sum => block.sum(),
            BinMode::Mean if whole => (block.sum() / (f * f) as f64).round_ties_even(),
            BinMode::Mean => block.sum() / (f * f) as f64,
        }
    })
}

/// Bins one frame of `width` columns to `out`, in the type of `frame`.
pub(crate) fn bin<T: Sample>(
    pattern: &[T],
    width: usize,
    frame: FrameShape,
    params: Binning,
    out: &mut [u8],
) -> Result<(), String> {
    let (f, w) = (params.bin, width);
    let (bw, count) = (frame.width, (f * f) as f64);
    // Sums of 2¹⁶ pixels of 32 bits are exact in float64, and so is every half.
    let mut sums = vec![0.0f64; bw];
    let size = frame.pixel.bytes();
    for (y, row) in out.chunks_exact_mut(bw * size).enumerate() {
        sums.fill(0.0);
        for line in pattern[y * f * w..(y + 1) * f * w].chunks_exact(w) {
            for (sum, block) in sums.iter_mut().zip(line.chunks_exact(f)) {
                *sum += block.iter().map(|v| v.to_f64()).sum::<f64>();
            }
        }
        let integer = frame.pixel.is_integer();
        if params.mode == BinMode::Mean {
            sums.iter_mut().for_each(|s| {
                *s /= count;
                if integer {
                    *s = s.round_ties_even();
                }
            });
        }
        for (place, &sum) in row.chunks_exact_mut(size).zip(&sums) {
            store(frame.pixel, sum, place)?;
        }
    }
    Ok(())
}

/// Mean of a frame; exact for integers.
pub(crate) fn mean<T: Sample>(pattern: &[T]) -> f64 {
    // Lanes that the compiler can keep in registers; sums of integers below 2⁵³ are exact in any order.
    let mut lanes = [0.0f64; 16];
    let chunks = pattern.chunks_exact(16);
    let rest: f64 = chunks.remainder().iter().map(|v| v.to_f64()).sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v.to_f64());
    }
    (lanes.iter().sum::<f64>() + rest) / pattern.len() as f64
}

/// A value in the bytes of a pixel type.
fn store(pixel: Pixel, value: f64, place: &mut [u8]) -> Result<(), String> {
    macro_rules! put {
        ($t:ty) => {{
            // False for NaN too.
            if !(value >= f64::from(<$t>::MIN) && value <= f64::from(<$t>::MAX)) {
                return Err(format!("the sum {value} does not fit {pixel}; --bin-mode mean does"));
            }
            place.copy_from_slice(&(value as $t).to_ne_bytes());
        }};
    }
    match pixel {
        Pixel::U8 => put!(u8),
        Pixel::I8 => put!(i8),
        Pixel::U16 => put!(u16),
        Pixel::I16 => put!(i16),
        Pixel::U32 => put!(u32),
        Pixel::I32 => put!(i32),
        Pixel::F32 => place.copy_from_slice(&(value as f32).to_ne_bytes()),
    }
    Ok(())
}
