//! Windows around defects brought onto common ground: each is sampled about the lattice site it belongs to, so that windows differ by what is in them
//! and not by how the lattice falls on their pixels.
//!
//! [`lattice`] finds the reciprocal vectors that all windows share and where the lattice lies in each, [`sites`] the places within a cell where
//! defects occur, [`sample`] reads pixels between pixels, [`turns`] picks the rotation or mirror image of each window that suits the others best.

pub mod lattice;
pub mod sample;
pub mod sites;
pub mod turns;

pub use lattice::Lattice;
pub use sample::Spline;
