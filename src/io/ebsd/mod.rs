//! EBSD maps: the patterns of a map as a [`Scan`] in map order, whatever the order of the file, and all that is known of its points.

mod data;
mod hdf5;
mod mapped;
mod patterns;
mod store;

pub use data::{Column, Geometry, Lattice, MapData, Phase};
pub use patterns::{Codec, PatternWriter};
pub use store::{Description, Store};

pub(super) use self::hdf5::open_scan;

use super::open::OpenOptions;
use super::readat::ReadAt;
use super::{Scan, h5, repair};
use crate::control::Control;
use crate::error::Result;
use crate::pixel::FrameShape;
use ndarray::Array2;
use std::path::Path;

/// Patterns of a map with what the file says about its points.
pub struct PatternMap {
    /// The patterns, nav = (rows, columns), row by row; positions without a pattern read as zeros.
    pub scan: Box<dyn Scan>,
    /// Where there are patterns (rows, columns); selections leave the others out.
    pub present: Array2<bool>,
    /// Static background (h, w) in the units of the patterns, where the file holds one.
    pub static_background: Option<Array2<f64>>,
    /// Columns of one value a point: orientations, phase, band contrast, …
    pub data: MapData,
    /// Projection centres and tilts.
    pub geometry: Geometry,
    /// Who wrote the file: `emstream`, `xcdskd`, `kikuchipy`, `EDAX`, `Oxford Instruments`; empty for plain scans.
    pub dialect: String,
    /// The group of the map in an HDF5 file, e.g. `/Scan/EBSD`.
    pub group: Option<String>,
}

impl PatternMap {
    /// Step of the map (y, x) in µm, where it is known.
    pub fn steps(&self) -> [Option<f64>; 2] {
        self.scan.info().nav_axes.each_ref().map(|a| match a.unit.as_str() {
            "µm" | "um" => a.scale,
            "nm" => a.scale.map(|s| s * 1e-3),
            _ => None,
        })
    }

    /// What a [`Store`] for patterns of the same points needs to know; `frame` is the shape of its patterns.
    pub fn describe(&self, frame: FrameShape) -> Description<'_> {
        Description {
            present: &self.present,
            pattern: [frame.height, frame.width],
            steps: self.steps(),
            data: &self.data,
            geometry: &self.geometry,
            static_background: self.static_background.as_ref(),
        }
    }

    /// A scan of any other format: every position has a pattern and nothing else is known.
    fn plain(scan: Box<dyn Scan>) -> PatternMap {
        let nav = scan.info().nav;
        PatternMap {
            scan,
            present: Array2::from_elem((nav[0], nav[1]), true),
            static_background: None,
            data: MapData::new(nav),
            geometry: Geometry::default(),
            dialect: String::new(),
            group: None,
        }
    }
}

/// Opens the patterns of a map, of any format that [`super::open`] reads. `options.dataset` may be a plain name (`Patterns`) in an EBSD
/// file; without one the patterns as measured are taken (`RawPatterns`), or `Patterns` where there are no others.
///
/// To change the same file, open its [`Store`] first: HDF5 refuses to open a file for writing that is open for reading.
///
/// # Errors
/// As [`super::open`].
pub fn open(path: &Path, options: &OpenOptions, control: &Control) -> Result<PatternMap> {
    let file = ReadAt::open(path)?;
    if h5::has_signature(&file)?
        && let Some(mut map) = self::hdf5::open_map(&file, options, control)?
    {
        map.scan = repair::wrap(map.scan, &options.bad_pixels, control)?;
        return Ok(map);
    }
    Ok(PatternMap::plain(super::open(path, options, control)?))
}
