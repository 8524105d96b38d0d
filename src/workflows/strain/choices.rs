//! Values of `strain`'s parameters that are choices or written as text.

use crate::analysis::lattice::Vector;
use crate::analysis::lattice::strain::Axes;
use crate::kernels::correlate::joint::Range;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How spots are refined in every frame. Further ways to the positions of a frame's spots are added here, in
/// [`super::Params::method`] and where `refine` asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Correlation {
    /// `Joint` where it applies ([`super::Params::may_join`]) and its standard errors are smaller in a sample of the frames, else `Fast`.
    #[default]
    Auto,
    /// In crops around the expected positions.
    Fast,
    /// Once in the whole frame.
    Full,
    /// Direct sums at small displacements.
    Sparse,
    /// As `Fast`, then one fit of zero, a and b to the pixels of all disks: the most accurate for plain disks.
    Joint,
}

/// How refined positions become a lattice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// Weak spots and outliers are left out.
    #[default]
    Fast,
    /// All spots are used.
    Affine,
}

/// A type that is written as text.
macro_rules! as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Range of lattice indices, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indices {
    pub first: i32,
    pub last: i32,
}

impl Indices {
    /// All (h, k), h slow.
    pub(super) fn pairs(self) -> impl Iterator<Item = [i32; 2]> {
        (self.first..=self.last).flat_map(move |h| (self.first..=self.last).map(move |k| [h, k]))
    }
}

impl From<Indices> for Range {
    fn from(Indices { first, last }: Indices) -> Range {
        Range { first, last }
    }
}

/// Largest index that may be asked for.
const MAX_INDEX: i32 = 100;

impl FromStr for Indices {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("'{s}' is not a range of indices like -4..4 (from −{MAX_INDEX} to {MAX_INDEX}, ends included)");
        let (first, last) = s.split_once("..").ok_or_else(wrong)?;
        let number = |t: &str| t.trim().parse::<i32>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if first > last || first < -MAX_INDEX || last > MAX_INDEX {
            return Err(wrong());
        }
        Ok(Indices { first, last })
    }
}
impl fmt::Display for Indices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}
as_text!(Indices);

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Correlation::Auto => "auto",
            Correlation::Fast => "fast",
            Correlation::Full => "full",
            Correlation::Sparse => "sparse",
            Correlation::Joint => "joint",
        })
    }
}

/// Numbers separated by commas.
fn numbers(text: &str) -> Option<Vec<f64>> {
    let all: Option<Vec<f64>> = text.split(',').map(|t| t.trim().parse().ok()).collect();
    all.filter(|v| v.iter().all(|x| x.is_finite()))
}

/// `Y,X` as a position or vector.
///
/// # Errors
/// A message for people.
pub fn vector(text: &str) -> Result<Vector, String> {
    match numbers(text).as_deref() {
        Some(&[y, x]) => Ok([y, x]),
        _ => Err(format!("'{text}' is not two numbers Y,X")),
    }
}

/// What strain is relative to.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Reference {
    /// The medians of a and b over the trusted frames of each cluster: strain inside crystallites.
    #[default]
    ClusterMedian,
    /// The medians over a region of the scan, written as `--roi` is.
    Region(String),
    /// Given vectors.
    Vectors { a: Vector, b: Vector },
}

impl FromStr for Reference {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s == "cluster-median" {
            return Ok(Reference::ClusterMedian);
        }
        if let Some(region) = s.strip_prefix("roi:").filter(|r| !r.is_empty()) {
            return Ok(Reference::Region(region.to_owned()));
        }
        match s.strip_prefix("vectors:").and_then(numbers).as_deref() {
            Some(&[ay, ax, by, bx]) => Ok(Reference::Vectors {
                a: [ay, ax],
                b: [by, bx],
            }),
            _ => Err(format!(
                "'{s}' is none of cluster-median, roi:Y0:Y1,X0:X1, roi:FILE, vectors:AY,AX,BY,BX"
            )),
        }
    }
}
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::ClusterMedian => f.write_str("cluster-median"),
            Reference::Region(spec) => write!(f, "roi:{spec}"),
            Reference::Vectors { a, b } => write!(f, "vectors:{},{},{},{}", a[0], a[1], b[0], b[1]),
        }
    }
}
as_text!(Reference);

/// Axes of the strain tensor.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum StrainAxes {
    #[default]
    Detector,
    /// x' at this angle from +x towards +y.
    Degrees(f64),
    /// x' along the reference vector a.
    AlongA,
}

impl FromStr for StrainAxes {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match (s, s.parse::<f64>()) {
            ("detector", _) => Ok(StrainAxes::Detector),
            ("a", _) => Ok(StrainAxes::AlongA),
            (_, Ok(degrees)) if degrees.is_finite() => Ok(StrainAxes::Degrees(degrees)),
            _ => Err(format!("'{s}' is neither 'detector', 'a', nor an angle in degrees")),
        }
    }
}
impl fmt::Display for StrainAxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrainAxes::Detector => f.write_str("detector"),
            StrainAxes::Degrees(degrees) => write!(f, "{degrees}"),
            StrainAxes::AlongA => f.write_str("a"),
        }
    }
}
as_text!(StrainAxes);

impl From<StrainAxes> for Axes {
    fn from(axes: StrainAxes) -> Axes {
        match axes {
            StrainAxes::Detector => Axes::Detector,
            StrainAxes::Degrees(degrees) => Axes::Angle(degrees.to_radians()),
            StrainAxes::AlongA => Axes::AlongA,
        }
    }
}
