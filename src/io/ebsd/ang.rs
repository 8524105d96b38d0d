//! EDAX's `.ang`: a header of `#` lines and a table of φ1 Φ φ2 x y IQ CI phase SEM fit, angles in radians.
//!
//! As OIM writes them and MTEX and orix read them.

use super::data::{Geometry, MapData, Phase};
use super::table::{Orientations, Rows, number, read, shape};
use crate::error::{Error, Result};
use crate::pattern_centre::Convention;
use ndarray::Array3;
use std::path::Path;

/// Our names of the columns in OIM's order.
const COLUMNS: [&str; 10] = ["euler1", "euler2", "euler3", "x", "y", "iq", "ci", "phase", "sem", "fit"];

/// Reads a file of a square grid.
///
/// # Errors
/// [`Error::Unsupported`] for hexagonal grids, [`Error::Format`] naming line and value.
pub fn read_ang(path: &Path) -> Result<Orientations> {
    let text = read(path)?;
    let mut header = Header::default();
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); COLUMNS.len()];
    for (at, line) in text.lines().enumerate() {
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            header.take(comment);
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let fields = line.split_whitespace();
        let mut filled = 0;
        for (name, (column, field)) in COLUMNS.iter().zip(values.iter_mut().zip(fields)) {
            let wrong = || Error::format(path, format!("line {}", at + 1), format!("'{field}' for {name} is no number"));
            column.push(number(field).ok_or_else(wrong)?);
            filled += 1;
        }
        if filled < 8 {
            let what = format!("{filled} columns; at least φ1 Φ φ2 x y IQ CI phase are needed");
            return Err(Error::format(path, format!("line {}", at + 1), what));
        }
    }
    let rows = values[0].len();
    if header.hexagonal {
        return Err(Error::unsupported(path, "a hexagonal grid; emstream reads square ones"));
    }
    if rows == 0 {
        return Err(Error::format(path, "end of file", "there is no table"));
    }
    let nav = header.shape(path, &values[3], &values[4])?;
    if rows != nav[0] * nav[1] {
        let points = nav[0] * nav[1];
        let what = format!("{rows} rows for the {} × {} = {points} points of the header", nav[0], nav[1]);
        return Err(Error::format(path, "table", what));
    }
    let mut notes = Vec::new();
    // With one phase OIM may number it 0.
    if header.phases.len() == 1 && values[7].iter().all(|&p| p == 0.0) {
        values[7].fill(1.0);
        notes.push("the phase numbered 0 is phase 1".into());
    }
    let steps = header.steps.map(|s| s.unwrap_or(0.0));
    let table = Rows { path, nav, steps };
    let placed = (0..2).all(|k| steps[k] > 0.0 || nav[k] == 1);
    let points = table.points(placed.then_some(&values[3]), placed.then_some(&values[4]), rows)?;
    let mut data = MapData::new(nav);
    for (name, column) in COLUMNS.iter().zip(&values).filter(|(_, c)| c.len() == rows) {
        let unit = match *name {
            "euler1" | "euler2" | "euler3" => "rad",
            "x" | "y" => "µm",
            _ => "",
        };
        data.put(name, unit, table.map(&points, column))?;
    }
    data.phases = header.phases;
    data.orientation_frame = "Bunge ZXZ, EDAX sample frame".into();
    let pc = match header.star {
        // Which edge is the smaller is unknown without patterns; screens of EDAX cameras are square or wider than high.
        [Some(x), Some(y), Some(z)] => {
            let pc = Convention::Edax.to_bruker([x, y, z], 1.0);
            Some(Array3::from_shape_fn((nav[0], nav[1], 3), |(_, _, k)| pc[k]))
        }
        _ => None,
    };
    Ok(Orientations {
        data,
        steps,
        geometry: Geometry {
            pc,
            sample_tilt: header.tilt.map(f64::to_radians),
            camera_tilt: header.elevation.map(f64::to_radians),
            voltage: None,
        },
        notes,
    })
}

#[derive(Default)]
struct Header {
    hexagonal: bool,
    rows: Option<f64>,
    columns: Option<f64>,
    /// (y, x)
    steps: [Option<f64>; 2],
    star: [Option<f64>; 3],
    tilt: Option<f64>,
    elevation: Option<f64>,
    phases: Vec<Phase>,
}

impl Header {
    fn take(&mut self, comment: &str) {
        let mut words = comment.split_whitespace();
        let key = words.next().unwrap_or("").trim_end_matches(':');
        let rest: Vec<&str> = words.collect();
        let value = rest.first().and_then(|t| number(t));
        match key {
            "GRID" => self.hexagonal = rest.first().is_some_and(|g| g.eq_ignore_ascii_case("HexGrid")),
            "NROWS" => self.rows = value,
            "NCOLS_ODD" => self.columns = value,
            "XSTEP" => self.steps[1] = value,
            "YSTEP" => self.steps[0] = value,
            "x-star" => self.star[0] = value,
            "y-star" => self.star[1] = value,
            "z-star" => self.star[2] = value,
            "SampleTiltAngle" => self.tilt = value,
            "CameraElevationAngle" => self.elevation = value,
            "Phase" => self.phases.push(Phase {
                id: value.map_or(1, |v| v as i32),
                name: String::new(),
                lattice: [0.0; 6],
                laue: 0,
                space_group: 0,
            }),
            _ => {
                let Some(phase) = self.phases.last_mut() else { return };
                match key {
                    "MaterialName" => phase.name = rest.join(" "),
                    "Symmetry" => phase.laue = value.map_or(0, |v| laue(v as u32)),
                    "LatticeConstants" => {
                        let numbers = rest.iter().filter_map(|t| number(t));
                        phase.lattice.iter_mut().zip(numbers).for_each(|(slot, v)| *slot = v);
                        phase.lattice[3..].iter_mut().for_each(|a| *a = a.to_radians());
                    }
                    _ => {}
                }
            }
        }
    }

    /// The shape that the header says, or that positions say where it is silent.
    fn shape(&self, path: &Path, x: &[f64], y: &[f64]) -> Result<[usize; 2]> {
        let count = |v: &[f64], step: Option<f64>| {
            let (low, high) = v
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
            step.filter(|&s| s > 0.0).map(|s| ((high - low) / s).round() + 1.0)
        };
        let missing = |key: &str| Error::format(path, "header", format!("{key} is missing"));
        let rows = self.rows.or(count(y, self.steps[0])).ok_or_else(|| missing("NROWS"))?;
        let columns = self.columns.or(count(x, self.steps[1])).ok_or_else(|| missing("NCOLS_ODD"))?;
        shape(path, "NROWS, NCOLS_ODD", rows, columns)
    }
}

/// Oxford's number of the Laue group for EDAX's.
fn laue(symmetry: u32) -> u8 {
    match symmetry {
        1 => 1,
        2 | 20 | 21 => 2,
        22 => 3,
        4 => 4,
        42 => 5,
        3 => 6,
        32 => 7,
        6 => 8,
        62 => 9,
        23 => 10,
        43 => 11,
        _ => 0,
    }
}
