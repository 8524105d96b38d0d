//! Sum, mean, variance, standard deviation, minimum and maximum of every pixel over the frames.
//!
//! Integers are exact: every pixel is taken as unsigned (signed types with the sign bit flipped, that is
//! biased by 2^(bits-1)), Σu and Σu² are integers, and the variance's numerator n·Σu²−(Σu)² is formed in
//! `i128`. So results are bit-identical on every backend. `f32` pixels accumulate Σ(x−s) and Σ(x−s)² in
//! float32 inside a leaf, about the leaf's first frame s; leaves merge in float64 with Chan's formula
//! (Chan, Golub, LeVeque, *Am. Stat.* 37 (1983) 242).

pub mod cpu;
pub mod gpu;

use crate::backend::stage::{Merge, Work};
use crate::pixel::{FrameShape, Pixel};

/// What to accumulate. `min`/`max` cost extra state, so they are optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Σx² (or M2) for variance and standard deviation.
    pub squares: bool,
    /// Minimum and maximum.
    pub extrema: bool,
}

/// Work on one frame. For each pixel: an addition (of numbers twice as wide as the pixel), for squares a product as wide and an addition
/// twice as wide as that, for extrema two comparisons as wide as the pixel; float32 numbers all have one width.
pub fn work(shape: FrameShape, params: &Params) -> Work {
    let width = shape.pixel.bytes() as u64;
    let wide = |times: u64| match shape.pixel {
        Pixel::F32 => 4,
        _ => width * times,
    };
    let sum = wide(2) + if shape.pixel == Pixel::F32 { 4 } else { 0 };
    let squares = if params.squares { wide(2) + wide(4) } else { 0 };
    let extrema = if params.extrema { 2 * width } else { 0 };
    Work {
        read: shape.bytes() as u64,
        written: 0,
        operations: shape.pixels() as u64 * (sum + squares + extrema) / 4,
    }
}

/// Accumulated state of some frames; every vector has one entry per pixel, in C order, or is empty when not asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Integer pixels: exact, mergeable in any order. At most 2³² − 1 frames.
    Exact {
        pixel: Pixel,
        frames: u64,
        sum: Vec<u64>,
        squares: Squares,
        min: Vec<u32>,
        max: Vec<u32>,
    },
    /// `f32` pixels: mean and sum of squared deviations from it.
    Float {
        frames: u64,
        mean: Vec<f64>,
        m2: Vec<f64>,
        min: Vec<f32>,
        max: Vec<f32>,
    },
}

/// Σu² of biased pixels.
#[derive(Debug, Clone, PartialEq)]
pub enum Squares {
    None,
    /// 8- and 16-bit pixels.
    Narrow(Vec<u64>),
    /// 32-bit pixels.
    Wide(Vec<u128>),
}

/// Added to a signed pixel to make it the unsigned number that is accumulated.
pub const fn bias(pixel: Pixel) -> i64 {
    match pixel {
        Pixel::I8 => 1 << 7,
        Pixel::I16 => 1 << 15,
        Pixel::I32 => 1 << 31,
        _ => 0,
    }
}

