//! `ebsd quality`: image quality, mean and standard deviation of every pattern.

use super::Target;
use super::output::timed;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::Result;
use crate::io::ebsd::PatternMap;
use crate::io::results::Meta;
use crate::kernels::quality::{Plan, WIDTH};
use crate::ops;
use crate::report::HeatMap;
use crate::report::html::Report;
use crate::workflows::{Timings, provenance, scatter_rows};
use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Parameters of `ebsd quality`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// The mean of a pattern counts as power.
    pub keep_mean: bool,
}

#[allow(clippy::derivable_impls)]
impl Default for Params {
    fn default() -> Self {
        Params { keep_mean: false }
    }
}

/// Maps (rows, columns), NaN where there is no pattern.
pub struct Maps {
    pub iq: Array2<f64>,
    pub mean: Array2<f64>,
    pub std: Array2<f64>,
    pub timings: Timings,
}

/// One pass over the patterns.
///
/// # Errors
/// [`crate::Error::Parameter`] for patterns that are too large; whatever reading or the device reports.
pub fn maps(map: &PatternMap, selection: &Selection, params: &Params, backend: &Backend, control: &Control) -> Result<Maps> {
    let plan = Plan::new(map.scan.info().frame, !params.keep_mean)?;
    let mut timings = Timings::default();
    let mut pass = Pass::new("quality", &*map.scan, selection);
    let handle = pass.add(ops::Quality(plan));
    let mut done = timings.pass("quality", &*map.scan, selection, || {
        pass.run(backend, &Resident::none(), control)
    })?;
    let values = scatter_rows(selection, WIDTH, done.take(handle)?, f32::NAN)?;
    let part = |k: usize| values.index_axis(Axis(2), k).mapv(f64::from);
    Ok(Maps {
        iq: part(0),
        mean: part(1),
        std: part(2),
        timings,
    })
}

/// Writes the maps to `target` and a page beside it; returns the page's place.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn write(maps: &Maps, map: &PatternMap, target: Target, backend: &Backend, effective: String) -> Result<PathBuf> {
    let mut report = Report::new("Image quality");
    report.summary("input", map.scan.info().path.display());
    report.summary("patterns", map.present.iter().filter(|p| **p).count());
    timed(&mut report, &maps.timings);
    let all = [
        (
            "iq",
            &maps.iq,
            "",
            "Image quality",
            "share of the power at low frequencies, above that of noise",
        ),
        ("mean", &maps.mean, "counts", "Mean", "mean of each pattern"),
        (
            "std",
            &maps.std,
            "counts",
            "Standard deviation",
            "population standard deviation of each pattern",
        ),
    ];
    for (name, values, unit, title, meaning) in all {
        let meta = Meta::new(unit, &["row", "column"], meaning);
        target.put(&format!("Data/{name}"), values.mapv(|v| v as f32).view(), meta)?;
        let mut figure = HeatMap::new(values.view(), title);
        figure.unit = unit;
        let [_, axis] = &map.scan.info().nav_axes;
        figure.axis = axis.clone();
        report.section(title);
        report.figure(&figure.draw().to_png()?, &format!("{title}: {meaning}."));
    }
    report.section("Parameters").code(&effective);
    let provenance = provenance("ebsd quality", &*map.scan, backend, effective, &maps.timings)?;
    target.finish(&provenance, &report.render())
}
