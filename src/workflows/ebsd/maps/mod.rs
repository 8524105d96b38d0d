//! Maps of what is known of the points: band contrast, slope, angular deviation, phase, Euler and inverse-pole-figure colours.

mod draw;

pub use draw::{Named, draw, write};

use crate::analysis::condition::Condition;
use crate::analysis::orientation::{Key, Laue, Matrix, Setting, crystal_from_sample};
use crate::control::Control;
use crate::engine::Selection;
use crate::error::{Error, Result};
use crate::io::OpenOptions;
use crate::io::ebsd::{self, Geometry, MapData, Orientations, Phase, read_ang, read_ctf, write_ang, write_ctf};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::path::Path;

/// A map of colours (rows, columns); `None` where there is nothing to show.
pub type Colours = Array2<Option<[u8; 3]>>;

/// What to draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Which points: a condition on columns, angles in degrees, e.g. `phase == 1 & bc > 10`.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Directions of the sample whose crystal directions are coloured: `x`, `y`, `z`.
    pub directions: Vec<String>,
    /// Laue group (`m-3m`, `6/mmm`, …) of phases for which the file has none, or of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetry: Option<String>,
    /// Part of the map, as `--roi` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roi: Option<String>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            condition: None,
            directions: ["x", "y", "z"].map(String::from).to_vec(),
            symmetry: None,
            roi: None,
        }
    }
}

/// Columns of a map with its steps.
pub struct Table {
    pub data: MapData,
    /// Steps (y, x) in µm.
    pub steps: [Option<f64>; 2],
    pub geometry: Geometry,
}

/// Columns of a `.ctf`, an `.ang`, or a file of patterns that knows orientations.
///
/// # Errors
/// As the readers; [`Error::Unsupported`] if nothing is known of the points.
pub fn load(path: &Path, options: &OpenOptions, control: &Control) -> Result<Table> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let text = match ending.as_str() {
        "ctf" => Some(read_ctf(path)?),
        "ang" => Some(read_ang(path)?),
        _ => None,
    };
    let table = match text {
        Some(o) => Table {
            data: o.data,
            steps: o.steps.map(|s| (s > 0.0).then_some(s)),
            geometry: o.geometry,
        },
        None => {
            let map = ebsd::open(path, options, control)?;
            Table {
                steps: map.steps(),
                data: map.data,
                geometry: map.geometry,
            }
        }
    };
    if table.data.columns().is_empty() {
        let what = "nothing but patterns is known of its points: give a .ctf, an .ang, or a file converted with --ctf";
        return Err(Error::unsupported(path, what));
    }
    Ok(table)
}

/// The points of the map that are shown, and colours of the orientations.
pub struct Maps {
    /// Where the condition holds (rows, columns).
    pub shown: Array2<bool>,
    /// Bunge's angles as red, green and blue: φ1 / 360°, Φ / 180°, φ2 / 360°.
    pub euler: Option<Colours>,
    /// For each direction of the parameters.
    pub ipf: Vec<(String, Colours)>,
    /// Keys of the phases that have orientations.
    pub keys: Vec<(Phase, Laue, Key)>,
    pub warnings: Vec<String>,
}

/// Selects the points of `region` (all of the map without one) that fulfil the condition, and colours their orientations.
///
/// # Errors
/// [`Error::Parameter`] for a condition that is not understood or asks for columns that are not there, unknown directions and symmetries.
pub fn run(table: &Table, region: Option<&Selection>, params: &Params) -> Result<Maps> {
    let data = &table.data;
    let mut shown = select(data, params.condition.as_deref())?;
    if let Some(region) = region {
        shown = shown & region.mask();
    }
    let mut warnings = Vec::new();
    if !shown.iter().any(|&s| s) {
        warnings.push("no point fulfils the condition".to_owned());
    }
    let keys = keys(data, params, &mut warnings)?;
    let mut maps = Maps {
        shown,
        euler: None,
        ipf: Vec::new(),
        keys,
        warnings,
    };
    let Some(angles) = data.euler() else {
        maps.warnings.push("the file has no orientations".to_owned());
        return Ok(maps);
    };
    let indexed = |at: (usize, usize)| {
        maps.shown[at] && data.get("phase").is_none_or(|p| p[at] >= 1.0) && !angles[[at.0, at.1, 0]].is_nan()
    };
    let at_point = |at: (usize, usize)| [0, 1, 2].map(|k| angles[[at.0, at.1, k]]);
    maps.euler = Some(Array2::from_shape_fn(maps.shown.dim(), |at| {
        let level = |v: f64, most: f64| (255.0 * v.rem_euclid(TAU) / most).round().min(255.0) as u8;
        let [a, b, c] = at_point(at);
        indexed(at).then(|| [level(a, TAU), level(b, TAU / 2.0), level(c, TAU)])
    }));
    let id = |at: (usize, usize)| data.get("phase").map_or(1, |p| p[at] as i32);
    for name in &params.directions {
        let direction = match name.as_str() {
            "x" => [1.0, 0.0, 0.0],
            "y" => [0.0, 1.0, 0.0],
            "z" => [0.0, 0.0, 1.0],
            other => return Err(Error::parameter("--direction", format!("'{other}' is none of x, y, z"))),
        };
        let map = Array2::from_shape_fn(maps.shown.dim(), |at| {
            let key = maps.keys.iter().find(|(p, _, _)| p.id == id(at)).map(|(_, _, k)| k);
            let matrix: Matrix = crystal_from_sample(at_point(at));
            key.filter(|_| indexed(at)).map(|k| k.colour(&matrix, direction))
        });
        maps.ipf.push((name.clone(), map));
    }
    Ok(maps)
}

