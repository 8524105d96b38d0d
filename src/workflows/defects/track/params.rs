//! Parameters of `defects track`, with the names that flags and parameter files use.

use crate::analysis::Recipe;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Regions at most.
const MOST: usize = 64;

/// A square region: middle (y, x) and half of its side in pixels, ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Square(pub [f64; 3]);

impl std::str::FromStr for Square {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let wrong = || {
            Error::parameter(
                "--region",
                format!("'{s}' is not row, column and half the side in pixels, like 252,344,25"),
            )
        };
        let numbers: Vec<f64> = s
            .split(',')
            .map(|t| t.trim().parse().map_err(|_| wrong()))
            .collect::<Result<_>>()?;
        match numbers[..] {
            [y, x, r] if [y, x, r].iter().all(|v| v.is_finite()) && r > 0.0 => Ok(Square([y, x, r])),
            _ => Err(wrong()),
        }
    }
}

/// Parameters of `defects track`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Longest step from frame to frame in pixels; not given: 4/3 of the lattice's spacing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<f64>,
    /// Frames that a defect may be missed in a row.
    pub gap: u32,
    /// Pixels that a change of class adds to a step.
    pub class_change: f64,
    /// Pixel size and frame time, instead of the movie's calibration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_time: Option<f64>,
    /// Regions whose points are looked at together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub region: Vec<Square>,
    /// Class of the points in regions; not given: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<i32>,
    /// Standard deviations of the ellipse.
    pub deviations: f64,
    pub seed: u64,
    pub recipe: Recipe,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            gate: None,
            gap: 2,
            class_change: 0.0,
            pixel_size: None,
            frame_time: None,
            region: Vec::new(),
            class: None,
            deviations: 2.0,
            seed: 0,
            recipe: Recipe::Default,
        }
    }
}

impl Params {
    /// Looks whether the values make sense.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one does not.
    pub fn check(&self) -> Result<()> {
        let wrong = |name: &str, what: String| Err(Error::parameter(name, what));
        for (name, value) in [
            ("--gate", self.gate),
            ("--pixel-size", self.pixel_size),
            ("--frame-time", self.frame_time),
        ] {
            if let Some(v) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return wrong(name, format!("{v} is not above 0"));
            }
        }
        if !(self.class_change.is_finite() && self.class_change >= 0.0) {
            return wrong("--class-change", format!("{} is no distance", self.class_change));
        }
        if !(self.deviations.is_finite() && self.deviations > 0.0) {
            return wrong("--deviations", format!("{} is not above 0", self.deviations));
        }
        if let Some(Square(r)) = self
            .region
            .iter()
            .find(|r| !(r.0.iter().all(|v| v.is_finite()) && r.0[2] > 0.0))
        {
            return wrong("--region", format!("{},{},{} is no region", r[0], r[1], r[2]));
        }
        if self.region.len() > MOST {
            return wrong("--region", format!("{} regions; {MOST} at most", self.region.len()));
        }
        Ok(())
    }
}
