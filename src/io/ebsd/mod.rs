//! EBSD maps: the patterns of a map as a [`Scan`] in map order, whatever the order of the file, and all that is known of its points.

mod ang;
mod binary;
mod ctf;
mod data;
mod ebsp;
mod hdf5;
mod images;
pub(crate) use images::source as zip_source;
mod kikuchipy;
mod layout;
mod mapped;
mod patterns;
mod store;
mod table;

pub use ang::{read_ang, write_ang};
pub use ctf::{read_ctf, write_ctf};
pub use data::{Column, Geometry, Lattice, MapData, Phase};
pub use images::read_image;
pub use patterns::{Codec, PatternWriter};
pub use store::{Description, Store, StoreLayout};
pub use table::Orientations;

pub(super) use self::hdf5::open_scan;

use super::open::OpenOptions;
use super::readat::ReadAt;
use super::{Scan, h5, repair};
use crate::control::Control;
use crate::error::Result;
use crate::pixel::{FrameShape, Pixel};
use ndarray::Array2;
use rayon::prelude::*;
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
        let axes = self.scan.info().nav_axes.each_ref();
        axes.map(|a| Some(a.scale? * data::micrometres(&a.unit)?))
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

    /// Looks in stacks of floats for patterns without any finite pixel, which is how such stacks mark points that were not measured, and takes
    /// them out of [`PatternMap::present`]. Reads the points that are `wanted` (rows, columns) and those up to `reach` rows and columns around
    /// them; of all others nothing becomes known.
    ///
    /// # Errors
    /// What reading reports; [`crate::Error::Cancelled`].
    pub fn leave_out_empty(&mut self, wanted: &Array2<bool>, reach: usize, control: &Control) -> Result<()> {
        let frame = self.scan.info().frame;
        if frame.pixel != Pixel::F32 {
            return Ok(());
        }
        self.scan.empty_are_missing();
        let wanted = around(wanted, reach);
        let looked_at = (0u64..).zip(&self.present).zip(&wanted);
        let numbers: Vec<u64> = looked_at
            .filter(|((_, p), w)| **p && **w)
            .map(|((number, _), _)| number)
            .collect();
        let count = numbers.len() as u64;
        control
            .progress
            .begin("points without a pattern", count, count * frame.bytes() as u64);
        let together = (AT_ONCE / frame.stride()).max(1);
        let read = numbers.par_chunks(together).try_for_each(|frames| {
            control.check()?;
            let mut words = vec![0u32; frames.len() * frame.stride() / 4];
            let bytes = bytemuck::cast_slice_mut(&mut words);
            self.scan.read(frames, frame.stride(), bytes, control)?;
            control.progress.advance(frames.len() as u64);
            Ok(())
        });
        control.progress.end();
        read?;
        for number in self.scan.empty() {
            if let Some(present) = self.present.get_mut(self.scan.info().place(number)) {
                *present = false;
            }
        }
        Ok(())
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

/// The points of `mask` and all within `reach` rows and columns of one of them.
fn around(mask: &Array2<bool>, reach: usize) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let near = |i: usize, n: usize| i.saturating_sub(reach)..(i + reach + 1).min(n);
    // The rows first, then the columns of what they gave.
    let tall = Array2::from_shape_fn((rows, columns), |(y, x)| near(y, rows).any(|y| mask[[y, x]]));
    Array2::from_shape_fn((rows, columns), |(y, x)| near(x, columns).any(|x| tall[[y, x]]))
}

/// Bytes of patterns that one thread reads together.
const AT_ONCE: usize = 8 << 20;

/// Opens the patterns of a map, of any format that [`super::open`] reads. `options.dataset` may be a plain name (`Patterns`) in an EBSD
/// file; without one the patterns as measured are taken (`RawPatterns`), or `Patterns` where there are no others.
///
/// To change the same file, open its [`Store`] first: HDF5 refuses to open a file for writing that is open for reading.
///
/// # Errors
/// As [`super::open`].
pub fn open(path: &Path, options: &OpenOptions, control: &Control) -> Result<PatternMap> {
    if crate::io::zarr::is_store(path)? {
        return Ok(PatternMap::plain(super::open(path, options, control)?));
    }
    let mut map = match open_patterns(path, options)? {
        Some(map) => map,
        None => {
            let file = ReadAt::open(path)?;
            let map = if h5::has_signature(&file)? {
                self::hdf5::open_map(&file, options, control)?
            } else {
                None
            };
            match map {
                Some(map) => map,
                // The general door repairs bad pixels itself.
                None => return Ok(PatternMap::plain(super::open(path, options, control)?)),
            }
        }
    };
    map.scan = repair::wrap(map.scan, &options.bad_pixels, control)?;
    Ok(map)
}

/// Opens formats that hold nothing but EBSD patterns; `None` for all others. `bad_pixels` is left to the caller.
pub(super) fn open_patterns(path: &Path, options: &OpenOptions) -> Result<Option<PatternMap>> {
    if path.is_dir() {
        return images::open_map(path, options).map(Some);
    }
    // Raw frames that are described by the user are raw, whatever their name.
    let described = options.sig_shape.is_some() && options.dtype.is_some();
    let file = ReadAt::open(path)?;
    if described {
        return Ok(None);
    }
    if binary::is_up(path) {
        return binary::open_up(file, options).map(Some);
    }
    if binary::is_nordif(path) {
        return binary::open_nordif(file, options).map(Some);
    }
    if ebsp::is_ebsp(path) {
        return ebsp::open(file, options).map(Some);
    }
    let mut head = [0; 4];
    if file.len() >= 4 {
        file.read(0, &mut head)?;
    }
    if head == images::ZIP_MAGIC {
        return images::open_map(path, options).map(Some);
    }
    Ok(None)
}
