//! Parameters of `defects classify`, with the names that flags and parameter files use.

use crate::analysis::Recipe;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What classes are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pca {
    /// So many principal components.
    Components(usize),
    /// As many as are most probable (Minka).
    Likeliest,
    /// Pixels.
    None,
}

impl std::str::FromStr for Pca {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match (s, s.parse()) {
            ("none", _) => Ok(Pca::None),
            ("mle", _) => Ok(Pca::Likeliest),
            (_, Ok(n)) if n > 0 => Ok(Pca::Components(n)),
            _ => Err(Error::parameter(
                "--pca",
                format!("'{s}' is neither a number above 0 nor mle nor none"),
            )),
        }
    }
}

impl std::fmt::Display for Pca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pca::Components(n) => write!(f, "{n}"),
            Pca::Likeliest => f.write_str("mle"),
            Pca::None => f.write_str("none"),
        }
    }
}

/// How windows are brought onto common ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Register {
    /// About the lattice site each belongs to.
    Lattice,
    /// About the detection's centre of mass.
    Centre,
    /// As they are: corners at whole pixels.
    None,
}

/// Which images of a window count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    #[default]
    None,
    /// Rotations that leave the lattice as it is.
    Rotate,
    /// These and mirror images.
    Mirror,
}

/// The range of `--bic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range(pub usize, pub usize);

impl std::str::FromStr for Range {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let ends = s
            .split_once("..")
            .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
        match (s, ends) {
            ("none", _) => Ok(Range(0, 0)),
            (_, Some((a, b))) if 0 < a && a <= b && b <= 64 => Ok(Range(a, b)),
            _ => Err(Error::parameter(
                "--bic",
                format!("'{s}' is neither a range like 2..8 (up to 64) nor none"),
            )),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Range(0, _) => f.write_str("none"),
            Range(a, b) => write!(f, "{a}..{b}"),
        }
    }
}

/// As text in parameter files.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: std::fmt::Display, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(v) => to.collect_str(v),
            None => to.serialize_none(),
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }

    pub fn deserialize<'de, T: std::str::FromStr<Err: std::fmt::Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let text = match Written::deserialize(from)? {
            Written::Number(n) => n.to_string(),
            Written::Text(t) => t,
        };
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

/// Parameters of `defects classify`; what is not given depends on the recipe ([`Params::effective`]).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Number of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub pca: Option<Pca>,
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub bic: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register: Option<Register>,
    /// Radius in pixels of the disk about the centre of a window that counts; 0: all of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<f64>,
    pub align: Align,
    /// Times that k-means and the mixture start anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<usize>,
    /// Added to the diagonal of every covariance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularisation: Option<f64>,
    pub seed: u64,
    /// Frames of the moving average of counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<usize>,
    /// Class of each window to start from (.npy), instead of k-means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// The movie, for frames in class colours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub movie: Option<PathBuf>,
    /// Frames in the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub show_frames: Vec<u64>,
    pub recipe: Recipe,
}

/// [`Params`] with everything filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effective {
    pub classes: usize,
    pub pca: Pca,
    pub bic: Range,
    pub register: Register,
    /// `None`: by the lattice.
    pub radius: Option<f64>,
    pub align: Align,
    pub starts: usize,
    /// `None`: the variance of noise.
    pub regularisation: Option<f64>,
    pub seed: u64,
    pub average: usize,
    pub recipe: Recipe,
}

impl Params {
    /// Fills in what the recipe says.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values that make no sense.
    pub fn effective(&self) -> Result<Effective> {
        let published = self.recipe == Recipe::Published;
        let e = Effective {
            classes: self.classes.unwrap_or(5),
            pca: self.pca.unwrap_or(if published { Pca::None } else { Pca::Components(16) }),
            bic: self.bic.unwrap_or(Range(2, 8)),
            register: self
                .register
                .unwrap_or(if published { Register::None } else { Register::Lattice }),
            radius: self.radius.or(published.then_some(0.0)),
            align: self.align,
            starts: self.starts.unwrap_or(if published { 1 } else { 10 }),
            regularisation: self.regularisation.or(published.then_some(1e-6)),
            seed: self.seed,
            average: self.average.unwrap_or(5),
            recipe: self.recipe,
        };
        let wrong = |name: &str, what: String| Err(Error::parameter(name, what));
        if !(1..=64).contains(&e.classes) {
            return wrong("--classes", format!("{} is not between 1 and 64", e.classes));
        }
        if !(1..=1000).contains(&e.starts) {
            return wrong("--starts", format!("{} is not between 1 and 1000", e.starts));
        }
        if e.average == 0 {
            return wrong("--average", "0 frames have no average".into());
        }
        if let Some(r) = e.radius.filter(|r| !(r.is_finite() && *r >= 0.0)) {
            return wrong("--radius", format!("{r} is no radius"));
        }
        if let Some(r) = e.regularisation.filter(|r| !(r.is_finite() && *r > 0.0)) {
            return wrong("--regularisation", format!("{r} is not above 0"));
        }
        Ok(e)
    }
}
