//! Parameters of `defects train`, with the names that flags and parameter files use.

use crate::analysis::Recipe;
use crate::error::{Error, Result};
use crate::kernels::network::train::Rates;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Parameters of `defects train`; what is not given depends on the recipe ([`Params::effective`]).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// The label maps, one file for each movie, for the record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// A model to go on from, instead of random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// The frames of each movie that are labelled; none: the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frame: Vec<u64>,
    /// Side of the patches, and from one to the next, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Patches of one change of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    pub seed: u64,
    /// Share of the frame (published: of the patches) that only tells when to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Epochs without progress after which training ends; 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Patches are turned and mirrored at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<bool>,
    /// Weight of classes in the loss: their share to the power of minus this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<f64>,
    /// Adam's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// [`Params`] with everything filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effective {
    pub patch: usize,
    pub step: usize,
    pub epochs: usize,
    pub batch: usize,
    pub validation: f64,
    pub patience: usize,
    pub augment: bool,
    pub balance: f64,
    pub rate: f64,
}

impl Params {
    /// Numbers of the labelled frames.
    pub fn frames(&self) -> &[u64] {
        if self.frame.is_empty() { &[0] } else { &self.frame }
    }

    /// Fills in what the recipe says.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values that make no sense.
    pub fn effective(&self, recipe: Recipe) -> Result<Effective> {
        let published = recipe == Recipe::Published;
        let pick = |published_value, default_value| if published { published_value } else { default_value };
        let e = Effective {
            patch: self.patch.unwrap_or(pick(256, 128)),
            step: self.step.unwrap_or(pick(8, 32)),
            epochs: self.epochs.unwrap_or(pick(50, 80)),
            batch: self.batch.unwrap_or(pick(32, 8)),
            validation: self.validation.unwrap_or(0.2),
            patience: self.patience.unwrap_or(pick(0, 40)),
            augment: self.augment.unwrap_or(!published),
            balance: self.balance.unwrap_or(if published { 0.0 } else { 0.25 }),
            rate: self.rate.unwrap_or(Rates::default().rate),
        };
        for (name, value) in [
            ("--patch", e.patch),
            ("--step", e.step),
            ("--epochs", e.epochs),
            ("--batch", e.batch),
        ] {
            if value == 0 {
                return Err(Error::parameter(name, "0 makes no sense"));
            }
        }
        if !(0.0..0.9).contains(&e.validation) {
            return Err(Error::parameter(
                "--validation",
                format!("{} is not between 0 and 0.9", e.validation),
            ));
        }
        if !(1e-8..=1.0).contains(&e.rate) {
            return Err(Error::parameter("--rate", format!("{} is not between 1e-8 and 1", e.rate)));
        }
        if !(0.0..=1.0).contains(&e.balance) {
            return Err(Error::parameter("--balance", format!("{} is not between 0 and 1", e.balance)));
        }
        Ok(e)
    }
}
