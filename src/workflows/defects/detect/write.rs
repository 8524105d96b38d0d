//! Writes what `defects detect` found.

use super::super::movie::MovieParams;
use super::super::output;
use super::{Detection, Found, Params, Shown};
use crate::engine::Backend;
use crate::error::Result;
use crate::io::Scan;
use crate::io::keras::Model;
use crate::io::results::{Meta, OutputDir, ResultFile};
use crate::workflows::folder::Named;
use ndarray::{Array2, arr1};
use std::path::PathBuf;

/// Writes what [`super::run`] has not written, figures and report, and puts the folder in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(
    found: &Found,
    scan: &dyn Scan,
    model: &Model,
    (movie, params): (&MovieParams, &Params),
    (backend, parameters): (&Backend, &str),
    file: ResultFile,
    dir: OutputDir,
) -> Result<PathBuf> {
    let summary = put(&file, found, scan, model, (movie, params))?;
    let page = output::Page {
        command: "defects detect",
        title: "Defects",
        scan,
        backend,
        parameters,
        timings: &found.timings,
        warnings: &found.warnings,
        summary: &summary,
        figures: figures(found, scan, params),
    };
    page.finish(file, dir)
}

/// The figures of what was found.
pub fn figures(found: &Found, scan: &dyn Scan, params: &Params) -> Vec<Named> {
    let mut shown: Vec<&Shown> = found.shown.iter().collect();
    shown.sort_by_key(|s| params.show_frames.iter().position(|&f| f == s.frame));
    super::super::figures::detect(&shown, &found.counts, &scan.info().sig_axes[1])
}

/// Writes the arrays that [`super::run`] has not written, and gives the lines of the report.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no.
pub fn put(
    file: &ResultFile,
    found: &Found,
    scan: &dyn Scan,
    model: &Model,
    (movie, params): (&MovieParams, &Params),
) -> Result<Vec<(&'static str, String)>> {
    let d = &found.detections;
    let column = |name: &str, unit: &str, meaning: &str, value: &dyn Fn(&Detection) -> f64| {
        let values: Vec<f64> = d.iter().map(value).collect();
        file.put(
            &format!("detections/{name}"),
            arr1(&values).view(),
            Meta::new(unit, &["detection"], meaning),
        )
    };
    column("y", "px", "row of the centre of mass", &|d| d.y)?;
    column("x", "px", "column of the centre of mass", &|d| d.x)?;
    let whole = |name: &str, unit: &str, meaning: &str, value: &dyn Fn(&Detection) -> i32| {
        let values: Vec<i32> = d.iter().map(value).collect();
        file.put(
            &format!("detections/{name}"),
            arr1(&values).view(),
            Meta::new(unit, &["detection"], meaning),
        )
    };
    whole("frame", "", "number of the frame, from 0", &|d| d.frame as i32)?;
    whole("area", "px^2", "pixels above the threshold", &|d| d.area as i32)?;
    let kept: Vec<u8> = d.iter().map(|d| u8::from(d.kept)).collect();
    let meaning = "1 where the window lies inside the frame: these have one in detections/windows";
    file.put("detections/kept", arr1(&kept).view(), Meta::new("", &["detection"], meaning))?;
    let peaks: Vec<f32> = d.iter().map(|d| d.peak).collect();
    let meta = Meta::new("", &["detection"], "largest probability of the region");
    file.put("detections/peak", arr1(&peaks).view(), meta)?;
    let with: Vec<&Detection> = d.iter().filter(|d| d.kept).collect();
    let corners = Array2::from_shape_fn((with.len(), 2), |(i, k)| with[i].corner[k] as i32);
    let meta = Meta::new("px", &["kept", "yx"], "first row and column of each window");
    file.put("detections/corner", corners.view(), meta)?;
    let counts = Array2::from_shape_fn((found.counts.len(), 2), |(i, k)| {
        let (_, all, kept) = found.counts[i];
        [all, kept][k] as i32
    });
    let meta = Meta::new(
        "",
        &["frame", "all_kept"],
        "detections of each frame: all, and those with a window",
    );
    file.put("detections/counts", counts.view(), meta)?;
    if !found.drift.is_empty() {
        let drift = Array2::from_shape_fn((found.drift.len(), 2), |(i, k)| found.drift[i][k]);
        let meaning = "displacement (y, x) of each frame against the first, summed from frame to frame";
        file.put("drift", drift.view(), Meta::new("px", &["frame", "yx"], meaning))?;
    }
    let meaning = "raw values are divided by the first number; the second then became 0, the third 1";
    let meta = Meta::new("", &["scale_low_high"], meaning);
    file.put("movie/scale", arr1(&found.scale).view(), meta)?;
    let first = found.counts.first().map_or(0, |c| c.0);
    let frames = arr1(&[first as i64, found.counts.len() as i64]);
    let meta = Meta::new("", &["first_number"], "first frame that was looked at, and how many");
    file.put("movie/frames", frames.view(), meta)?;
    let nav = scan.info().nav;
    let meta = Meta::new("", &["yx"], "rows and columns of frames: time goes along the longer one");
    file.put("movie/nav", arr1(&nav.map(|n| n as i64)).view(), meta)?;
    let shape = scan.info().frame;
    let size = arr1(&[shape.height as i64, shape.width as i64]);
    file.put(
        "movie/size",
        size.view(),
        Meta::new("px", &["yx"], "height and width of a frame"),
    )?;
    let kept = with.len();
    Ok(vec![
        ("Detections", format!("{} in {} frames", d.len(), found.counts.len())),
        (
            "With window",
            format!("{kept} of {} × {} pixels", params.window, params.window),
        ),
        (
            "Network",
            format!(
                "{} layers, {} parameters, {} classes",
                model.network.layers().len(),
                model.network.parameters(),
                model.network.classes()
            ),
        ),
        ("Recipe", movie.recipe.to_string()),
    ])
}
