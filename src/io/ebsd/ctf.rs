//! Oxford's Channel Text Files (`.ctf`): a header of keys, the phases, and a table of one row a point.
//!
//! Written from the description in Oxford's Channel 5 manual as xcdskd, MTEX and DREAM.3D apply it. Angles are Bunge's, in degrees, and refer to the
//! acquisition surface CS0 that the header states; nothing is rotated here.

use super::data::{Geometry, MapData, Phase};
use super::table::{Orientations, Rows, number, read, shape};
use crate::error::{Error, Result};
use crate::io::output::AtomicFile;
use ndarray::Array2;
use std::io::Write;
use std::path::Path;

/// The columns in the order in which they are written, with our names.
const COLUMNS: [(&str, &str); 11] = [
    ("Phase", "phase"),
    ("X", "x"),
    ("Y", "y"),
    ("Bands", "bands"),
    ("Error", "error"),
    ("Euler1", "euler1"),
    ("Euler2", "euler2"),
    ("Euler3", "euler3"),
    ("MAD", "mad"),
    ("BC", "bc"),
    ("BS", "bs"),
];
const FRAME: &str = "Bunge ZXZ, Oxford sample coordinate system CS0";

/// Unit of a column, and the factor from the file's unit to ours.
fn unit(name: &str) -> (&'static str, f64) {
    match name {
        "euler1" | "euler2" | "euler3" => ("rad", std::f64::consts::PI / 180.0),
        "x" | "y" => ("µm", 1.0),
        _ => ("", 1.0),
    }
}

/// Reads a file: decimal points or commas, any order and number of columns, any line ends; optional keys may be missing.
///
/// # Errors
/// [`Error::Format`] naming line and value; in particular if the number of rows is not XCells · YCells.
pub fn read_ctf(path: &Path) -> Result<Orientations> {
    let text = read(path)?;
    let wrong = |line: usize, what: String| Error::format(path, format!("line {}", line + 1), what);
    let mut lines = text.lines().enumerate();
    if !lines.next().is_some_and(|(_, l)| l.starts_with("Channel Text File")) {
        return Err(wrong(0, "a Channel Text File begins with these words".into()));
    }
    let mut header = Header::default();
    let names: Vec<&str> = loop {
        let Some((at, line)) = lines.next() else {
            return Err(Error::format(
                path,
                "end of file",
                "there is no table (a line Phase, X, Y, …)",
            ));
        };
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if fields.contains(&"Euler1") && fields.contains(&"Phase") {
            break fields;
        }
        if fields[0] == "Phases" {
            let count = fields.get(1).and_then(|t| number(t)).unwrap_or(0.0);
            if !(0.0..=1000.0).contains(&count) {
                return Err(wrong(at, format!("{count} phases")));
            }
            for id in 1..=count as i32 {
                let Some((at, line)) = lines.next() else { break };
                let phase =
                    phase(id, line).ok_or_else(|| wrong(at, format!("'{line}' is no phase: lengths; angles; name expected")))?;
                header.phases.push(phase);
            }
        } else {
            // One key a line, or a line of many after "Euler angles refer to …".
            for pair in fields.windows(2) {
                header.take(pair[0], pair[1]);
            }
        }
    };
    let missing = |key: &str| Error::format(path, "header", format!("{key} is missing"));
    let nav = shape(
        path,
        "XCells, YCells",
        header.cells[0].ok_or_else(|| missing("YCells"))?,
        header.cells[1].ok_or_else(|| missing("XCells"))?,
    )?;

    let mut values: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut rows = 0usize;
    for (at, line) in lines.filter(|(_, l)| !l.trim().is_empty()) {
        let mut fields = line.split('\t');
        for (name, column) in names.iter().zip(&mut values).filter(|(n, _)| !n.is_empty()) {
            let field = fields
                .next()
                .ok_or_else(|| wrong(at, format!("the column {name} is missing")))?;
            column.push(number(field).ok_or_else(|| wrong(at, format!("'{}' in column {name} is no number", field.trim())))?);
        }
        rows += 1;
    }
    if rows != nav[0] * nav[1] {
        let what = format!(
            "{rows} rows for the {} × {} = {} points of the header (YCells, XCells)",
            nav[0],
            nav[1],
            nav[0] * nav[1]
        );
        return Err(Error::format(path, "table", what));
    }

    let steps = header.steps.map(|s| s.unwrap_or(0.0));
    let mut table = Rows { path, nav, steps };
    let find = |name: &str| names.iter().position(|n| *n == name).map(|i| values[i].as_slice());
    // A map of one row or column needs no step along the other axis.
    let placed = (0..2).all(|k| steps[k] > 0.0 || nav[k] == 1);
    let (x, y) = if placed { (find("X"), find("Y")) } else { (None, None) };
    table.steps = [table.step(0, y), table.step(1, x)];
    let points = table.points(x, y, rows)?;
    let mut data = MapData::new(nav);
    data.phases = header.phases;
    data.orientation_frame = FRAME.into();
    for (name, column) in names.iter().zip(&values).filter(|(n, _)| !n.is_empty()) {
        let ours = COLUMNS
            .iter()
            .find(|(theirs, _)| theirs == name)
            .map(|(_, ours)| (*ours).to_owned());
        let ours = ours.unwrap_or_else(|| name.to_lowercase());
        let (unit, factor) = unit(&ours);
        let mut map = table.map(&points, column);
        if factor != 1.0 {
            map.mapv_inplace(f64::to_radians);
        }
        data.put(&ours, unit, map)?;
    }
    Ok(Orientations {
        data,
        steps: table.steps,
        geometry: Geometry {
            pc: None,
            sample_tilt: header.tilt.map(f64::to_radians),
            camera_tilt: None,
            voltage: header.voltage,
        },
        notes: Vec::new(),
    })
}

