//! Algorithms on small arrays: no files, no devices. Each is usable by itself.
//!
//! From a summary map to crystallites: a [`template::Template`] says what a diffraction disk looks like,
//! [`correlate::correlation_map`] finds where a map resembles it, [`peaks::find_peaks`] lists the maxima; the products of
//! stamps at those peaks with every frame are feature vectors, which [`features`] scales and [`ward`] clusters on the
//! [`grid::Grid`] of the scan. [`lattice`] finds the lattice of a cluster's spots, with [`hdbscan`] on their differences,
//! fits it to the spots of every frame, and turns its vectors into strain. Formulas and their sources:
//! `docs/workflows.md`.

pub mod agreement;
pub mod background;
pub mod binning;
pub mod bullseye;
pub mod common_motion;
pub mod compare;
pub mod components;
pub mod condition;
pub mod correlate;
pub mod cut;
pub mod descan;
pub mod diffusion;
pub mod dimension;
pub mod drift;
pub mod features;
mod fft2;
pub mod grid;
pub mod hdbscan;
pub mod hits;
pub mod householder;
pub mod lattice;
pub mod linkage;
pub mod lobes;
pub mod lowpass;
pub mod maskspec;
pub mod mixture;
mod moments;
pub mod nearby;
pub mod orientation;
pub mod outlying;
pub mod pca;
pub mod pca_full;
pub mod peaks;
pub mod probe;
pub mod register;
pub mod robust;
pub mod shared;
pub mod shift;
pub mod silhouette;
pub mod spectrum;
mod symmetric;
pub mod template;
pub mod tracks;
pub mod tree;
pub mod umap;
pub mod virtual_bse;
pub mod ward;

use crate::error::{Error, Result};

/// Which variant of a published analysis to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// The correct thing.
    #[default]
    Default,
    /// The published notebook step by step, faults included, so that its values can be met exactly.
    Published,
}

impl std::str::FromStr for Recipe {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "default" => Ok(Recipe::Default),
            "published" => Ok(Recipe::Published),
            _ => Err(Error::parameter(
                "--recipe",
                format!("`{s}` is neither `default` nor `published`"),
            )),
        }
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Recipe::Default => "default",
            Recipe::Published => "published",
        })
    }
}
