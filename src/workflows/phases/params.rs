//! Parameters of `phases`, with the names that flags and parameter files use.

use super::vary::{self, Start};
use crate::analysis::Recipe;
use crate::analysis::hdbscan::{Hdbscan, Selection as Choice};
use crate::analysis::umap::MOST_COMPONENTS;
use crate::analysis::umap::{Curve, Density, Umap};
use crate::error::{Error, Result};
use crate::kernels::nearest::Metric;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// What the standard-deviation map is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdOf {
    /// Counts.
    #[default]
    Raw,
    /// Their logarithm; zero stays zero.
    Log,
}

/// How blocks of detector pixels become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BinMode {
    #[default]
    Sum,
    Mean,
}

/// What of a diffraction pattern becomes features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// Pixels that vary most over the scan.
    #[default]
    Pixels,
    /// Azimuthal means in rings of one pixel about the direct beam.
    Radial,
    /// The same in [`Params::rings`] rings of equal width.
    Annular,
    /// The pixels that vary most of the power cepstrum, the Fourier amplitudes of ln(1 + pattern).
    Cepstrum,
}

impl std::fmt::Display for Reduce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reduce::Pixels => "pixels",
            Reduce::Radial => "radial",
            Reduce::Annular => "annular",
            Reduce::Cepstrum => "cepstrum",
        })
    }
}

/// Where the direct beam is masked, in rebinned pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum BeamMask {
    /// Found from the mean pattern.
    #[default]
    Auto,
    None,
    /// Centre (y, x) and radius.
    Disk([f64; 3]),
}

impl FromStr for BeamMask {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => return Ok(BeamMask::Auto),
            "none" => return Ok(BeamMask::None),
            _ => {}
        }
        let wrong = || format!("'{s}' is neither 'auto' nor 'none' nor Y,X,R like 14.75,15.25,2.5");
        let numbers: Vec<f64> = s
            .split(',')
            .map(|t| t.trim().parse().map_err(|_| wrong()))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [y, x, r] if y.is_finite() && x.is_finite() && r.is_finite() && r >= 0.0 => Ok(BeamMask::Disk([y, x, r])),
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for BeamMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BeamMask::Auto => f.write_str("auto"),
            BeamMask::None => f.write_str("none"),
            BeamMask::Disk([y, x, r]) => write!(f, "{y},{x},{r}"),
        }
    }
}

/// A number, or what the data say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AutoOr<T> {
    Auto,
    Value(T),
}

impl<T: FromStr> FromStr for AutoOr<T> {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match (s, s.parse()) {
            ("auto", _) => Ok(AutoOr::Auto),
            (_, Ok(v)) => Ok(AutoOr::Value(v)),
            _ => Err(format!("'{s}' is neither 'auto' nor a number")),
        }
    }
}

impl<T: std::fmt::Display> std::fmt::Display for AutoOr<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AutoOr::Auto => f.write_str("auto"),
            AutoOr::Value(v) => write!(f, "{v}"),
        }
    }
}

