//! The register of everything that is timed: a new kernel adds its file here and one line to [`KERNELS`] or [`HOST`].

mod correlate;
mod ebsd;
mod framemap;
mod host;
mod logsum;
mod masks;
mod network;
mod phases;
mod statistics;

use super::case::Case;
use super::data::Data;
use crate::control::Control;
use crate::error::Result;
use std::sync::Arc;

/// Cases of one kernel, in the order of the table.
pub type Cases = Result<Vec<Box<dyn Case>>>;

/// Kernels on frames: each makes its cases for the frames it is given.
pub const KERNELS: [fn(&Arc<Data>) -> Cases; 6] = [
    statistics::cases,
    logsum::cases,
    masks::cases,
    framemap::cases,
    correlate::cases,
    ebsd::cases,
];

/// Steps on the host, which know no frames.
pub const HOST: [fn(&Size, &Control) -> Cases; 3] = [host::cases, network::cases, phases::cases];

/// How large the problems of host steps are.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    /// Features of a position.
    pub features: usize,
}
