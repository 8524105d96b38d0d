//! What an HDF5 file says of the points of a map: columns, orientations, phases.

use super::{Program, Source, fault, is, text};
use crate::error::{Error, Result};
use crate::io::ebsd::ang;
use crate::io::ebsd::data::{MapData, Phase, micrometres};
use crate::io::ebsd::mapped::Places;
use crate::io::h5::refused::Told;
use hdf5::{Group, LocationType};
use ndarray::Array2;

/// Our names of columns and those of the programs.
const POINTS: [(&str, &[&str]); 10] = [
    ("phase", &["Phase"]),
    ("bands", &["Bands", "NIndexedBands", "bands"]),
    ("error", &["Error", "error"]),
    ("mad", &["MAD", "Mean Angular Deviation", "mad"]),
    ("bc", &["BC", "Band Contrast", "RadonQuality", "bc"]),
    ("bs", &["BS", "Band Slope", "bs"]),
    ("ci", &["CI", "ci"]),
    ("iq", &["IQ", "iq"]),
    ("fit", &["Fit", "fit"]),
    ("sem", &["SEM Signal"]),
];
/// Most phases that are read.
const MAX_PHASES: usize = 100;

impl Source<'_> {
    /// Columns and phases.
    pub(super) fn points(&self, places: &Places) -> Result<MapData> {
        let mut data = MapData::new(places.nav);
        let angles = self.euler()?;
        for (name, theirs) in POINTS {
            if let Some(mut values) = self.column(theirs)? {
                match name {
                    // Oxford writes all angles in radians here, and degrees in its `.ctf`.
                    "mad" if self.program == Program::Oxford => values.iter_mut().for_each(|v| *v = v.to_degrees()),
                    "phase" => self.number_phases(&mut values, angles.as_ref())?,
                    _ => {}
                }
                data.put(name, "", spread(places, &values))?;
            }
        }
        if let Some(ids) = self.column(&["phase_id"])? {
            // orix counts from 0; −1 is not indexed.
            let first = if self.phases().iter().any(|p| p.id == 0) { 1.0 } else { 0.0 };
            let ids: Vec<f64> = ids.iter().map(|&p| if p < 0.0 { 0.0 } else { p + first }).collect();
            data.put("phase", "", spread(places, &ids))?;
        }
        for (name, theirs) in [("x", ["X Position", "X", "x"]), ("y", ["Y Position", "Y", "y"])] {
            let beside = |n: &&str| is(self.file, &format!("{}/Data/{n}", self.group), LocationType::Dataset);
            let unit = match theirs.iter().any(beside) {
                true => Some(1.0),
                false => self.unit_of_crystal_map(),
            };
            let Some(unit) = unit else { continue };
            if let Some(values) = self.column(&theirs)?.filter(|v| v.iter().any(|&x| x != 0.0)) {
                data.put(name, "µm", spread(places, &values) * unit)?;
            }
        }
        if let Some(angles) = angles {
            for (name, values) in ["euler1", "euler2", "euler3"].into_iter().zip(&angles) {
                data.put(name, "rad", spread(places, values))?;
            }
            data.orientation_frame = match self.program {
                Program::Oxford => "Bunge ZXZ, Oxford sample frame CS1".into(),
                Program::Edax => "Bunge ZXZ, EDAX sample frame".into(),
                _ => ["Data/phi1", "CrystalMap/crystal_map/data/phi1"]
                    .iter()
                    .find_map(|name| text::attribute(self.file, &format!("{}/{name}", self.group), "frame"))
                    .unwrap_or("Bunge ZXZ".into()),
            };
        }
        data.phases = self.phases();
        if data.phases.iter().any(|p| p.id == 0) {
            data.phases.iter_mut().for_each(|p| p.id += 1);
        }
        data.phases.retain(|p| p.id > 0);
        Ok(data)
    }

    /// Micrometres in the unit of an orix crystal map; `None` where its positions count points. Older maps say none: theirs are µm.
    fn unit_of_crystal_map(&self) -> Option<f64> {
        let name = format!("{}/CrystalMap/crystal_map/header/scan_unit", self.group);
        text::dataset(self.file, &name).map_or(Some(1.0), |unit| micrometres(&unit))
    }

    /// EDAX's numbers of phases are those of an `.ang`.
    fn number_phases(&self, ids: &mut [f64], angles: Option<&[Vec<f64>; 3]>) -> Result<()> {
        if self.program != Program::Edax {
            return Ok(());
        }
        let ci = self.column(&["CI"])?;
        let solved: Vec<bool> = (0..ids.len())
            .map(|i| {
                let angles = angles.map_or([0.0; 3], |all| all.each_ref().map(|a| a.get(i).copied().unwrap_or(0.0)));
                ang::is_solved(ci.as_ref().and_then(|c| c.get(i).copied()), angles)
            })
            .collect();
        let only = match self.phases().as_slice() {
            [only] => Some(only.id.max(1)),
            _ => None,
        };
        ang::number_phases(ids, &solved, only);
        Ok(())
    }

    /// Euler angles in radians; `None` where they are the zeros that stand for nothing.
    fn euler(&self) -> Result<Option<[Vec<f64>; 3]>> {
        let data = format!("{}/Data", self.group);
        if self.program == Program::Oxford {
            let path = format!("{data}/Euler");
            if !is(self.file, &path, LocationType::Dataset) {
                return Ok(None);
            }
            let failed = |e: hdf5::Error| fault(self.path, path.as_str(), &e);
            let dataset = self.file.dataset(&path).map_err(failed)?;
            if dataset.shape() != [self.count, 3] {
                return Err(Error::format(
                    self.path,
                    path,
                    format!("shape {:?} for {} patterns", dataset.shape(), self.count),
                ));
            }
            let values = dataset.read_raw::<f64>().map_err(failed)?;
            return Ok(Some([0, 1, 2].map(|k| values.iter().skip(k).step_by(3).copied().collect())));
        }
        let (a, b, c) = (
            self.column(&["phi1", "Phi1"])?,
            self.column(&["PHI", "Phi"])?,
            self.column(&["phi2", "Phi2"])?,
        );
        let (Some(a), Some(b), Some(c)) = (a, b, c) else {
            return Ok(None);
        };
        let mut all = [a, b, c];
        if all.iter().flatten().all(|&v| v == 0.0) {
            return Ok(None);
        }
        // EDAX and orix write radians, Bruker degrees; our own files say it.
        let unit = text::attribute(self.file, &format!("{data}/phi1"), "unit");
        let degrees = unit.map_or(self.program == Program::H5Ebsd, |u| u == "deg");
        if degrees {
            all.iter_mut().flatten().for_each(|v| *v = v.to_radians());
        }
        Ok(Some(all))
    }

    /// Phases: groups `Header/Phases/N` or `Header/Phase/N`.
    fn phases(&self) -> Vec<Phase> {
        let groups = [
            "Header/Phases",
            "Header/Phase",
            "Header/phases",
            "CrystalMap/crystal_map/header/phases",
        ];
        let found = groups.iter().map(|g| format!("{}/{g}", self.group));
        let Some(base) = found.into_iter().find(|g| is(self.file, g, LocationType::Group)) else {
            return Vec::new();
        };
        let Some(names) = self.file.group(&base).and_then(|g: Group| g.member_names()).told() else {
            return Vec::new();
        };
        let mut phases: Vec<Phase> = names
            .iter()
            .take(MAX_PHASES)
            .filter_map(|n| self.phase(&format!("{base}/{n}"), n.parse().ok()?))
            .collect();
        phases.sort_by_key(|p| p.id);
        phases
    }

    /// One phase in Oxford's (and our), EDAX's or Bruker's words.
    fn phase(&self, group: &str, id: i32) -> Option<Phase> {
        let number = |n: &str| text::number(self.file, &format!("{group}/{n}"));
        let numbers = |n: &str| text::numbers(self.file, &format!("{group}/{n}"), 6);
        let name = ["Phase Name", "MaterialName", "Name", "name"]
            .iter()
            .find_map(|n| text::dataset(self.file, &format!("{group}/{n}")))?;
        let mut lattice = [0.0; 6];
        match (numbers("Lattice Dimensions"), numbers("Lattice Angles")) {
            (Some(lengths), Some(angles)) if lengths.len() == 3 && angles.len() == 3 => {
                lattice[..3].copy_from_slice(&lengths);
                lattice[3..].copy_from_slice(&angles);
            }
            _ => {
                let edax = [
                    "Lattice Constant a",
                    "Lattice Constant b",
                    "Lattice Constant c",
                    "Lattice Constant alpha",
                    "Lattice Constant beta",
                    "Lattice Constant gamma",
                ];
                for (slot, n) in lattice.iter_mut().zip(edax) {
                    *slot = number(n).unwrap_or(0.0);
                }
                let six = numbers("LatticeConstants").or_else(|| numbers("structure/lattice/abcABG"));
                if let Some(all) = six.filter(|v| v.len() == 6) {
                    lattice.copy_from_slice(&all);
                }
                // EDAX, Bruker and orix write degrees.
                lattice[3..].iter_mut().for_each(|a| *a = a.to_radians());
            }
        }
        Some(Phase {
            id,
            name,
            lattice,
            laue: match number("Laue Group") {
                Some(oxford) => oxford as u8,
                None => number("Symmetry").map_or(0, |edax| ang::laue(edax as u32)),
            },
            space_group: ["Space Group", "IT", "space_group"]
                .iter()
                .find_map(|n| number(n))
                .map_or(0, |v| v as u16),
        })
    }
}

/// One value a pattern as one value a point, NaN where there is no pattern.
fn spread(places: &Places, values: &[f64]) -> Array2<f64> {
    let [rows, columns] = places.nav;
    Array2::from_shape_fn((rows, columns), |(y, x)| {
        let stored = places.stored((y * columns + x) as u64);
        stored.and_then(|s| values.get(s as usize)).copied().unwrap_or(f64::NAN)
    })
}
