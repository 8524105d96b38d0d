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
use crate::error::{Error, Result};
use crate::io::ebsd::PatternMap;

/// The points of a map that have a pattern, in map order.
///
/// # Errors
/// [`Error::Format`] if there is none.
pub fn points(map: &PatternMap) -> Result<Selection> {
    let info = map.scan.info();
    if !map.present.iter().any(|&p| p) {
        return Err(Error::format(&info.path, "patterns", "no point of the map has a pattern"));
    }
    Selection::from_mask(info.nav, map.present.view())
}
