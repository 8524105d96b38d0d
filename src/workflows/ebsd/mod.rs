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

/// The number in map order of the point `at` (row, column), which `flag` names.
///
/// # Errors
/// [`Error::Parameter`] for a point without a pattern.
pub fn point(map: &PatternMap, at: [usize; 2], flag: &str) -> Result<u64> {
    let [rows, columns] = map.scan.info().nav;
    if map.present.get(at) != Some(&true) {
        let what = format!(
            "no pattern at row {}, column {} of {rows} rows and {columns} columns",
            at[0], at[1]
        );
        return Err(Error::parameter(flag, what));
    }
    Ok((at[0] * columns + at[1]) as u64)
}
