//! Scans with known truth, of any size, for tests, demonstrations and benchmarks.
//!
//! A [`Polycrystal`] says what to simulate; [`Simulated`] makes any frame of it at any time, on any thread, always with the same
//! bits. It is a [`crate::io::Scan`], so passes run on it without a file; [`Simulated::write`] puts it on disk. [`Bullseye`] and
//! [`SimulatedBullseye`] are the same for convergent-beam patterns of gold through a patterned aperture; [`Phases`]
//! and [`SimulatedPhases`] for diffraction patterns and X-ray spectra of the same positions.

mod bullseye;
mod counts;
mod ebsd;
mod field;
mod frames;
mod grains;
mod parameters;
mod phases;
mod polycrystal;
mod stream;
mod truth;
mod ws2;

pub use bullseye::{Bullseye, Pose, SimulatedBullseye};
pub use ebsd::{Kikuchi, SimulatedKikuchi, Structure};
pub use frames::{Lattice, Simulated};
pub use parameters::Parameters;
pub use phases::{
    Files as PhasesFiles, Phase as SimulatedPhase, Phases, Share, SimulatedDiffraction, SimulatedPhases, SimulatedSpectra,
    Specimen,
};
pub use polycrystal::{Grain, Grains, Polycrystal};
pub use stream::truth_path;
pub use truth::Truth;
pub use ws2::{Kind as DefectKind, Point as TrueDefect, SimulatedWs2, Ws2};

/// What random numbers are for: the purposes of [`crate::rng::Source`].
mod purpose {
    pub const PLACES: u8 = 1;
    pub const LATTICES: u8 = 2;
    pub const BOUNDARIES: u8 = 3;
    pub const STRAIN: u8 = 4;
    pub const DESCAN: u8 = 5;
    pub const TILT: u8 = 6;
    pub const SPOTS: u8 = 7;
    pub const SUPERLATTICE: u8 = 8;
    pub const SCATTER: u8 = 9;
    pub const COUNTS: u8 = 10;
    pub const BAD_PIXELS: u8 = 11;
    pub const HISTORY: u8 = 20;
    pub const BACKGROUND: u8 = 21;
    pub const FLICKER: u8 = 22;
    pub const JITTER: u8 = 23;
    pub const READ_NOISE: u8 = 24;
    pub const PHASES: u8 = 50;
    pub const PATTERN_COUNTS: u8 = 51;
    pub const SPECTRUM_COUNTS: u8 = 52;
    pub const WANDER: u8 = 53;
}
