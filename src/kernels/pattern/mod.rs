//! Kikuchi patterns made clear: a chain of steps that turns each raw pattern into one that shows its bands.
//!
//! Steps run in float32 in the order given. The usual chain is binning, division by the static background, division by the
//! pattern's own low-pass (the dynamic background), stretch between two percentiles, and rounding to 8 or 16 bits. Tolerances
//! against float64 are those of the tests: 1e-6 of the maximum for backgrounds, one grey level for 8-bit results.
//!
//! Non-finite pixels are replaced by the mean of the nearest finite ones, pixels whose static background is not a positive number by
//! the mean of their corrected neighbours, and pixels with a low-pass of zero by 0. All are counted.

pub mod cpu;
pub mod gpu;
mod plan;
pub mod window;

pub use plan::Plan;
pub use window::{Border, Window};

use crate::pixel::Pixel;
use ndarray::Array2;

/// What happens with the static background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Static {
    Divide,
    Subtract,
    /// Subtracted after it was scaled to the pattern's own range.
    SubtractScaled,
}

/// What happens with the low-pass of a pattern.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dynamic {
    /// x / b.
    Divide,
    /// x − scale·b.
    Subtract { scale: f32 },
    /// b itself.
    Background,
}

/// One step of the chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Replaces single hot or dead pixels by the median of their eight neighbours: those further from it than `factor` times the
    /// distance of the second to the seventh neighbour in order.
    Hot { factor: f32 },
    /// Divides by, or subtracts, the static background. It has the size of the patterns before or after binning; in the first case
    /// it is binned by the mean.
    Static { image: Array2<f64>, how: Static },
    /// The dynamic background.
    Lowpass { window: Window, how: Dynamic },
    /// (x − mean) / standard deviation of the (2·half+1)² pixels around; 0 where the deviation is below 1e-8.
    LocalNorm { half: usize, border: Border },
    /// Contrast-limited adaptive histogram equalisation with tiles of `tile` (y, x) pixels and up to 256 grey-level bins:
    /// scikit-image's `equalize_adapthist`. A `clip` of 0 sets no limit. The result spans 0 … 1.
    Clahe { tile: [usize; 2], clip: f64, bins: usize },
    /// Clips to the percentiles `low` and `high` (linear interpolation, 0 … 100) and maps these to `to`. A constant pattern
    /// becomes `to[0]`. `whole` drops what follows the decimal point, as a conversion to integers does.
    Stretch { low: f64, high: f64, to: [f32; 2], whole: bool },
    /// Zero outside the circle with this radius in parts of the pattern's width, about its centre.
    Circle { radius: f64 },
}

/// The chain for one kind of pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Edge of the blocks of pixels whose mean is taken first; what is left at the right and bottom edges is dropped.
    pub bin: usize,
    pub steps: Vec<Step>,
    /// `U8`, `U16` or `F32`. Values outside the range of the integers are clipped.
    pub output: Pixel,
    /// Rounds to the nearest integer instead of dropping the digits behind the point.
    pub round: bool,
}

/// Processed patterns of some consecutive frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number of the first frame in the selection.
    pub first: u64,
    pub count: usize,
    /// Pixels of the output type, C order, one pattern after another without padding.
    pub bytes: Vec<u8>,
    /// Pixels that were replaced because they or their backgrounds were no positive numbers.
    pub filled: u64,
}