impl Merge for Part {
    fn merge(&mut self, right: Part) {
        match (self, right) {
            (
                Part::Exact {
                    frames,
                    sum,
                    squares,
                    min,
                    max,
                    ..
                },
                Part::Exact {
                    frames: n,
                    sum: s,
                    squares: q,
                    min: lo,
                    max: hi,
                    ..
                },
            ) => {
                *frames += n;
                sum.iter_mut().zip(s).for_each(|(a, b)| *a += b);
                match (squares, q) {
                    (Squares::Narrow(a), Squares::Narrow(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
                    (Squares::Wide(a), Squares::Wide(b)) => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
                    _ => {}
                }
                min.iter_mut().zip(lo).for_each(|(a, b)| *a = (*a).min(b));
                max.iter_mut().zip(hi).for_each(|(a, b)| *a = (*a).max(b));
            }
            (
                Part::Float {
                    frames,
                    mean,
                    m2,
                    min,
                    max,
                },
                Part::Float {
                    frames: n,
                    mean: m,
                    m2: q,
                    min: lo,
                    max: hi,
                },
            ) => {
                // Chan et al. eq. 2.1: mean and M2 of the union of two samples.
                let (a, b) = (*frames as f64, n as f64);
                let total = a + b;
                if m2.is_empty() {
                    mean.iter_mut().zip(m).for_each(|(x, y)| *x += (y - *x) * (b / total));
                } else {
                    for (((x, y), v), w) in mean.iter_mut().zip(m).zip(m2.iter_mut()).zip(q) {
                        let delta = y - *x;
                        *x += delta * (b / total);
                        *v += w + delta * delta * (a * b / total);
                    }
                }
                *frames += n;
                min.iter_mut().zip(lo).for_each(|(a, b)| *a = a.min(b));
                max.iter_mut().zip(hi).for_each(|(a, b)| *a = a.max(b));
            }
            _ => unreachable!("parts of one pass have one pixel type"),
        }
    }
}

impl Part {
    /// Frames accumulated.
    pub fn frames(&self) -> u64 {
        match self {
            Part::Exact { frames, .. } | Part::Float { frames, .. } => *frames,
        }
    }
    /// Σx, exact to the last bit of float64 for integers.
    pub fn sum(&self) -> Vec<f64> {
        match self {
            Part::Exact { pixel, frames, sum, .. } => {
                let shift = i128::from(bias(*pixel)) * i128::from(*frames);
                sum.iter().map(|&s| (i128::from(s) - shift) as f64).collect()
            }
            Part::Float { frames, mean, .. } => mean.iter().map(|m| m * *frames as f64).collect(),
        }
    }
    /// Σx / n.
    pub fn mean(&self) -> Vec<f64> {
        match self {
            Part::Exact { frames, .. } => self.sum().into_iter().map(|s| s / *frames as f64).collect(),
            Part::Float { mean, .. } => mean.clone(),
        }
    }
    /// Population variance Σ(x − mean)² / n. Empty if squares were not accumulated.
    pub fn variance(&self) -> Vec<f64> {
        match self {
            Part::Exact {
                frames, sum, squares, ..
            } => {
                let n = *frames as f64;
                match squares {
                    Squares::None => Vec::new(),
                    Squares::Narrow(q) => q
                        .iter()
                        .zip(sum)
                        .map(|(&q, &s)| variance_of(*frames, u128::from(q), s) / n / n)
                        .collect(),
                    Squares::Wide(q) => q.iter().zip(sum).map(|(&q, &s)| variance_of(*frames, q, s) / n / n).collect(),
                }
            }
            Part::Float { frames, m2, .. } => m2.iter().map(|m| m / *frames as f64).collect(),
        }
    }
    /// Square root of the variance.
    pub fn std(&self) -> Vec<f64> {
        self.variance().into_iter().map(f64::sqrt).collect()
    }
    /// Smallest and largest value of each pixel. Empty if extrema were not accumulated.
    pub fn extrema(&self) -> (Vec<f64>, Vec<f64>) {
        match self {
            Part::Exact { pixel, min, max, .. } => {
                let b = bias(*pixel);
                let f = |v: &Vec<u32>| v.iter().map(|&u| (i64::from(u) - b) as f64).collect();
                (f(min), f(max))
            }
            Part::Float { min, max, .. } => (
                min.iter().map(|&v| f64::from(v)).collect(),
                max.iter().map(|&v| f64::from(v)).collect(),
            ),
        }
    }
}

/// n·Σu² − (Σu)², exact in `i128`. For 32-bit pixels both terms stay below 2^128 because n < 2^32;
/// wrapping arithmetic gives the exact difference, which is below 2^127.
fn variance_of(n: u64, squares: u128, sum: u64) -> f64 {
    let numerator = u128::from(n)
        .wrapping_mul(squares)
        .wrapping_sub(u128::from(sum) * u128::from(sum));
    numerator as f64
}
