//! Maps of what is known of the points: band contrast, slope, angular deviation, phase, Euler and inverse-pole-figure colours.

use crate::analysis::condition::Condition;
use crate::analysis::orientation::{Key, Laue, Matrix, Setting, crystal_from_sample};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Axis;
use crate::io::OpenOptions;
use crate::io::ebsd::{self, MapData, Phase, read_ang, read_ctf};
use crate::io::results::{Input, Meta, OutputDir, Provenance};
use crate::report::colour::label_colour;
use crate::report::html::Report;
use crate::report::{ColourKey, ColourMap, Figure, HeatMap, RgbMap};
use ndarray::{Array2, Array3, ArrayView2};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

/// Width of the colour key of an inverse pole figure.
const KEY: usize = 190;
/// Columns that are drawn as values: name, title, unit.
const VALUES: [(&str, &str, &str); 7] = [
    ("bc", "Band contrast", "band contrast"),
    ("bs", "Band slope", "band slope"),
    ("mad", "Mean angular deviation", "mean angular deviation (°)"),
    ("bands", "Number of bands", "bands"),
    ("iq", "Image quality", "image quality"),
    ("ci", "Confidence index", "confidence index"),
    ("fit", "Fit", "fit (°)"),
];

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
}

impl Default for Params {
    fn default() -> Self {
        Params {
            condition: None,
            directions: ["x", "y", "z"].map(String::from).to_vec(),
            symmetry: None,
        }
    }
}

/// Columns of a map with its steps.
pub struct Table {
    pub data: MapData,
    /// Steps (y, x) in µm.
    pub steps: [Option<f64>; 2],
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
        },
        None => {
            let map = ebsd::open(path, options, control)?;
            Table {
                steps: map.steps(),
                data: map.data,
            }
        }
    };
    if table.data.columns().is_empty() {
        let what = "nothing but patterns is known of its points: give a .ctf, an .ang, or a file converted with --ctf";
        return Err(Error::unsupported(path, what));
    }
    Ok(table)
}

