//! Defects in movies of atomic lattices: labels from a filtered frame, a network that marks them in every frame, what it found, sorted into classes and followed from frame to frame.
//!
//! Formulas and their sources: `docs/workflows.md`.

mod animation;
pub mod classify;
mod default_model;
pub mod detect;
mod detected;
mod extremes;
mod figures;
mod inference;
pub mod label;
mod movie;
mod output;
pub mod track;
pub mod train;
pub mod whole;

pub use default_model::default_model;
pub use detect::defect_probability;
pub use detected::{Detected, result_file};
pub use inference::{Inference, Tiling};
pub use movie::{Movie, MovieParams};
