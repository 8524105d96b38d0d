//! Whole analyses: pass, host step, pass. Each reads like its recipe.

mod binning;
mod blocks;
pub mod cluster;
mod common;
pub mod convert;
pub mod defects;
pub mod descan;
pub mod ebsd;
pub mod folder;
pub mod phases;
pub mod strain;
pub mod tune;
mod unfinished;

pub use common::{
    Timings, frame_array, mean_frame, meaning, provenance, read_frame, scatter_rows, single_logsum, statistic, to_toml, unit,
};
