//! Array-in, array-out computations. Each folder: `mod.rs` (parameters, parts, contract), `cpu.rs`, `gpu.rs`;
//! the WGSL of the same name lies in `shaders/`. Kernels know frames, not scans.

pub mod correlate;
pub mod displace;
pub mod framemap;
mod grouped;
pub mod hough;
pub mod logsum;
pub mod masks;
pub mod matches;
pub mod nearest;
pub mod neighbours;
pub mod network;
#[doc(hidden)]
pub mod oracle;
pub mod pattern;
pub mod quality;
pub mod rebin;
mod shifted;
pub mod statistics;
