//! Parameters of `strain`, with the names that flags and parameter files use.

use super::choices::{Correlation, Indices, Matching, Reference, StrainAxes};
use crate::analysis::Recipe;
use crate::analysis::lattice::{FullMatch, Lattice, MatchDistance, Matcher, Vector, cross, length};
use crate::analysis::template::Template;
use crate::error::{Error, Result};
use crate::kernels::correlate::Method;
use crate::workflows::cluster;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Parameters of `strain` beside those of `cluster`; the defaults are those of the published polycrystal analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// Peaks of each cluster's log-sum among which its lattice is looked for.
    pub lattice_peaks: usize,
    /// Radius of the disks in px, for the template that finds and refines lattice spots.
    pub lattice_radius: f64,
    /// Outer radius of its subtracted ring.
    pub lattice_radius_outer: f64,
    /// Another template: a spec or a .npy file. Without it, the template of `cluster`, if that was named, serves here too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lattice_template: Option<String>,
    /// Spots nearer to a lattice site than this belong to the lattice, px.
    pub tolerance: f64,
    /// Spots of smaller elevation are ignored.
    pub min_weight: f64,
    /// Fewer spots are no lattice.
    pub min_match: usize,
    pub correlation: Correlation,
    /// Largest displacement of the sparse form, px.
    pub sparse_steps: usize,
    #[serde(rename = "match")]
    pub matching: Matching,
    /// Refine on a grid this many times finer instead of by centre of mass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upsample: Option<u32>,
    pub indices: Indices,
    /// The direct beam (y, x), px.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero: Option<Vector>,
    /// With `zero` and `b`: the lattice of all clusters, instead of looking for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<Vector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Vector>,
    pub reference: Reference,
    pub strain_axes: StrainAxes,
    /// Frames with fewer matched spots are not trusted.
    pub min_spots: usize,
    /// Frames whose spots are further from the lattice, on average, are not trusted; px.
    pub max_error: f64,
    pub save_peaks: bool,
    /// Scan position (y, x) of the sample frame in the figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show: Option<[usize; 2]>,
    /// Limits of figures, by the name of the map.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub range: BTreeMap<String, [f64; 2]>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            lattice_peaks: 20,
            lattice_radius: 1.5,
            lattice_radius_outer: 4.0,
            lattice_template: None,
            tolerance: 3.0,
            min_weight: 0.1,
            min_match: 3,
            correlation: Correlation::Auto,
            sparse_steps: 3,
            matching: Matching::Fast,
            upsample: None,
            indices: Indices { first: -4, last: 4 },
            zero: None,
            a: None,
            b: None,
            reference: Reference::ClusterMedian,
            strain_axes: StrainAxes::Detector,
            min_spots: 5,
            max_error: 1.0,
            save_peaks: false,
            show: None,
            range: BTreeMap::new(),
        }
    }
}

impl Params {
    /// The template that finds and refines spots. `load` reads a user's file.
    ///
    /// # Errors
    /// [`Error::Parameter`] for impossible radii or a bad file.
    pub fn template(&self, cluster: &cluster::Params, load: impl FnOnce(&Path) -> Result<Array2<f64>>) -> Result<Template> {
        match (&self.lattice_template, &cluster.template) {
            (Some(spec), _) => Template::parse(spec, load),
            (None, Some(_)) => cluster.template(load),
            (None, None) => Template::named("background", self.lattice_radius, Some(self.lattice_radius_outer)),
        }
    }

    /// # Errors
    /// [`Error::Parameter`] for values that make no sense.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, v: f64| {
            if v.is_finite() && v > 0.0 {
                Ok(())
            } else {
                Err(Error::parameter(name, format!("{v} is not a positive number")))
            }
        };
        positive("--tolerance", self.tolerance)?;
        positive("--max-error", self.max_error)?;
        if !(self.min_weight.is_finite() && self.min_weight >= 0.0) {
            return Err(Error::parameter("--min-weight", "must be zero or positive"));
        }
        if self.lattice_peaks < 3 {
            return Err(Error::parameter("--lattice-peaks", "a lattice needs at least three peaks"));
        }
        if self.min_match < 3 {
            return Err(Error::parameter("--min-match", "a lattice needs at least three spots"));
        }
        if self.upsample.is_some() && self.correlation == Correlation::Sparse {
            return Err(Error::parameter(
                "--upsample",
                "not with --correlation sparse, which has no spectrum",
            ));
        }
        if self.upsample.is_some_and(|u| !(2..=1000).contains(&u)) {
            return Err(Error::parameter("--upsample", "want a factor from 2 to 1000"));
        }
        if self.correlation == Correlation::Sparse && !(2..=64).contains(&self.sparse_steps) {
            return Err(Error::parameter("--sparse-steps", "want 2 to 64 pixels"));
        }
        match (self.zero, self.a, self.b) {
            (_, None, None) => {}
            (Some(_), Some(a), Some(b)) => not_parallel("--a, --b", a, b)?,
            _ => {
                return Err(Error::parameter(
                    "--a, --b",
                    "a given lattice needs all of --zero, --a and --b",
                ));
            }
        }
        if let Reference::Vectors { a, b } = self.reference {
            not_parallel("--reference", a, b)?;
        }
        for (name, [low, high]) in &self.range {
            if !super::maps::NAMES.contains(&name.as_str()) {
                let known = super::maps::NAMES.join(", ");
                return Err(Error::parameter("--range", format!("no map '{name}' (known: {known})")));
            }
            if !(low.is_finite() && high.is_finite() && low < high) {
                return Err(Error::parameter("--range", format!("{name}={low},{high} is empty")));
            }
        }
        Ok(())
    }

    /// The lattice that replaces the search, if it is given.
    pub fn given(&self) -> Option<Lattice> {
        Some(Lattice {
            zero: self.zero?,
            a: self.a?,
            b: self.b?,
        })
    }

    /// The search for lattices in the peaks of log-sums.
    pub fn search(&self, recipe: Recipe) -> FullMatch {
        FullMatch {
            tolerance: self.tolerance,
            min_weight: self.min_weight,
            min_match: self.min_match,
            recipe,
            ..FullMatch::default()
        }
    }

    /// The match in single frames.
    pub fn matcher(&self, recipe: Recipe) -> Matcher {
        Matcher {
            tolerance: self.tolerance,
            min_weight: self.min_weight,
            min_match: self.min_match,
            distance: MatchDistance::from(recipe),
        }
    }

    /// Whether the joint fit of disks may be tried: it was asked for, or nothing was asked for that it would not do (published steps,
    /// upsampling, a match without rejection, a template that is no plain disk).
    pub fn may_join(&self, recipe: Recipe, template: &Template) -> bool {
        match self.correlation {
            Correlation::Joint => true,
            Correlation::Auto => {
                let plain = self.upsample.is_none() && self.matching == Matching::Fast;
                recipe == Recipe::Default && plain && template.is_disk()
            }
            _ => false,
        }
    }

    /// The form of correlation.
    pub fn method(&self) -> Method {
        match self.correlation {
            Correlation::Auto | Correlation::Fast | Correlation::Joint => Method::Fast,
            Correlation::Full => Method::Full,
            Correlation::Sparse => Method::Sparse {
                steps: self.sparse_steps,
            },
        }
    }
}

fn not_parallel(name: &str, a: Vector, b: Vector) -> Result<()> {
    if cross(a, b).abs() > 1e-6 * length(a) * length(b) {
        Ok(())
    } else {
        Err(Error::parameter(name, "the two vectors are parallel or zero"))
    }
}
