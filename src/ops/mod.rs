//! Kernels as operators of a pass: memory they need, where their parts go.

mod bands;
mod correlate;
mod displaced;
mod framemap;
mod joint;
mod logsum;
mod masks;
mod pattern;
mod quality;
mod rebinned;
mod statistics;

pub use bands::Bands;
pub use correlate::{Correlate, Correlations};
pub use displaced::Displaced;
pub use framemap::{FrameMap, FrameRows};
pub use joint::JointFit;
pub use logsum::LogSum;
pub use masks::MaskProducts;
pub use pattern::PatternChain;
pub use quality::Quality;
pub use rebinned::Rebinned;
pub use statistics::Statistics;
