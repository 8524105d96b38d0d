//! Parameters of `defects detect`, with the names that flags and parameter files use.

use crate::analysis::Recipe;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;

/// Most frames shown.
const MOST_SHOWN: usize = 64;

/// Which drift of the specimen is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    None,
    /// From each frame to the next, by correlation.
    #[default]
    Measured,
}

/// Parameters of `defects detect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// The model, for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// Pixels with a higher probability belong to defects.
    pub threshold: f32,
    /// Smallest and largest area in pixels. Both belong to the range, by the published recipe neither does.
    pub min_area: u32,
    pub max_area: u32,
    /// Side of the windows in pixels.
    pub window: usize,
    /// Separate patches as in the published analysis.
    pub patch_exact: bool,
    /// Store probabilities of all frames.
    pub save_probability: bool,
    /// First frame, and the one behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<[u64; 2]>,
    /// Frames in the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub show_frames: Vec<u64>,
    pub drift: Drift,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            model: None,
            threshold: 0.5,
            min_area: 5,
            max_area: 700,
            window: 32,
            patch_exact: false,
            save_probability: false,
            frames: None,
            show_frames: Vec::new(),
            drift: Drift::default(),
        }
    }
}

impl Params {
    pub(super) fn range(&self, frames: u64) -> Result<Range<u64>> {
        match self.frames {
            None => Ok(0..frames),
            Some([a, b]) if a < b && b <= frames => Ok(a..b),
            Some([a, b]) => Err(Error::parameter(
                "--frames",
                format!("{a}..{b} of a movie of {frames} frames; the second number is not included"),
            )),
        }
    }

    pub(super) fn check(&self, size: [usize; 2]) -> Result<()> {
        let wrong = |name: &str, what: String| Err(Error::parameter(name, what));
        if !(0.0..1.0).contains(&self.threshold) {
            return wrong("--threshold", format!("{} is not between 0 and 1", self.threshold));
        }
        if self.min_area > self.max_area {
            return wrong(
                "--min-area",
                format!("{} is above the largest area {}", self.min_area, self.max_area),
            );
        }
        if self.window == 0 || self.window > size[0].min(size[1]) {
            let what = format!("{} pixels in frames of {} × {}", self.window, size[0], size[1]);
            return wrong("--window", what);
        }
        if self.show_frames.len() > MOST_SHOWN {
            return wrong(
                "--show-frames",
                format!("{} frames; at most {MOST_SHOWN} fit", self.show_frames.len()),
            );
        }
        Ok(())
    }

    pub(super) fn area_counts(&self, area: u32, recipe: Recipe) -> bool {
        match recipe {
            Recipe::Default => (self.min_area..=self.max_area).contains(&area),
            Recipe::Published => self.min_area < area && area < self.max_area,
        }
    }

    /// First row and column of the window around a centre, if it is kept. Published: windows that touch the first row or column or the last
    /// possible place are dropped, too.
    pub(super) fn corner(&self, centre: [f64; 2], size: [usize; 2], recipe: Recipe) -> Option<[usize; 2]> {
        let mut corner = [0; 2];
        for k in 0..2 {
            let first = (centre[k] - self.window as f64 / 2.0).round_ties_even();
            let last = size[k] as f64 - self.window as f64;
            let inside = match recipe {
                Recipe::Default => (0.0..=last).contains(&first),
                Recipe::Published => first > 0.0 && first < last,
            };
            if !inside {
                return None;
            }
            corner[k] = first as usize;
        }
        Some(corner)
    }
}
