//! Parameters of `cluster`, with the names that flags and parameter files use.

use crate::analysis::Recipe;
use crate::analysis::template::Template;
use crate::error::{Error, Result};
use crate::workflows::descan::Descan;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Built-in templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PatternName {
    /// Disk minus a balanced ring around it.
    Background,
    /// Intensity rising towards the edge.
    Gradient,
    /// The same with a negative ring.
    GradientBackground,
    /// Plain disk.
    Disk,
}

impl PatternName {
    /// The name in template specs.
    pub fn name(self) -> &'static str {
        match self {
            PatternName::Background => "background",
            PatternName::Gradient => "gradient",
            PatternName::GradientBackground => "gradient-background",
            PatternName::Disk => "disk",
        }
    }
}

/// How many clusters: a number, or what the data say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clusters {
    #[default]
    Auto,
    Number(usize),
}

impl FromStr for Clusters {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match (s, s.parse::<usize>()) {
            ("auto", _) => Ok(Clusters::Auto),
            (_, Ok(n)) if n > 0 => Ok(Clusters::Number(n)),
            _ => Err(format!("'{s}' is neither 'auto' nor a number above 0")),
        }
    }
}

impl fmt::Display for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clusters::Auto => f.write_str("auto"),
            Clusters::Number(n) => write!(f, "{n}"),
        }
    }
}

impl Serialize for Clusters {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Clusters::Auto => s.serialize_str("auto"),
            Clusters::Number(n) => s.serialize_u64(*n as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Clusters {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(usize),
            Text(String),
        }
        let text = match Raw::deserialize(d)? {
            Raw::Number(n) => n.to_string(),
            Raw::Text(t) => t,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Parameters of `cluster`; the defaults are those of the published polycrystal analysis, with the number of clusters chosen
/// from the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Radius of the disks in pixels.
    pub radius: f64,
    /// Outer radius of the subtracted ring.
    pub radius_outer: f64,
    pub pattern: PatternName,
    /// A template instead of a built-in pattern: a spec like `background:1.5,2.5` or an image file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Search range in pixels; default by the pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<f64>,
    /// Number of feature peaks.
    pub feature_peaks: usize,
    /// Find peaks on ln(std − min std + 1) instead of std.
    pub log_std: bool,
    pub clusters: Clusters,
    /// Cut the merge tree at this ward distance instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_threshold: Option<f64>,
    /// Weight of the scan coordinates in the features.
    pub position_weight: f64,
    /// What of the wandering of the direct beam is taken out before features are computed.
    pub descan: Descan,
    /// Feature peaks (n, 2) as (y, x) instead of finding them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peaks: Option<PathBuf>,
    /// Labels (ny, nx) instead of clustering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    pub recipe: Recipe,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            radius: 1.5,
            radius_outer: 2.5,
            pattern: PatternName::Background,
            template: None,
            search: None,
            feature_peaks: 300,
            log_std: false,
            clusters: Clusters::Auto,
            distance_threshold: None,
            position_weight: 0.2,
            descan: Descan::None,
            peaks: None,
            labels: None,
            recipe: Recipe::Default,
        }
    }
}

impl Params {
    /// The template that is correlated with the map and stamped on the frames. `load` reads a user's file.
    ///
    /// # Errors
    /// [`Error::Parameter`] for impossible radii or a bad file.
    pub fn template(&self, load: impl FnOnce(&Path) -> Result<Array2<f64>>) -> Result<Template> {
        let template = match &self.template {
            Some(spec) => Template::parse(spec, load)?,
            None => Template::named(self.pattern.name(), self.radius, Some(self.radius_outer))?,
        };
        match self.search {
            Some(search) => template.with_search(search),
            None => Ok(template),
        }
    }

    /// # Errors
    /// [`Error::Parameter`] for values that make no sense together.
    pub fn check(&self) -> Result<()> {
        if self.feature_peaks == 0 {
            return Err(Error::parameter("--feature-peaks", "at least one peak is needed"));
        }
        if !self.position_weight.is_finite() || self.position_weight < 0.0 {
            return Err(Error::parameter("--position-weight", "must be zero or positive"));
        }
        if self.distance_threshold.is_some_and(|d| !d.is_finite() || d < 0.0) {
            return Err(Error::parameter("--distance-threshold", "must be zero or positive"));
        }
        Ok(())
    }
}