/// A value that files hold as the text that flags take.
macro_rules! as_text {
    ($t:ty) => {
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(BeamMask);
as_text!(AutoOr<f64>);
as_text!(AutoOr<usize>);

/// Parameters of `phases`. What is `None` follows from the recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    pub recipe: Recipe,
    /// Edge of the blocks of detector pixels that become one.
    pub rebin: usize,
    pub rebin_mode: BinMode,
    /// What the standard deviation is taken of.
    pub std: StdOf,
    pub beam_mask: BeamMask,
    pub reduce: Reduce,
    /// Rings of `reduce = "annular"`.
    pub rings: usize,
    /// Share of the detector pixels, those of largest standard deviation, that become features.
    pub keep: f64,
    /// Channels of a spectrum are kept above this variance [default: 0, published: 0.25].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eds_variance: Option<f64>,
    /// Share of the channels, those of largest variance, that are kept instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eds_keep: Option<f64>,
    /// Windows (from, to) in keV, ends included, that are left out of spectra.
    pub exclude: Vec<[f64; 2]>,
    /// Energy of the first channel and step in keV, for files that do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eds_axis: Option<[f64; 2]>,
    /// Exponent s of the weight exp(s) of spectra in the published recipe [default: 2.4].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_exponent: Option<AutoOr<f64>>,
    /// Principal components of each signal in the default recipe.
    pub principal: AutoOr<usize>,
    /// Weights of signals by name; 1 where there is none.
    pub weight: BTreeMap<String, f64>,
    /// Distance between feature vectors [default: euclidean, published: chebyshev].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Neighbours of a point in the graph, the point itself included.
    pub neighbors: usize,
    /// Positions up to which neighbours are exact; for more they are nearly so.
    pub exact_up_to: usize,
    /// Dimensions of the embedding.
    pub components: usize,
    pub min_dist: f64,
    pub densmap: bool,
    pub seed: u64,
    pub min_cluster_size: usize,
    pub min_samples: usize,
    pub selection: Choice,
    /// Embeddings with seeds `seed`, `seed` + 1, …
    pub runs: usize,
    /// Regions of the scans by signal (`all` for every one), rows and columns `Y0:Y1,X0:X1`.
    pub crop: BTreeMap<String, String>,
    /// By signal: position (y, x) of the first signal belongs to (y + dy, x + dx) of this one.
    pub shift: BTreeMap<String, [i64; 2]>,
    /// Feature vectors (n, features) or (ny, nx, features) instead of making them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
    /// The fused feature vectors are written, too.
    pub save_features: bool,
    /// Positions (n, components) or (ny, nx, components) instead of an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<PathBuf>,
    /// Parameters and the values that are tried: `keep`, `weight` …
    pub vary: BTreeMap<String, Vec<f64>>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            recipe: Recipe::Default,
            rebin: 2,
            rebin_mode: BinMode::Sum,
            std: StdOf::Raw,
            beam_mask: BeamMask::Auto,
            reduce: Reduce::Pixels,
            rings: 16,
            keep: 0.4,
            eds_variance: None,
            eds_keep: None,
            exclude: Vec::new(),
            eds_axis: None,
            scale_exponent: None,
            principal: AutoOr::Auto,
            weight: BTreeMap::new(),
            metric: None,
            neighbors: 10,
            exact_up_to: 200_000,
            components: 3,
            min_dist: 0.0,
            densmap: true,
            seed: 10,
            min_cluster_size: 100,
            min_samples: 10,
            selection: Choice::Eom,
            runs: 5,
            crop: BTreeMap::new(),
            shift: BTreeMap::new(),
            features: None,
            save_features: false,
            embedding: None,
            vary: BTreeMap::new(),
        }
    }
}

impl Params {
    /// The metric by recipe where none is given.
    pub fn metric(&self) -> Metric {
        self.metric.unwrap_or(match self.recipe {
            Recipe::Default => Metric::Euclidean,
            Recipe::Published => Metric::Chebyshev,
        })
    }
    /// The smallest variance of channels by recipe where none is given.
    pub fn eds_variance(&self) -> f64 {
        self.eds_variance.unwrap_or(match self.recipe {
            Recipe::Default => 0.0,
            Recipe::Published => 0.25,
        })
    }
    /// Weight of a signal.
    pub fn weight_of(&self, signal: &str) -> f64 {
        self.weight.get(signal).copied().unwrap_or(1.0)
    }
    /// Embedding with the seed of run `run`.
    pub fn umap(&self, run: usize) -> Umap {
        Umap {
            components: self.components,
            min_dist: self.min_dist,
            density: self.densmap.then(Density::default),
            seed: self.seed.wrapping_add(run as u64),
            ..Umap::default()
        }
    }
    /// Clustering of the embedding.
    pub fn hdbscan(&self) -> Hdbscan {
        Hdbscan {
            min_cluster_size: self.min_cluster_size,
            min_samples: Some(self.min_samples),
            selection: self.selection,
            allow_single_cluster: false,
        }
    }

