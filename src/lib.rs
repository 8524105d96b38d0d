//! Fast analysis of electron-microscope frame stacks on any GPU, and on the CPU.
//!
//! Frames stream once, from disk through a backend; every question asked of them rides on the same pass.

pub mod analysis;
pub mod backend;
pub mod bench;
pub mod control;
mod cubic;
pub mod engine;
pub mod error;
pub mod explore;
pub mod io;
pub mod kernels;
pub mod mask;
pub mod network;
pub mod ops;
pub mod pattern_centre;
pub mod pixel;
pub mod report;
pub mod rng;
pub mod simulate;
pub mod workflows;

/// The examples of `docs/architecture.md`, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/architecture.md")]
mod architecture {}

pub use control::Control;
pub use error::{Error, Result};
