//! Which arrays of the open files are maps of the scan, images like frames, or curves like spectra.

use super::sources::Sources;
use crate::error::{Error, Result};
use crate::io::browse::Listed;
use crate::io::file_name;
use ndarray::{Array1, Array2, Axis, Ix1, Ix2};
use serde_json::{Value, json};

/// How values are to be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Scalar,
    /// Limits are symmetric about 0.
    Signed,
    /// A turn is 2π.
    Angle,
    Labels,
}

impl Style {
    fn name(self) -> &'static str {
        match self {
            Style::Scalar => "scalar",
            Style::Signed => "signed",
            Style::Angle => "angle",
            Style::Labels => "labels",
        }
    }
}

/// What an array is to the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// (…, scan_y, scan_x, …): a map for every index of the other axis, if there is one.
    Map { axis: usize },
    /// (y, x)
    Image,
    /// One axis of channels.
    Curve,
}

/// An array that can be shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Stable within a session: file number and path, e.g. `0:/strain/xx`.
    pub id: String,
    pub name: String,
    pub file: String,
    pub unit: String,
    pub meaning: String,
    pub role: Role,
    pub style: Style,
    /// Maps in the array.
    pub count: usize,
    at: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Result {
        file: usize,
        path: String,
        rank: usize,
    },
    Column {
        table: Option<usize>,
        scan: usize,
        name: String,
    },
}

/// Values to show: (rows, columns), or one row for a curve.
pub struct Values {
    pub name: String,
    pub values: Array2<f64>,
}

/// The first of the axes `scan_y`, `scan_x` (or `row`, `column`), by their names.
pub fn scan_axes(axes: &[String]) -> Option<usize> {
    let is = |i: usize, names: [&str; 2]| axes.get(i).is_some_and(|a| names.contains(&a.as_str()));
    (0..axes.len()).find(|&i| is(i, ["scan_y", "row"]) && is(i + 1, ["scan_x", "column"]))
}

/// Everything that can be shown, maps first.
pub fn list(sources: &Sources) -> Vec<Shown> {
    let mut shown = Vec::new();
    for (file, result) in sources.results.iter().enumerate() {
        let name = file_name(result.path());
        shown.extend(result.listed().iter().filter_map(|l| {
            let role = role(l, sources.nav)?;
            let count = match role {
                Role::Map { axis } => l
                    .shape
                    .iter()
                    .enumerate()
                    .filter(|(a, _)| *a != axis && *a != axis + 1)
                    .map(|(_, n)| *n)
                    .product(),
                _ => 1,
            };
            Some(Shown {
                id: format!("{file}:{}", l.path),
                name: l.path.trim_start_matches('/').to_owned(),
                file: name.clone(),
                unit: l.unit.clone(),
                meaning: l.meaning.clone(),
                style: style(&l.path, l.integer, &l.unit),
                role,
                count,
                at: Place::Result {
                    file,
                    path: l.path.clone(),
                    rank: l.shape.len(),
                },
            })
        }));
    }
    let tables = sources.tables.iter().enumerate().map(|(i, t)| (Some(i), 0, &t.path, &t.data));
    let scans = sources.scans.iter().enumerate().map(|(i, s)| (None, i, &s.path, &s.map.data));
    for (table, scan, path, data) in tables.chain(scans) {
        let letter = table.map_or_else(|| format!("s{scan}"), |t| format!("t{t}"));
        shown.extend(data.columns().iter().map(|c| Shown {
            id: format!("{letter}:{}", c.name),
            name: c.name.clone(),
            file: file_name(path),
            unit: c.unit.to_owned(),
            meaning: String::new(),
            role: Role::Map { axis: 0 },
            style: match c.name.as_str() {
                "phase" => Style::Labels,
                _ => style(&c.name, false, c.unit),
            },
            count: 1,
            at: Place::Column {
                table,
                scan,
                name: c.name.clone(),
            },
        }));
    }
    // Maps of positions themselves say little; labels and strain say most.
    shown.sort_by_key(|s| match s.role {
        Role::Map { .. } if s.count == 1 => 0,
        Role::Map { .. } => 1,
        _ => 2,
    });
    shown
}

