//! Kernels as operators of a pass: memory they need, where their parts go.

mod correlate;
mod framemap;
mod logsum;
mod masks;
mod statistics;

pub use correlate::{Correlate, Correlations};
pub use framemap::FrameMap;
pub use logsum::LogSum;
pub use masks::MaskProducts;
pub use statistics::Statistics;
