//! `defects run`: detections, classes and tracks in one go, with one result and one report.

use super::classify::{self, Classified};
use super::detect::{self, Found};
use super::detected::{Detected, frame_axis};
use super::movie::MovieParams;
use super::output::{Finished, Table, of_movie};
use super::track;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::keras::Model;
use crate::io::results::{OutputDir, ResultFile};
use crate::workflows::folder::Named;
use crate::workflows::{Timings, provenance};
use ndarray::Array3;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Parameters of all steps; recipe and shown frames are those of the first ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    pub movie: MovieParams,
    pub detect: detect::Params,
    pub classify: classify::Params,
    pub track: track::Params,
}

impl Params {
    /// Gives all steps the recipe and the shown frames of the first, and checks them.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for values that make no sense.
    pub fn settle(&mut self) -> Result<()> {
        self.classify.recipe = self.movie.recipe;
        self.track.recipe = self.movie.recipe;
        self.classify.show_frames = self.detect.show_frames.clone();
        let classes = self.classify.effective()?.classes;
        // Found out only after detection and classification otherwise.
        if let Some(c) = self.track.class
            && usize::try_from(c).map_or(true, |c| c >= classes)
        {
            return Err(Error::parameter(
                "--class",
                format!("{c} of {classes} classes, counted from 0"),
            ));
        }
        self.track.check()
    }
}

/// What the steps start from.
pub struct Input<'a> {
    pub scan: &'a dyn Scan,
    pub model: &'a Model,
    /// Class of each window to start from, instead of k-means.
    pub start: Option<&'a [usize]>,
}

/// What came of it.
pub struct Done {
    pub folder: PathBuf,
    pub detections: usize,
    pub frames: usize,
    /// 0 if there were too few windows.
    pub classes: usize,
    pub tracks: usize,
    pub warnings: Vec<String>,
}

/// Finds, classifies and follows the defects of a movie, and writes everything into `dir`. `parameters` is the text of `params.toml`. With fewer windows than
/// classes there are no classes, which is a warning; regions then hold detections whatever `--class` says.
///
/// # Errors
/// What the steps report.
pub fn run(
    input: Input<'_>,
    params: &Params,
    (parameters, dir): (&str, OutputDir),
    backend: &Backend,
    control: &Control,
) -> Result<Done> {
    let scan = input.scan;
    let file = dir.result()?;
    let what = (&params.movie, &params.detect);
    let found = detect::run(scan, input.model, what, &dir, &file, backend, control)?;
    let mut summary = detect::put(&file, &found, scan, input.model, what)?;
    let mut figures = kept(detect::figures(&found, scan, &params.detect));
    let mut timings = Timings::default();
    timings.steps.extend(found.timings.steps.iter().cloned());
    let mut warnings = found.warnings.clone();
    let mut tables = Vec::new();
    let mut detected = gather(&file, &found, scan, control)?;

    let classified = classes(&detected, params, input.start, &mut warnings, control)?;
    if let Some(c) = &classified {
        detected.class = detected.spread(&c.labels);
        detected.spacing = c.placement.lattice.map(|l| l.spacing());
        let to = (&dir, "classes_movie.png");
        let pictures = classify::pictures(scan, &detected, &detected.class, &params.classify.show_frames, to, control)?;
        let results = classify::put(&file, &detected, c)?;
        add(&mut summary, &mut tables, results);
        figures.splice(0..0, classify::figures(&detected, c, &pictures));
        timings.steps.extend(c.timings.steps.iter().cloned());
        warnings.extend(c.warnings.iter().cloned());
    }
    let mut following = params.track.clone();
    if let Some(c) = following.class
        && detected.class.iter().all(|&of| of < c)
    {
        warnings.push(format!(
            "no window has got class {c} (--class): regions hold all detections with a window"
        ));
        following.class = None;
    }
    let tracked = track::run(&detected, &following, control)?;
    let results = track::put(&file, &detected, &tracked)?;
    add(&mut summary, &mut tables, results);
    figures.extend(track::figures(&detected, &tracked));
    timings.steps.extend(tracked.timings.steps.iter().cloned());
    warnings.extend(tracked.warnings.iter().cloned());

    let info = scan.info();
    let page = Finished {
        title: "Defects",
        about: of_movie(info),
        name: info.name(),
        provenance: provenance("defects run", scan, backend, parameters.to_owned(), &timings)?,
        parameters,
        warnings: &warnings,
        summary: &summary,
        tables,
        figures,
    };
    Ok(Done {
        folder: page.finish(file, dir)?,
        detections: detected.frame.len(),
        frames: detected.frames,
        classes: classified.map_or(0, |c| c.sizes.len()),
        tracks: tracked.linked.members.len(),
        warnings,
    })
}

/// Lines that are not there yet, and tables.
fn add(summary: &mut Vec<(&'static str, String)>, tables: &mut Vec<Table>, results: classify::Results) {
    for line in results.summary {
        if summary.iter().all(|s| s.0 != line.0) {
            summary.push(line);
        }
    }
    tables.extend(results.tables);
}

/// Figures of `detect` that classes do not show as well.
fn kept(figures: Vec<Named>) -> Vec<Named> {
    let rename = |mut f: Named| {
        f.name = match f.name.as_str() {
            "counts" => "detections".into(),
            "overlay" | "frames" => format!("detected_{}", f.name),
            _ => f.name,
        };
        f
    };
    figures.into_iter().map(rename).collect()
}

/// Detections with their windows, which lie in the result file.
fn gather(file: &ResultFile, found: &Found, scan: &dyn Scan, control: &Control) -> Result<Detected> {
    let d = &found.detections;
    let info = scan.info();
    let windows: Array3<f32> = file.read("detections/windows", control.memory / 4)?;
    Ok(Detected {
        path: info.path.clone(),
        frame: d.iter().map(|d| d.frame as u32).collect(),
        y: d.iter().map(|d| d.y).collect(),
        x: d.iter().map(|d| d.x).collect(),
        area: d.iter().map(|d| d.area as i32).collect(),
        kept: d.iter().map(|d| d.kept).collect(),
        corner: d.iter().filter(|d| d.kept).map(|d| d.corner).collect(),
        windows,
        class: Vec::new(),
        drift: found.drift.clone(),
        first: found.counts.first().map_or(0, |c| c.0 as u32),
        frames: found.counts.len(),
        size: [info.frame.height, info.frame.width],
        scale: found.scale,
        spacing: None,
        pixel: info.sig_axes[1].clone(),
        pixel_y: info.sig_axes[0].clone(),
        time: frame_axis(info),
    })
}

fn classes(
    detected: &Detected,
    params: &Params,
    start: Option<&[usize]>,
    warnings: &mut Vec<String>,
    control: &Control,
) -> Result<Option<Classified>> {
    let wanted = params.classify.effective()?.classes;
    let windows = detected.windows.dim().0;
    if windows < wanted {
        warnings.push(format!(
            "{windows} windows are too few for {wanted} classes (--classes): there are none"
        ));
        return Ok(None);
    }
    classify::run(detected, &params.classify, start, control).map(Some)
}
