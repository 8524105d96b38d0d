//! What an HDF5 file says of the detector: pattern centres, tilts, voltage, static background.

use super::{PROCESSED, Program, Source, UNPROCESSED, fault, is, text};
use crate::error::{Error, Result};
use crate::io::ebsd::data::Geometry;
use crate::io::ebsd::mapped::Places;
use crate::io::h5;
use crate::pattern_centre::Convention;
use hdf5::LocationType;
use ndarray::{Array2, Array3};

const BACKGROUND: [&str; 3] = ["Data/StaticBackground", "Header/StaticBackground", "Header/static_background"];

impl Source<'_> {
    /// Projection centres and tilts.
    pub(super) fn geometry(&self, places: &Places, aspect: f64) -> Result<Geometry> {
        let number = |n: &str| self.header(&[n]);
        let mut geometry = Geometry::default();
        let (convention, columns) = match self.program {
            Program::Oxford => (
                Convention::Oxford,
                [
                    self.column(&["Pattern Center X"])?,
                    self.column(&["Pattern Center Y"])?,
                    self.column(&["Detector Distance"])?,
                ],
            ),
            Program::Edax => {
                let star = |n: &str| number(&format!("Pattern Center Calibration/{n}")).map(|v| vec![v; self.count]);
                (Convention::Edax, [star("x-star"), star("y-star"), star("z-star")])
            }
            Program::Kikuchipy => {
                let all = |n: &str| {
                    let values = text::numbers(self.file, &format!("{}/Header/{n}", self.group), self.count)?;
                    match values.as_slice() {
                        [one] => Some(vec![*one; self.count]),
                        many => (many.len() == self.count).then(|| many.to_vec()),
                    }
                };
                (Convention::Bruker, [all("pcx"), all("pcy"), all("pcz")])
            }
            Program::H5Ebsd => (
                Convention::Bruker,
                [self.column(&["PCX"])?, self.column(&["PCY"])?, self.column(&["DD"])?],
            ),
        };
        if let [Some(x), Some(y), Some(z)] = columns {
            let all: Vec<[f64; 3]> = (0..self.count)
                .map(|i| convention.to_bruker([x[i], y[i], z[i]], aspect))
                .collect();
            // These stand for nothing in the h5ebsd-like layout.
            let dummies = self.program == Program::H5Ebsd && all.iter().all(|p| *p == [0.5, 0.5, 1.0]);
            if !dummies {
                let [rows, columns] = places.nav;
                geometry.pc = Some(Array3::from_shape_fn((rows, columns, 3), |(y, x, k)| {
                    places
                        .stored((y * columns + x) as u64)
                        .map_or(f64::NAN, |s| all[s as usize][k])
                }));
            }
        }
        // Only Oxford writes radians.
        let angle = |v: f64| if self.program == Program::Oxford { v } else { v.to_radians() };
        geometry.sample_tilt = ["Tilt Angle", "sample_tilt", "Sample Tilt", "SampleTilt"]
            .iter()
            .find_map(|n| number(n))
            .map(angle);
        geometry.camera_tilt = ["elevation_angle", "Camera Elevation Angle", "CameraTilt"]
            .iter()
            .find_map(|n| number(n))
            .map(f64::to_radians)
            .or_else(|| self.oxford_tilt());
        geometry.voltage = ["Beam Voltage", "KV", "Voltage"].iter().find_map(|n| number(n));
        Ok(geometry)
    }

    /// Oxford's detector orientation is three Euler angles; the second one is a right angle for a camera that is not tilted, as in
    /// kikuchipy's `EBSDDetector.tilt`.
    fn oxford_tilt(&self) -> Option<f64> {
        let name = format!("{}/Header/Detector Orientation Euler", self.group);
        let angles = text::numbers(self.file, &name, 3).filter(|_| self.program == Program::Oxford)?;
        angles
            .get(1)
            .map(|a| a - std::f64::consts::FRAC_PI_2)
            .filter(|a| a.is_finite())
    }

    /// The static background if there is one of the patterns' shape, for patterns of `stack`, one of `stacks`.
    pub(super) fn background(&self, stacks: &[&str], stack: &str, shape: [usize; 2]) -> Result<Option<Array2<f64>>> {
        // Oxford's two backgrounds differ in type and range like the two kinds of patterns. Patterns that emstream computed come from the
        // unprocessed ones where the file has them.
        let oxford = match stack {
            UNPROCESSED => "Header/Unprocessed Static Background",
            PROCESSED => "Header/Processed Static Background",
            _ if stacks.contains(&PROCESSED) && !stacks.contains(&UNPROCESSED) => "Header/Processed Static Background",
            _ => "Header/Unprocessed Static Background",
        };
        for name in BACKGROUND.into_iter().chain([oxford]) {
            let path = format!("{}/{name}", self.group);
            if !is(self.file, &path, LocationType::Dataset) {
                continue;
            }
            let failed = |e: hdf5::Error| fault(self.path, path.as_str(), &e);
            let dataset = self.file.dataset(&path).map_err(failed)?;
            // kikuchipy writes the number −1 where there is none.
            if dataset.shape() == shape && h5::storage_size(&dataset) > 0 {
                let values = dataset.read_raw::<f64>().map_err(failed)?;
                let array = Array2::from_shape_vec((shape[0], shape[1]), values);
                return array
                    .map(Some)
                    .map_err(|e| Error::Internal(format!("static background: {e}")));
            }
        }
        Ok(None)
    }
}
