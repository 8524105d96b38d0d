//! EBSD: from patterns on disk to processed patterns, bands and maps.

pub mod average;
pub mod background;
pub mod bands;
pub mod bse;
pub mod compare;
pub mod convert;
pub mod maps;
mod output;
pub mod process;
pub mod quality;
mod stages;

pub use output::Target;

use crate::engine::Selection;
use crate::error::Result;
use crate::io::ebsd::PatternMap;

/// The points of a map that have a pattern, in map order.
///
/// # Errors
/// [`crate::Error::Parameter`] if there is none.
pub fn points(map: &PatternMap) -> Result<Selection> {
    Selection::from_mask(map.scan.info().nav, map.present.view())
}
