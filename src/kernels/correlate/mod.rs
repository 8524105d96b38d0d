//! Correlation of every frame with a template around expected peaks: maximum, sub-pixel position, height, elevation.
//!
//! For each expected peak the log-scaled frame L is correlated with the template S,
//!
//! C(k) = Σ_d S(d) L(k + d),
//!
//! on a *window* of integer positions k around the expected one, and the window is evaluated ([`Peak`]). The forms of
//! LiberTEM-blobfinder ([`Method`]) differ in where L comes from:
//!
//! - *fast*: a crop of 2c × 2c pixels, from p − c to p + c − 1; L = ln(f − min + 1) with the crop's minimum; the sum is circular
//!   in the crop; the window is the crop.
//! - *full*: the whole frame with the frame's minimum; the sum is circular in the frame; the window is again p − c … p + c − 1,
//!   and C = 0 outside the frame.
//! - *sparse*: the whole frame with the frame's minimum; a direct sum over the (2c+1)² stamp; the window holds the (2s+1)²
//!   displacements −s … s; L = 0 outside the frame.
//!
//! Differences f − min are formed in the pixel's own integer width, ln is [`crate::backend::cpu::ln`].
//!
//! **Evaluation.** The height is the window's maximum, first in C order. With r = min(2, distance of the maximum to the window's four
//! edges), r > 0, the refined position is the centre of mass of C − min C over the (2r+1)² neighbourhood, the minimum being that of the
//! neighbourhood; with r = 0 it is the integer position. The elevation is the minimum of (height − C)/d over all pixels of the
//! window whose distance d to the refined position is at least 1.5. With `upsample = u` only the position changes: the trigonometric
//! interpolation of C, through the whole period of the circular sum, is evaluated on ⌈1.5u⌉² points 1/u apart around the integer maximum
//! (from −⌊⌈1.5u⌉/2⌋/u on) and the highest point, first in C order, is taken.
//!
//! **Recipes.** [`Recipe::Published`] repeats LiberTEM-blobfinder: circular convolution instead of correlation (another result for
//! templates that are not point-symmetric, and a shift for odd user templates, when the template window is the published one),
//! expected positions truncated to integers, pixels outside the frame are 0 in a crop, and upsampling of the modulus of half the spectrum.
//! [`Recipe::Default`]: correlation, positions rounded, no signal (L = 0) outside the frame, upsampling of C itself.
//!
//! **Work and bytes.** Each crop reads n² pixels, n = 2c (sparse: n = 2(c+s)+1), full reads the frame once; 20 bytes are written per
//! peak ([`Peak`]) and nothing else leaves the kernel. Operations per crop: 2·t·o for direct sums with t template values other than 0 and o
//! outputs; with transforms of length m, 2m of them (each serves a pair of crops) and 3m² for the product; 31 n² for minimum, difference and
//! logarithm and about 8 n² for the evaluation ([`Plan::work`]). Crops whose length n has other factors than 2, 3, 5, 7, 11, 13 are continued periodically by
//! the template's support t to a smooth m ≥ n + t − 1, which leaves the first n values circular in n (the same as padding with zeros and
//! folding the wrapped margin back).
//!
//! **Bits.** Crops of one frame are paired by index, (0, 1), (2, 3), …, a missing partner is zero; frames are paired by their number in
//! the selection (full). Sums have a fixed order, so the result does not depend on blocks, threads or the instruction set.
//! Tolerances against float64: heights and elevations 1e-4 relative to the window's largest |C|, positions 1e-3 px where
//! the maximum is the same pixel (measured far below).

pub mod cpu;
pub mod gpu;
pub mod joint;
mod plan;

pub use plan::Plan;

use ndarray::Array2;
use std::sync::Arc;

/// Where the correlation is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In crops around the expected peaks.
    Fast,
    /// Once in the whole frame.
    Full,
    /// At displacements of up to `steps` pixels from the expected peaks.
    Sparse { steps: usize },
}

/// Ours, or the published one with its faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recipe {
    #[default]
    Default,
    Published,
}

/// What is correlated with what, where.
#[derive(Debug, Clone)]
pub struct Params {
    pub method: Method,
    pub recipe: Recipe,
    /// The template: fast 2c × 2c, full as large as the frame, sparse (2c+1) × (2c+1). Index (h/2, w/2) (integer division) means
    /// no displacement.
    pub template: Array2<f64>,
    /// Half the edge of the evaluated window, c (fast, full): the template's search range rounded up. At least 2.
    pub crop: usize,
    /// Label of each selected frame, by its number in the selection; negative: no correlation, no peaks.
    pub labels: Arc<[i32]>,
    /// Expected positions (y, x) in detector pixels for each label; any number, also none.
    pub positions: Arc<[Vec<[f64; 2]>]>,
    /// Refine on a grid this many times finer, at least 2, instead of by centre of mass. Not with the sparse form, which has no period.
    pub upsample: Option<u32>,
}

/// What is found at one expected position.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C)]
pub struct Peak {
    /// Integer position (y, x) of the highest correlation, in detector pixels; may lie outside the frame.
    pub center: [i16; 2],
    /// Refined position (y, x).
    pub refined: [f32; 2],
    /// Correlation at the centre.
    pub height: f32,
    /// Smallest slope from the height down to the rest of the window, ≥ 0: the weight of the position.
    pub elevation: f32,
}

/// The peaks of some consecutive frames, in the order of the expected positions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// Number, in the selection, of the first frame.
    pub first: u64,
    /// Peaks of frame i are `peaks[offsets[i]..offsets[i + 1]]`; one entry more than there are frames.
    pub offsets: Vec<u32>,
    pub peaks: Vec<Peak>,
}
