//! Patterns and their neighbours on the map: weighted means of patterns, and how much pairs of patterns differ.
//!
//! Both work on a tile: frames of a part of the map with the margin that its border needs. Means are Σ w·I / Σ w over a list of frames
//! for each output, pixel by pixel, in the order of the list; integers up to 2²⁴ are summed exactly for equal weights. Pixels that are not
//! finite are left out of means, and add nothing to the measures of pairs.
//!
//! Non-local averaging (NLPAR; P. T. Brewick, S. I. Wright, D. J. Rowenhorst, *Ultramicroscopy* 200 (2019) 50) takes its weights from
//! differences: [`noise`] and [`similarity_weight`].

pub mod cpu;
pub mod gpu;

use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames};
use std::sync::Arc;

/// Which frames of a tile make up each mean, with their weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lists {
    /// End of each list in `members`.
    ends: Vec<u32>,
    /// Number of a frame in the tile, and its weight.
    members: Vec<(u32, f32)>,
}

impl Lists {
    /// Adds the list of another output.
    pub fn push(&mut self, members: impl IntoIterator<Item = (u32, f32)>) {
        self.members.extend(members);
        self.ends.push(self.members.len() as u32);
    }
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    /// True without outputs.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// The list of output `i`.
    pub fn of(&self, i: usize) -> &[(u32, f32)] {
        let from = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.members[from as usize..self.ends[i] as usize]
    }

    /// All members are frames of a tile of `frames`.
    fn check(&self, frames: usize) -> Result<()> {
        match self.members.iter().find(|m| m.0 as usize >= frames) {
            None => Ok(()),
            Some(m) => Err(Error::Internal(format!("neighbour {} of {frames} frames", m.0))),
        }
    }
}

/// How two patterns a, b are compared; w are the weights of pixels, 1 without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Σ w (a − b)².
    Difference,
    /// Weighted Pearson correlation: Σ w (a − ā)(b − b̄) over the root of Σ w (a − ā)² · Σ w (b − b̄)², means weighted too.
    Correlation,
    /// Σ w a b over the root of Σ w a² · Σ w b².
    InnerProduct,
}

/// What a stage works on.
#[derive(Debug, Clone)]
pub struct Params {
    pub frame: FrameShape,
    pub measure: Measure,
    /// Weight of each pixel in measures, at least 0.
    pub weights: Option<Arc<[f32]>>,
}

impl Params {
    /// Square roots of the weights and their sum.
    fn roots(&self) -> Result<(Vec<f32>, f64)> {
        let pixels = self.frame.pixels();
        let Some(weights) = &self.weights else {
            return Ok((vec![1.0; pixels], pixels as f64));
        };
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let usable = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
        if weights.len() != pixels || !usable || sum <= 0.0 {
            let what = format!(
                "{} weights for patterns of {} × {} pixels: at least 0, and not all of them",
                weights.len(),
                self.frame.height,
                self.frame.width
            );
            return Err(Error::parameter("--weights", what));
        }
        Ok((weights.iter().map(|w| w.sqrt()).collect(), sum))
    }
}

/// A kernel's state: on one backend, for tiles one after another.
pub trait Stage: Send {
    /// Means of the frames of a tile, (lists, pixels) in C order; NaN where no pixel is finite or a list is empty.
    ///
    /// # Errors
    /// [`Error::Internal`] for frames of another shape or lists that leave the tile; whatever the device reports.
    fn means(&mut self, frames: Frames<'_>, lists: &Lists) -> Result<Vec<f32>>;
    /// The measure of each pair of frames of a tile; 0 for correlations with a pattern without contrast.
    ///
    /// # Errors
    /// As [`Stage::means`].
    fn pairs(&mut self, frames: Frames<'_>, pairs: &[[u32; 2]]) -> Result<Vec<f32>>;
}

fn check(params: &Params, frames: Frames<'_>) -> Result<()> {
    match frames.shape() == params.frame {
        true => Ok(()),
        false => {
            let what = format!("neighbours of {:?} given {:?}", params.frame, frames.shape());
            Err(Error::Internal(what))
        }
    }
}

/// The variance of the noise of a pattern of `pixels` from the squared differences to its nearest neighbours: the least of them is taken to
/// be noise alone, of both patterns. `None` without neighbours.
pub fn noise(differences: impl Iterator<Item = f64>, pixels: usize) -> Option<f64> {
    let least = differences.filter(|d| d.is_finite()).reduce(f64::min)?;
    Some(least / (2.0 * pixels as f64))
}

/// The weight of a neighbour in a non-local average: exp(−max(d, 0)/λ²) with the difference in standard deviations of what noise alone gives,
/// d = (|a − b|² − n(σ_a² + σ_b²)) / ((σ_a² + σ_b²) √(2n)). Without noise only equal patterns count.
pub fn similarity_weight(difference: f64, pixels: usize, variances: [f64; 2], lambda: f64) -> f64 {
    let (n, variance) = (pixels as f64, variances[0] + variances[1]);
    let excess = difference - n * variance;
    if excess <= 0.0 {
        return 1.0;
    }
    (-excess / (variance * (2.0 * n).sqrt()) / (lambda * lambda)).exp()
}