/// A figure with its file name (without ending) and caption.
pub struct Named {
    pub name: String,
    pub caption: String,
    pub figure: Figure,
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

/// Selects points and colours their orientations.
///
/// # Errors
/// [`Error::Parameter`] for a condition that is not understood or asks for columns that are not there, unknown directions and symmetries.
pub fn run(table: &Table, params: &Params) -> Result<Maps> {
    let data = &table.data;
    let shown = select(data, params.condition.as_deref())?;
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

/// Draws all maps.
pub fn draw(table: &Table, maps: &Maps) -> Vec<Named> {
    let data = &table.data;
    let axis = table.steps[1].map(micrometres).unwrap_or_default();
    let mut figures = Vec::new();
    for (name, title, unit) in VALUES {
        let Some(values) = data.get(name) else { continue };
        let values = hide(values.view(), &maps.shown);
        let mut map = HeatMap::new(values.view(), title);
        map.unit = unit;
        map.axis = axis.clone();
        if matches!(name, "bc" | "bs" | "iq") {
            map.colours = ColourMap::Grey;
        }
        figures.push(Named {
            name: name.to_owned(),
            caption: format!("{title} of the points shown"),
            figure: map.draw(),
        });
    }
    if let Some(phase) = data.get("phase") {
        figures.push(phases(data, maps, phase, &axis));
    }
    let mut coloured = |name: String, title: &str, caption: String, colours: &Colours, keys: Vec<ColourKey>| {
        let mut map = RgbMap::new(colours.view(), title);
        map.axis = axis.clone();
        map.keys = keys;
        figures.push(Named {
            name,
            caption,
            figure: map.draw(),
        });
    };
    if let Some(euler) = &maps.euler {
        let list = [
            ([255, 0, 0], "φ1 / 360°"),
            ([0, 255, 0], "Φ / 180°"),
            ([0, 0, 255], "φ2 / 360°"),
        ];
        let key = ColourKey {
            title: "Euler angles".into(),
            list: list.map(|(c, n)| (c, n.to_owned())).to_vec(),
            ..ColourKey::default()
        };
        coloured(
            "euler".into(),
            "Euler angles",
            "Bunge's angles as red, green and blue".into(),
            euler,
            vec![key],
        );
    }
    for (direction, colours) in &maps.ipf {
        let keys = maps.keys.iter().map(|(p, laue, key)| {
            let picture = key.picture(KEY);
            ColourKey {
                title: format!("{} ({})", p.name, laue.symbol()),
                picture: picture.colours,
                labels: picture.names.iter().map(|&(at, name)| (at, name.to_owned())).collect(),
                list: Vec::new(),
            }
        });
        let title = format!("Crystal directions along {direction} of the sample");
        let caption = format!("Inverse-pole-figure colours, {direction} of the sample");
        coloured(format!("ipf_{direction}"), &title, caption, colours, keys.collect());
    }
    figures
}

fn phases(data: &MapData, maps: &Maps, phase: &Array2<f64>, axis: &Axis) -> Named {
    let colours = Array2::from_shape_fn(phase.dim(), |at| {
        let id = phase[at];
        (maps.shown[at] && id >= 1.0).then(|| label_colour(id as i32 - 1))
    });
    let shown = maps.shown.iter().filter(|&&s| s).count().max(1);
    let share = |id: i32| {
        let n = phase
            .iter()
            .zip(&maps.shown)
            .filter(|(p, s)| **s && **p == f64::from(id))
            .count();
        100.0 * n as f64 / shown as f64
    };
    let mut list: Vec<([u8; 3], String)> = data
        .phases
        .iter()
        .map(|p| (label_colour(p.id - 1), format!("{} {:.1} %", p.name, share(p.id))))
        .collect();
    list.push((crate::report::colour::MISSING, format!("not indexed {:.1} %", share(0))));
    let mut map = RgbMap::new(colours.view(), "Phases");
    map.axis = axis.clone();
    map.keys = vec![ColourKey {
        title: "Phases".into(),
        list,
        ..ColourKey::default()
    }];
    Named {
        name: "phase".into(),
        caption: "Phases; shares of the points shown".into(),
        figure: map.draw(),
    }
}

fn micrometres(step: f64) -> Axis {
    Axis {
        scale: Some(step),
        unit: "µm".into(),
    }
}

/// NaN where points are not shown.
fn hide(values: ArrayView2<'_, f64>, shown: &Array2<bool>) -> Array2<f64> {
    Array2::from_shape_fn(values.dim(), |at| if shown[at] { values[at] } else { f64::NAN })
}

/// Writes `result.h5`, `params.toml`, figures and the report. `parameters` is the text of `params.toml`, `inputs` the files that were read.
///
/// # Errors
/// [`Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(table: &Table, maps: &Maps, parameters: &str, inputs: &[PathBuf], dir: OutputDir) -> Result<PathBuf> {
    let yx = ["map_y", "map_x"];
    let file = dir.result()?;
    for c in table.data.columns() {
        let meta = Meta::new(c.unit, &yx, "column of the map");
        file.put(
            &format!("maps/{}", c.name.replace('/', "_")),
            c.values.mapv(|v| v as f32).view(),
            meta,
        )?;
    }
    file.put(
        "maps/shown",
        maps.shown.view(),
        Meta::new("", &yx, "where the condition holds"),
    )?;
    let put = |name: &str, colours: &Colours, meaning: &str| {
        let (rows, columns) = colours.dim();
        let levels = Array3::from_shape_fn((rows, columns, 3), |(y, x, k)| colours[[y, x]].map_or(0, |c| c[k]));
        file.put(name, levels.view(), Meta::new("", &["map_y", "map_x", "rgb"], meaning))
    };
    if let Some(euler) = &maps.euler {
        put(
            "colours/euler",
            euler,
            "φ1 / 360°, Φ / 180°, φ2 / 360°; black where there is no orientation",
        )?;
    }
    for (direction, colours) in &maps.ipf {
        let meaning = format!("inverse-pole-figure colours of the sample's {direction}; black where there is no orientation");
        put(&format!("colours/ipf_{direction}"), colours, &meaning)?;
    }
    file.provenance(&Provenance {
        command: "ebsd maps".into(),
        backend: "cpu".into(),
        adapter: String::new(),
        calibration: ["scan_y", "scan_x"]
            .into_iter()
            .zip(table.steps)
            .filter_map(|(name, step)| step.map(|s| (name.to_owned(), micrometres(s))))
            .collect(),
        parameters: parameters.to_owned(),
        timings: Vec::new(),
        inputs: inputs.iter().map(Input::of).collect::<Result<_>>()?,
    })?;
    file.finish()?;

    let [rows, columns] = table.data.nav;
    let names: Vec<_> = inputs
        .iter()
        .filter_map(|p| p.file_name())
        .map(|n| n.to_string_lossy())
        .collect();
    let mut report = Report::new(format!("Maps of {}", names.join(", ")));
    let shown = maps.shown.iter().filter(|&&s| s).count();
    report.summary("Map", format!("{rows} × {columns} points, {shown} shown"));
    if let [Some(y), Some(x)] = table.steps {
        report.summary("Step", format!("{y} × {x} µm"));
    }
    for (p, laue, _) in &maps.keys {
        report.summary(
            &format!("Phase {}", p.id),
            format!("{}, Laue group {}", p.name, laue.symbol()),
        );
    }
    if !table.data.orientation_frame.is_empty() {
        report.summary("Orientations", &table.data.orientation_frame);
    }
    report.summary("emstream", env!("CARGO_PKG_VERSION"));
    maps.warnings.iter().for_each(|w| {
        report.warning(w);
    });
    for Named { name, caption, figure } in draw(table, maps) {
        let png = figure.to_png()?;
        dir.write(&format!("figures/{name}.png"), &png)?;
        report.figure(&png, &caption);
    }
    report
        .section("Parameters")
        .paragraph("This text as params.toml repeats the run.")
        .code(parameters);
    dir.write("params.toml", parameters.as_bytes())?;
    dir.write("report.html", report.render().as_bytes())?;
    dir.finish()
}
