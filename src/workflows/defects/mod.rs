//! Defects in movies of atomic lattices: labels from a filtered frame, a network that marks them in every frame, and what it found.
//!
//! Formulas and their sources: `docs/workflows.md`.

mod default_model;
pub mod detect;
mod figures;
mod inference;
pub mod label;
mod movie;
mod output;
pub mod train;

pub use default_model::default_model;
pub use detect::defect_probability;
pub use inference::{Inference, Tiling};
pub use movie::{Movie, MovieParams};
