//! Maps as figures and files.

use super::{Colours, Maps, Table};
use crate::error::Result;
use crate::io::Axis;
use crate::io::ebsd::MapData;
use crate::io::results::{Input, Meta, OutputDir, Provenance};
use crate::report::colour::label_colour;
use crate::report::html::Report;
use crate::report::{ColourKey, ColourMap, Figure, HeatMap, RgbMap};
use ndarray::{Array2, Array3, ArrayView2};
use std::path::PathBuf;

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

/// A figure with its file name (without ending) and caption.
pub struct Named {
    pub name: String,
    pub caption: String,
    pub figure: Figure,
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
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
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
