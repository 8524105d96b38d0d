//! Patterns that EMsoft's program EMEBSD simulated: one for each orientation, in an HDF5 file of its own layout.
//!
//! Names as kikuchipy reads them: `EMData/EBSD/EBSDPatterns` (N, h, w), `EMData/EBSD/EulerAngles` (N, 3) in radians, the program's parameters in
//! `NMLparameters/EBSDNameList`, the crystal in `CrystalData`, with lengths in nm.

use super::{fault, is, text};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::ebsd::PatternMap;
use crate::io::ebsd::data::{Geometry, MapData, Phase};
use crate::io::h5;
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::pattern_centre::Convention;
use hdf5::{File, LocationType};
use ndarray::{Array2, Array3};
use std::path::Path;

const PATTERNS: &str = "EMData/EBSD/EBSDPatterns";
const EULER: &str = "EMData/EBSD/EulerAngles";

/// True for EMEBSD's files.
pub(super) fn is_emsoft(file: &File) -> bool {
    is(file, PATTERNS, LocationType::Dataset)
}

/// The patterns as a map of one row, or of the shape that `--nav-shape` gives; `None` if the user names another dataset.
///
/// # Errors
/// As [`h5::open`]; [`Error::Format`] for angles that do not belong to the patterns.
pub(super) fn open_map(path: &Path, file: &File, options: &OpenOptions, control: &Control) -> Result<Option<PatternMap>> {
    if options.dataset.as_deref().is_some_and(|d| d.trim_matches('/') != PATTERNS) {
        return Ok(None);
    }
    let inner = OpenOptions {
        dataset: Some(format!("/{PATTERNS}")),
        ..options.clone()
    };
    let scan = h5::open(ReadAt::open(path)?, &inner, control)?;
    let (nav, frame) = (scan.info().nav, scan.info().frame);
    let mut data = MapData::new(nav);
    if is(file, EULER, LocationType::Dataset) {
        let failed = |e: hdf5::Error| fault(path, EULER, &e);
        let dataset = file.dataset(EULER).map_err(failed)?;
        if dataset.shape() != [nav[0] * nav[1], 3] {
            let what = format!("shape {:?} for {} patterns", dataset.shape(), nav[0] * nav[1]);
            return Err(Error::format(path, EULER, what));
        }
        let angles = dataset.read_raw::<f64>().map_err(failed)?;
        for (k, name) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
            let of = |(y, x): (usize, usize)| angles.get(3 * (y * nav[1] + x) + k).copied().unwrap_or(f64::NAN);
            data.put(name, "rad", Array2::from_shape_fn((nav[0], nav[1]), of))?;
        }
        data.put("phase", "", Array2::ones((nav[0], nav[1])))?;
        data.orientation_frame = "Bunge ZXZ, EMsoft sample frame".into();
    }
    data.phases.extend(phase(file));
    let dialect = text::dataset(file, "EMheader/EBSD/ProgramName").unwrap_or_else(|| "EMsoft".into());
    Ok(Some(PatternMap {
        geometry: geometry(file, nav, [frame.height, frame.width]),
        present: Array2::from_elem((nav[0], nav[1]), true),
        scan,
        static_background: None,
        data,
        dialect,
        group: None,
    }))
}

fn parameter(file: &File, name: &str) -> Option<f64> {
    text::number(file, &format!("NMLparameters/EBSDNameList/{name}"))
}

/// Pattern centre, tilts and voltage.
fn geometry(file: &File, nav: [usize; 2], [height, width]: [usize; 2]) -> Geometry {
    let centre = || -> Option<[f64; 3]> {
        let binning = parameter(file, "binning").filter(|&b| b >= 1.0).unwrap_or(1.0);
        // Pixels before binning, and µm over the size of such a pixel.
        let across = width as f64 * binning;
        let delta = parameter(file, "delta").filter(|&d| d > 0.0)?;
        let (x, y) = (parameter(file, "xpc")?, parameter(file, "ypc")?);
        let distance = parameter(file, "L")?;
        // Before version 5, x counted to the other side.
        let version = text::dataset(file, "EMheader/EBSD/Version").unwrap_or_default();
        let old = version.starts_with(['3', '4']);
        let emsoft = [if old { -x } else { x } / across, y / across, distance / delta / across];
        Some(Convention::Emsoft.to_bruker(emsoft, height as f64 / width as f64))
    };
    Geometry {
        pc: centre().map(|pc| Array3::from_shape_fn((nav[0], nav[1], 3), |(_, _, k)| pc[k])),
        sample_tilt: text::number(file, "NMLparameters/MCCLNameList/sig").map(f64::to_radians),
        camera_tilt: parameter(file, "thetac").map(f64::to_radians),
        voltage: parameter(file, "energymax"),
    }
}

/// The simulated crystal.
fn phase(file: &File) -> Option<Phase> {
    let lattice = text::numbers(file, "CrystalData/LatticeParameters", 6).filter(|v| v.len() == 6)?;
    let name = text::dataset(file, "EMData/EBSD/xtalname").unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or("").trim_end_matches(".xtal").to_owned();
    let mut cell = [0.0; 6];
    for (k, (slot, v)) in cell.iter_mut().zip(lattice).enumerate() {
        // nm and degrees.
        *slot = if k < 3 { 10.0 * v } else { v.to_radians() };
    }
    Some(Phase {
        id: 1,
        name,
        lattice: cell,
        laue: 0,
        space_group: text::number(file, "CrystalData/SpaceGroupNumber").map_or(0, |v| v as u16),
    })
}
