//! Passes over the frames of a scan: each selected frame is read once and shown to every operator.
//!
//! A pass has a [`Selection`] (which frames, numbered 0, 1, … in scan order), [`Operator`]s, and a [`Backend`] that runs
//! them. Frames travel in blocks; float reductions keep to *leaves* of [`LEAF`](crate::pixel::LEAF) selected frames that merge in a
//! fixed binary tree, so that results do not depend on blocks, threads or memory.

mod ahead;
mod collect;
mod cpu;
mod gpu;
mod operator;
mod pass;
mod resident;
mod selection;
mod tiles;
mod times;

pub use collect::{Collector, Fold, FrameSink, LeafTree, Ordered, Rows, SharedSink};
pub(crate) use cpu::piece;
pub use gpu::Device;
pub use operator::{Job, Needs, Operator};
pub use pass::{Backend, Done, Handle, Pass};
pub use resident::Resident;
pub use selection::Selection;
pub use tiles::{Tile, Tiles, on_backend};
pub use times::PassTimes;
