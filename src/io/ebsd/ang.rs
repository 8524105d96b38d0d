//! EDAX's `.ang`: a header of `#` lines and a table of φ1 Φ φ2 x y IQ CI phase SEM fit, angles in radians.
//!
//! As OIM writes them and MTEX and orix read them.

use super::data::{Geometry, MapData, Phase};
use super::table::{Orientations, Rows, number, read, shape};
use crate::error::{Error, Result};
use crate::io::output::AtomicFile;
use crate::pattern_centre::Convention;
use ndarray::{Array2, Array3};
use std::f64::consts::PI;
use std::io::Write;
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
    let solved: Vec<bool> = (0..rows)
        .map(|i| is_solved(Some(values[6][i]), [values[0][i], values[1][i], values[2][i]]))
        .collect();
    if number_phases(&mut values[7], &solved, (header.phases.len() == 1).then_some(1)) {
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
    data.phases.sort_by_key(|p| p.id);
    data.orientation_frame = header.frame.unwrap_or_else(|| "Bunge ZXZ, EDAX sample frame".into());
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

/// Whether a point was indexed: OIM gives those that were not a confidence index of −1, and angles of 4π where it had no solution at all.
pub(super) fn is_solved(ci: Option<f64>, angles: [f64; 3]) -> bool {
    ci != Some(-1.0) && angles.iter().any(|a| (a - 4.0 * PI).abs() > 1e-3)
}

/// Numbers of phases as other makers write them: 0 where nothing was `solved`. With one phase, `only`, OIM may number it 0; true if it did.
pub(super) fn number_phases(ids: &mut [f64], solved: &[bool], only: Option<i32>) -> bool {
    let all_zero = ids.iter().all(|&id| id == 0.0);
    let zero_based = only.is_some() && all_zero && solved.contains(&true);
    for (id, &solved) in ids.iter_mut().zip(solved) {
        match (solved, only) {
            (false, _) => *id = 0.0,
            (true, Some(only)) if zero_based => *id = f64::from(only),
            _ => {}
        }
    }
    zero_based
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
    /// What our own files say.
    frame: Option<String>,
}

impl Header {
    fn take(&mut self, comment: &str) {
        if let Some((_, frame)) = comment.split_once("Reference frame of the orientations: ") {
            self.frame = Some(frame.trim().to_owned());
            return;
        }
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
            // A line of the user's notes may begin so.
            "Phase" if rest.len() == 1 && value.is_some() => self.phases.push(Phase {
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

/// Writes a file with a row for every point, row by row. Orientations keep their numbers; a comment says what they refer to. Points of phase 0
/// or without orientation are written as OIM writes points that were not indexed: angles 4π, CI −1, phase 0, fit 180. IQ is the column `iq`
/// or else the band contrast, fit `fit` or else the mean angular deviation; what the map does not have is 0.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses.
pub fn write_ang(path: &Path, map: &Orientations, overwrite: bool) -> Result<()> {
    let failed = |e| Error::io(path, "cannot write", e);
    let mut out = AtomicFile::create(path, overwrite)?;
    write!(out, "{}", header(map)).map_err(failed)?;
    let column = |names: &[&str]| names.iter().find_map(|n| map.data.get(n));
    let [phi1, phi, phi2, x, y, phase, ci, sem] =
        ["euler1", "euler2", "euler3", "x", "y", "phase", "ci", "sem"].map(|n| column(&[n]));
    let (iq, fit) = (column(&["iq", "bc"]), column(&["fit", "mad"]));
    let [rows, columns] = map.data.nav;
    for at in ndarray::indices((rows, columns)) {
        let of = |values: Option<&Array2<f64>>, default: f64| values.map(|v| v[at]).filter(|v| v.is_finite()).unwrap_or(default);
        let (x, y) = (of(x, at.1 as f64 * map.steps[1]), of(y, at.0 as f64 * map.steps[0]));
        let angles = [phi1, phi, phi2].map(|v| of(v, f64::NAN));
        let id = of(phase, 1.0);
        let indexed = id >= 1.0 && angles.iter().all(|a| a.is_finite());
        let [a, b, c] = if indexed { angles } else { [4.0 * PI; 3] };
        let (ci, id, fit) = match indexed {
            true => (of(ci, 0.0), id, of(fit, 0.0)),
            false => (-1.0, 0.0, 180.0),
        };
        writeln!(
            out,
            "{a:9.5} {b:9.5} {c:9.5} {x:13.6} {y:13.6} {:9.3} {ci:6.3} {id:2.0} {:6.0} {fit:7.3}",
            of(iq, 0.0),
            of(sem, 0.0)
        )
        .map_err(failed)?;
    }
    out.finish()
}

/// The lines before the table, in OIM's order.
fn header(map: &Orientations) -> String {
    let plain = |text: &str| text.replace(['\n', '\r', '\t'], " ");
    let degrees = |a: Option<f64>| a.unwrap_or(0.0).to_degrees();
    let mut text = String::from("# TEM_PIXperUM          1.000000\n");
    if let Some(pc) = &map.geometry.pc {
        let mean = |k: usize| {
            let values: Vec<f64> = pc
                .index_axis(ndarray::Axis(2), k)
                .iter()
                .copied()
                .filter(|v| v.is_finite())
                .collect();
            values.iter().sum::<f64>() / values.len().max(1) as f64
        };
        // As it is read: for a screen that is not higher than wide.
        let star = Convention::Edax.from_bruker([mean(0), mean(1), mean(2)], 1.0);
        for (name, value) in ["x-star", "y-star", "z-star"].iter().zip(star) {
            text += &format!("# {name}                {value:.6}\n");
        }
    }
    text += &format!(
        "# SampleTiltAngle       {:.6}\n# CameraElevationAngle  {:.6}\n# WorkingDistance       0.000000\n#\n",
        degrees(map.geometry.sample_tilt),
        degrees(map.geometry.camera_tilt)
    );
    // OIM numbers from the last phase down.
    for p in map.data.phases.iter().rev() {
        let [a, b, c, alpha, beta, gamma] = p.lattice;
        let name = if p.name.trim().is_empty() { "unknown" } else { p.name.trim() };
        text += &format!(
            "# Phase {}\n# MaterialName  \t{}\n# Formula     \t\n# Info \t\t\n# Symmetry              {}\n\
             # LatticeConstants      {a:.3} {b:.3} {c:.3} {:7.3} {:7.3} {:7.3}\n# NumberFamilies        0\n#\n",
            p.id,
            plain(name),
            p.laue_number().map_or(1, symmetry),
            alpha.to_degrees(),
            beta.to_degrees(),
            gamma.to_degrees()
        );
    }
    let [rows, columns] = map.data.nav;
    let frame = match map.data.orientation_frame.as_str() {
        "" => "unknown".into(),
        frame => plain(frame),
    };
    text += &format!(
        "# GRID: SqrGrid\n# XSTEP: {:.6}\n# YSTEP: {:.6}\n# NCOLS_ODD: {columns}\n# NCOLS_EVEN: {columns}\n# NROWS: {rows}\n#\n\
         # OPERATOR: \temstream\n#\n# SAMPLEID: \t\n#\n# SCANID: \t\n#\n# Reference frame of the orientations: {frame}\n#\n",
        map.steps[1], map.steps[0]
    );
    text
}

/// EDAX's number of a Laue group for Oxford's.
fn symmetry(laue: u8) -> u32 {
    match laue {
        2 => 2,
        3 => 22,
        4 => 4,
        5 => 42,
        6 => 3,
        7 => 32,
        8 => 6,
        9 => 62,
        10 => 23,
        11 => 43,
        _ => 1,
    }
}

/// Oxford's number of the Laue group for EDAX's.
pub(super) fn laue(symmetry: u32) -> u8 {
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