#[derive(Default)]
struct Header {
    /// (y, x)
    cells: [Option<f64>; 2],
    steps: [Option<f64>; 2],
    tilt: Option<f64>,
    voltage: Option<f64>,
    phases: Vec<Phase>,
}

impl Header {
    fn take(&mut self, key: &str, value: &str) {
        let slot = match key {
            "YCells" => &mut self.cells[0],
            "XCells" => &mut self.cells[1],
            "YStep" => &mut self.steps[0],
            "XStep" => &mut self.steps[1],
            "TiltAngle" => &mut self.tilt,
            "KV" => &mut self.voltage,
            _ => return,
        };
        *slot = number(value).or(*slot);
    }
}

/// `3.524;3.524;3.524<tab>90;90;90<tab>Nickel<tab>11<tab>225…`: lengths in Å, angles, name, Laue group, space group.
fn phase(id: i32, line: &str) -> Option<Phase> {
    let fields: Vec<&str> = line.split('\t').collect();
    let three = |text: &str| -> Option<Vec<f64>> {
        let values: Vec<f64> = text.split(';').map(number).collect::<Option<_>>()?;
        (values.len() == 3).then_some(values)
    };
    let (lengths, angles) = (three(fields.first()?)?, three(fields.get(1)?)?);
    let whole = |i: usize| fields.get(i).and_then(|t| number(t)).unwrap_or(0.0);
    let degrees = |k: usize| angles[k].to_radians();
    Some(Phase {
        id,
        name: fields.get(2)?.trim().to_owned(),
        lattice: [lengths[0], lengths[1], lengths[2], degrees(0), degrees(1), degrees(2)],
        laue: whole(3) as u8,
        space_group: whole(4) as u16,
    })
}

/// The coordinate of index 0 along an axis, so that points without one can be placed among the others.
fn origin(values: Option<&Array2<f64>>, axis: usize, step: f64) -> f64 {
    let mut known = values
        .into_iter()
        .flat_map(|v| v.indexed_iter())
        .filter(|(_, v)| v.is_finite());
    known.next().map_or(0.0, |((y, x), v)| v - [y, x][axis] as f64 * step)
}

/// Writes a file with a row for every point, row by row; columns that the map does not have are 0. Orientations keep their numbers: the key `Prj`
/// says what they refer to, while the line about CS0, by which programs know the header's end, stays as it always is.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is false, or the disk refuses.
pub fn write_ctf(path: &Path, map: &Orientations, overwrite: bool) -> Result<()> {
    let failed = |e| Error::io(path, "cannot write", e);
    let mut out = AtomicFile::create(path, overwrite)?;
    let [rows, columns] = map.data.nav;
    let degrees = |a: Option<f64>| a.map_or(0.0, f64::to_degrees);
    let (kv, tilt) = (map.geometry.voltage.unwrap_or(0.0), degrees(map.geometry.sample_tilt));
    let frame = match map.data.orientation_frame.as_str() {
        "" => "orientations of unknown frame".to_owned(),
        frame => frame.replace(['\t', '\n', '\r'], " "),
    };
    let mut head = format!(
        "Channel Text File\nPrj\temstream; {frame}\nAuthor\t\nJobMode\tGrid\nXCells\t{columns}\nYCells\t{rows}\nXStep\t{:.6}\nYStep\t{:.6}\n\
         AcqE1\t0.0000\nAcqE2\t0.0000\nAcqE3\t0.0000\nEuler angles refer to Sample Coordinate system (CS0)!\tMag\t0.0000\tCoverage\t100\t\
         Device\t0\tKV\t{kv:.4}\tTiltAngle\t{tilt:.4}\tTiltAxis\t0\nPhases\t{}\n",
        map.steps[1],
        map.steps[0],
        map.data.phases.len()
    );
    for p in &map.data.phases {
        let [a, b, c, alpha, beta, gamma] = p.lattice;
        head += &format!(
            "{a:.3};{b:.3};{c:.3}\t{:.3};{:.3};{:.3}\t{}\t{}\t{}\t\t\t\n",
            alpha.to_degrees(),
            beta.to_degrees(),
            gamma.to_degrees(),
            p.name,
            // Programs look this number up: triclinic is what an unknown crystal cannot contradict.
            p.laue_number().unwrap_or(1),
            p.space_group
        );
    }
    let names: Vec<&str> = COLUMNS.iter().map(|(n, _)| *n).collect();
    head += &names.join("\t");
    writeln!(out, "{head}").map_err(failed)?;
    let maps: Vec<_> = COLUMNS.iter().map(|(_, ours)| (*ours, map.data.get(ours))).collect();
    let start = [
        origin(map.data.get("y"), 0, map.steps[0]),
        origin(map.data.get("x"), 1, map.steps[1]),
    ];
    for y in 0..rows {
        for x in 0..columns {
            let mut line = String::new();
            for (ours, values) in &maps {
                let known = values.map(|v| v[[y, x]]).filter(|v| !v.is_nan());
                let value = match *ours {
                    // A point of which nothing is known still has its place: a file with two rows at one position is refused.
                    "x" => known.unwrap_or(start[1] + x as f64 * map.steps[1]),
                    "y" => known.unwrap_or(start[0] + y as f64 * map.steps[0]),
                    _ => known.unwrap_or(0.0),
                };
                let value = value / unit(ours).1;
                line += &match *ours {
                    "phase" | "bands" | "error" | "bc" | "bs" => format!("{value:.0}\t"),
                    "x" | "y" => format!("{value:.6}\t"),
                    _ => format!("{value:.4}\t"),
                };
            }
            writeln!(out, "{}", line.trim_end()).map_err(failed)?;
        }
    }
    out.finish()
}