fn role(l: &Listed, nav: [usize; 2]) -> Option<Role> {
    let rank = l.shape.len();
    if l.shape.contains(&0) || l.path.starts_with("/provenance") || l.path.starts_with("/calibration") {
        return None;
    }
    let fits = |axis: usize| l.shape.get(axis) == Some(&nav[0]) && l.shape.get(axis + 1) == Some(&nav[1]);
    if let Some(axis) = scan_axes(&l.axes) {
        return (rank <= 3 && fits(axis)).then_some(Role::Map { axis });
    }
    let named = |i: usize, name: &str| l.axes.get(i).is_some_and(|a| a == name);
    match rank {
        2 if named(0, "y") && named(1, "x") => Some(Role::Image),
        1 if named(0, "channel") => Some(Role::Curve),
        // Files of other programs name no axes.
        2 | 3 if l.axes.is_empty() && fits(0) => Some(Role::Map { axis: 0 }),
        _ => None,
    }
}

fn style(path: &str, integer: bool, unit: &str) -> Style {
    let last = path.rsplit('/').next().unwrap_or(path);
    let discrete = last.contains("label") || last == "quality" || last == "phase";
    match () {
        () if integer && discrete => Style::Labels,
        () if path.contains("strain/") => Style::Signed,
        () if unit == "rad" && last.starts_with("euler") => Style::Angle,
        () => Style::Scalar,
    }
}

/// A line of the list for the page.
pub fn describe(s: &Shown) -> Value {
    let role = match s.role {
        Role::Map { .. } => "map",
        Role::Image => "image",
        Role::Curve => "curve",
    };
    json!({
        "id": s.id, "name": s.name, "file": s.file, "unit": s.unit, "meaning": s.meaning,
        "role": role, "style": s.style.name(), "count": s.count,
    })
}

/// Values of what is listed as `shown`; `index` chooses one of several maps. At most `most` bytes are read.
///
/// # Errors
/// [`Error::Parameter`] for an index out of range; whatever reading reports.
pub fn read(sources: &Sources, shown: &Shown, index: usize, most: u64) -> Result<Values> {
    if index >= shown.count {
        let what = format!("map {index} of {}, which has {}", shown.name, shown.count);
        return Err(Error::parameter("index", what));
    }
    let name = match shown.count {
        1 => shown.name.clone(),
        _ => format!("{}[{index}]", shown.name),
    };
    let values = match &shown.at {
        Place::Column { table, scan, name } => {
            let data = match table {
                Some(t) => sources.tables.get(*t).map(|t| &t.data),
                None => sources.scans.get(*scan).map(|s| &s.map.data),
            };
            data.and_then(|d| d.get(name)).cloned().ok_or_else(|| wrong(shown))?
        }
        Place::Result { file, path, rank } => {
            let result = sources.results.get(*file).ok_or_else(|| wrong(shown))?;
            let mut at = vec![None; *rank];
            if let Role::Map { axis } = shown.role
                && let Some(other) = (0..*rank).find(|&a| a != axis && a != axis + 1)
            {
                at[other] = Some(index);
            }
            let values = result.read(path, &at, most)?;
            match shown.role {
                Role::Curve => {
                    let row: Array1<f64> = values.into_dimensionality::<Ix1>().map_err(|_| wrong(shown))?;
                    row.insert_axis(Axis(0))
                }
                _ => values.into_dimensionality::<Ix2>().map_err(|_| wrong(shown))?,
            }
        }
    };
    Ok(Values { name, values })
}

fn wrong(shown: &Shown) -> Error {
    Error::Internal(format!("{} changed since it was listed", shown.name))
}