/// Writes the columns to a `.ctf` or `.ang` file, by its ending. Points that are not shown are written as not indexed. Returns what the user
/// should know.
///
/// # Errors
/// [`Error::Parameter`] for another ending; as [`write_ctf`] and [`write_ang`].
pub fn write_table(table: &Table, shown: &Array2<bool>, path: &Path, overwrite: bool) -> Result<Vec<String>> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let own = match ending.as_str() {
        "ctf" => "Oxford",
        "ang" => "EDAX",
        _ => {
            let what = format!("{}: columns are written as .ctf or .ang", path.display());
            return Err(Error::parameter("--write", what));
        }
    };
    let mut data = table.data.clone();
    let phase = match data.get("phase") {
        Some(phase) => phase.clone(),
        None => Array2::ones(shown.dim()),
    };
    let phase = ndarray::Zip::from(&phase)
        .and(shown)
        .map_collect(|&p, &s| if s { p } else { 0.0 });
    data.put("phase", "", phase)?;
    let mut notes = Vec::new();
    if data.euler().is_none() {
        notes.push("there are no orientations to write".to_owned());
    } else if !data.orientation_frame.contains(own) {
        let frame = match data.orientation_frame.as_str() {
            "" => "an unknown frame",
            frame => frame,
        };
        notes.push(format!(
            "orientations keep their numbers, which refer to {frame}; programs take those of .{ending} files for {own}'s"
        ));
    }
    for p in data.phases.iter().filter(|p| p.laue_number().is_none()) {
        notes.push(format!("the symmetry of {} is not known; it is written as triclinic", p.name));
    }
    let map = Orientations {
        data,
        steps: table.steps.map(|s| s.unwrap_or(1.0)),
        geometry: table.geometry.clone(),
        notes: Vec::new(),
    };
    match ending.as_str() {
        "ctf" => write_ctf(path, &map, overwrite)?,
        _ => write_ang(path, &map, overwrite)?,
    }
    Ok(notes)
}

/// Where a condition holds; angles count in degrees.
fn select(data: &MapData, condition: Option<&str>) -> Result<Array2<bool>> {
    let (rows, columns) = (data.nav[0], data.nav[1]);
    let Some(text) = condition else {
        return Ok(Array2::from_elem((rows, columns), true));
    };
    let condition = Condition::parse(text)?;
    if let Some(missing) = condition.columns().into_iter().find(|c| data.get(c).is_none()) {
        let names: Vec<&str> = data.columns().iter().map(|c| c.name.as_str()).collect();
        let what = format!("there is no column '{missing}'; there are {}", names.join(", "));
        return Err(Error::parameter("--where", what));
    }
    Ok(Array2::from_shape_fn((rows, columns), |at| {
        condition.holds(&|name| {
            let column = data.columns().iter().find(|c| c.name == name);
            column.map_or(f64::NAN, |c| match c.unit {
                "rad" => c.values[at].to_degrees(),
                _ => c.values[at],
            })
        })
    }))
}

/// The colour key of every phase whose symmetry is known.
fn keys(data: &MapData, params: &Params, warnings: &mut Vec<String>) -> Result<Vec<(Phase, Laue, Key)>> {
    let given = match params.symmetry.as_deref() {
        None => None,
        Some(symbol) => Some(Laue::named(symbol).ok_or_else(|| {
            let all: Vec<&str> = (1..=11).filter_map(Laue::numbered).map(Laue::symbol).collect();
            Error::parameter("--symmetry", format!("'{symbol}' is none of {}", all.join(", ")))
        })?),
    };
    let setting = match data.orientation_frame.contains("Oxford") {
        true => Setting::AlongB,
        false => Setting::AlongA,
    };
    let mut phases = data.phases.clone();
    if phases.is_empty() {
        phases.push(Phase {
            id: 1,
            name: "phase 1".into(),
            lattice: [0.0; 6],
            laue: 0,
            space_group: 0,
        });
    }
    let mut keys = Vec::new();
    for p in phases {
        let laue = given.or(Laue::numbered(p.laue)).or(Laue::of_space_group(p.space_group));
        match laue {
            Some(laue) => keys.push((p, laue, Key::new(laue, setting))),
            None => warnings.push(format!("{} has no Laue group and no colours; --symmetry gives one", p.name)),
        }
    }
    Ok(keys)
}
