//! Whole analyses: pass, host step, pass. Each reads like its recipe.

pub mod cluster;
mod common;
pub mod frames;

pub use common::{Timings, frame_array, meaning, provenance, scatter_rows, single_logsum, statistic, to_toml, unit};
