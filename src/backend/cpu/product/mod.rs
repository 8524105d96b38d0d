//! Scalar products of all rows of one matrix with all rows of another (A·Bᵀ) as 16-bit integers with exact 32-bit sums, in blocks that stay in the
//! cache: twice as fast as in float32, and with a bound on what rounding to integers costs, so that they filter candidates for a float product.
//!
//! The right matrix is laid out once as [`Pairs`] of sixteen rows side by side; then any thread multiplies rows of the left one with some of the
//! panels ([`PairsWorker::times`]) and looks at the block of products while it is in the cache.
//!
//! Work of m × n products of rows of d numbers: 2·m·n·d operations; 2·d bytes of each right row pass through the second-level cache for every
//! block of [`Pairs::PANELS`] panels and every call.

mod blocks;
mod pairs;

pub use pairs::{Pairs, PairsWorker, Quantised};

/// Lanes of a row (two numbers each) that are added one after the other.
const DEPTH: usize = 256;
/// Right rows whose block of [`DEPTH`] lanes stays in the second-level cache (512 KiB).
const BLOCK: usize = 512;