    /// What is wrong with the first flag that changes nothing because of another one.
    fn idle(&self) -> Option<Error> {
        let beside = |flag, what: String| Some(Error::parameter(flag, format!("has no effect beside {what}")));
        let scaled = match self.recipe {
            Recipe::Default => ("--scale-exponent", self.scale_exponent.is_some()),
            Recipe::Published => ("--principal", self.principal != AutoOr::Auto),
        };
        if let (flag, true) = scaled {
            return beside(flag, format!("--recipe {}", self.recipe));
        }
        let usual = Params::default();
        let (pixels, ringed) = (
            self.reduce == Reduce::Pixels,
            matches!(self.reduce, Reduce::Radial | Reduce::Annular),
        );
        let given = [
            ("--rebin-mode", "sum", self.rebin_mode != usual.rebin_mode && !pixels),
            ("--std", "raw", self.std != usual.std && !pixels),
            ("--keep", &usual.keep.to_string(), self.keep != usual.keep && ringed),
            (
                "--rings",
                &usual.rings.to_string(),
                self.rings != usual.rings && self.reduce != Reduce::Annular,
            ),
            (
                "--beam-mask",
                "auto",
                matches!(self.beam_mask, BeamMask::Disk(_)) && self.reduce == Reduce::Cepstrum,
            ),
        ];
        let (flag, usual, _) = given.into_iter().find(|g| g.2)?;
        beside(
            flag,
            format!(
                "--reduce {}; where a parameter file gives it, {flag} {usual} undoes that",
                self.reduce
            ),
        )
    }

    /// Checks what does not depend on the data, for every combination of varied parameters, too: they come last, and what was done until
    /// then would be lost. `signals`: their names.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values that make no sense.
    pub fn check(&self, signals: &[&str]) -> Result<()> {
        let share = |name: &str, v: f64| match v > 0.0 && v <= 1.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, format!("{v} is not a share above 0 and up to 1"))),
        };
        share("--keep", self.keep)?;
        self.eds_keep.map_or(Ok(()), |v| share("--eds-keep", v))?;
        if self.eds_variance.is_some_and(|v| !v.is_finite() || v < 0.0) {
            return Err(Error::parameter("--eds-variance", "must be zero or positive"));
        }
        if self.eds_variance.is_some() && self.eds_keep.is_some() {
            return Err(Error::parameter("--eds-keep", "cannot be used together with --eds-variance"));
        }
        if let Some([_, step]) = self.eds_axis.filter(|a| !a.iter().all(|v| v.is_finite()) || a[1] == 0.0) {
            return Err(Error::parameter(
                "--eds-axis",
                format!("a step of {step} keV gives channels no energies of their own"),
            ));
        }
        if let Some([lo, hi]) = self.exclude.iter().find(|w| !(w[0] <= w[1] && w[1].is_finite())) {
            return Err(Error::parameter(
                "--exclude",
                format!("{lo}-{hi} is no window from low to high"),
            ));
        }
        if let Some(idle) = self.idle() {
            return Err(idle);
        }
        let named = self
            .weight
            .keys()
            .map(|n| ("--weight", n))
            .chain(self.shift.keys().map(|n| ("--shift", n)));
        let named = named.chain(self.crop.keys().filter(|n| *n != "all").map(|n| ("--crop", n)));
        for (flag, name) in named {
            if !signals.contains(&name.as_str()) {
                let what = format!("there is no signal '{name}' (signals: {})", signals.join(", "));
                return Err(Error::parameter(flag, what));
            }
        }
        if let Some((name, w)) = self.weight.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
            return Err(Error::parameter("--weight", format!("{name}={w} is not zero or positive")));
        }
        let least = [
            ("--neighbors", self.neighbors, 2),
            ("--runs", self.runs, 1),
            ("--min-cluster-size", self.min_cluster_size, 2),
            ("--min-samples", self.min_samples, 1),
            ("--components", self.components, 1),
            ("--rings", self.rings, 1),
            ("--rebin", self.rebin, 1),
        ];
        for (flag, value, least) in least {
            if value < least {
                return Err(Error::parameter(flag, format!("{value} is too small, at least {least}")));
            }
        }
        if self.principal == AutoOr::Value(0) {
            return Err(Error::parameter("--principal", "at least 1 component is needed"));
        }
        if matches!(self.scale_exponent, Some(AutoOr::Value(s)) if !s.is_finite() || s.abs() > 50.0) {
            return Err(Error::parameter("--scale-exponent", "is not a number between -50 and 50"));
        }
        if self.components > MOST_COMPONENTS {
            let what = format!("{} is not between 1 and {MOST_COMPONENTS}", self.components);
            return Err(Error::parameter("--components", what));
        }
        let umap = self.umap(0);
        Curve::fit(umap.min_dist, umap.spread)?;
        let start = Start::of(self.features.is_some(), self.embedding.is_some());
        vary::combinations(self, signals, start).map(|_| ())
    }
}
