//! Similarities as files and figures.

use super::{Compared, Job, Likeness};
use crate::engine::Backend;
use crate::error::Result;
use crate::io::results::Meta;
use crate::report::html::Report;
use crate::report::{HeatMap, Limits, Panel, Tile};
use crate::workflows::ebsd::Target;
use crate::workflows::ebsd::output::timed;
use crate::workflows::{Timings, provenance};
use ndarray::{Array2, s};
use std::path::PathBuf;

/// Writes what was found to `target` and a page beside it; returns the page's place.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn write(
    found: &Compared,
    job: &Job<'_>,
    timings: &Timings,
    target: Target,
    backend: &Backend,
    effective: String,
) -> Result<PathBuf> {
    let mut report = Report::new("Similarity of patterns");
    report.summary("input", job.map.scan.info().path.display());
    report.summary("patterns", job.selection.len());
    timed(&mut report, timings);
    let [_, axis] = &job.map.scan.info().nav_axes;
    let axes = ["row", "column"];
    let likeness = match job.params.metric {
        Likeness::Ncc => "correlation coefficient",
        Likeness::Nip => "normalised inner product",
    };
    let drawn = |values: &Array2<f64>, title: &str, unit: &str| {
        let mut figure = HeatMap::new(values.view(), title);
        figure.unit = unit;
        figure.axis = axis.clone();
        figure.draw().to_png()
    };
    let heat = |report: &mut Report, values: &Array2<f64>, title: &str, caption: &str| -> Result<()> {
        report.section(title).figure(&drawn(values, title, likeness)?, caption);
        Ok(())
    };
    let to_f32 = |m: &Array2<f64>| m.mapv(|v| v as f32);
    match found {
        Compared::Neighbours(n) => {
            let meaning = "mean similarity of each pattern with its neighbours above, below, left and right";
            target.put("Data/similarity", to_f32(&n.mean).view(), Meta::new("", &axes, meaning))?;
            let meaning = "similarity with the patterns around; 1 in the middle, NaN where nothing was compared";
            let meta = Meta::new("", &["row", "column", "dy + 1", "dx + 1"], meaning);
            target.put("Data/neighbour_similarity", n.each.view(), meta)?;
            heat(
                &mut report,
                &n.mean,
                "Similarity with neighbours",
                "Mean similarity of each pattern with its four neighbours: low at boundaries and where patterns are poor.",
            )?;
        }
        Compared::Templates { matches, templates } => {
            let axes = ["pattern", "rank"];
            let meta = Meta::new("", &axes, "number of the template, best first");
            target.put_rows("Matches/index", matches.index.view(), meta)?;
            let meta = Meta::new("", &axes, "similarity with it");
            target.put_rows("Matches/score", matches.score.mapv(|v| v as f32).view(), meta)?;
            let first = |a: &Array2<f64>| job.selection.scatter(&a.column(0).to_vec(), f64::NAN);
            let (score, index) = rayon::join(
                || drawn(&first(&matches.score), "Similarity with the best template", likeness),
                || drawn(&first(&matches.index.mapv(f64::from)), "Best template", "number"),
            );
            report
                .section("Similarity with the best template")
                .figure(&score?, "Similarity of each pattern with the template that is most like it.");
            let caption = format!("Number of the best of {templates} templates.");
            report.section("Best template").figure(&index?, &caption);
        }
        Compared::Reference(r) => {
            let meaning = "similarity of each pattern with the reference";
            let name = "Data/reference_similarity";
            target.put(name, to_f32(&r.similarity).view(), Meta::new("", &axes, meaning))?;
            let meaning = "shift of each pattern against the reference, positive downwards and to the right";
            let meta = Meta::new("px", &["row", "column", "y, x"], meaning);
            target.put("Data/shift", r.shift.mapv(|v| v as f32).view(), meta)?;
            let meaning = "correlation of each pattern with the reference at that shift";
            target.put(
                "Data/shift_correlation",
                to_f32(&r.height).view(),
                Meta::new("", &axes, meaning),
            )?;
            let title = format!("Similarity with the pattern at row {}, column {}", r.at[0], r.at[1]);
            heat(
                &mut report,
                &r.similarity,
                &title,
                "Similarity of each pattern with the reference.",
            )?;
            let tile = |k: usize, caption: &str| Tile {
                limits: Limits::Auto,
                ..Tile::new(r.shift.slice(s![.., .., k]), caption)
            };
            let tiles = vec![tile(0, "shift y (px)"), tile(1, "shift x (px)")];
            report.section("Shift").figure(
                &Panel::new("", tiles).draw().to_png()?,
                "Shift of each pattern against the reference; it means something only in the grain of the reference.",
            );
        }
    }
    report.section("Parameters").code(&effective);
    let provenance = provenance("ebsd compare", &*job.map.scan, backend, effective, timings)?;
    target.finish(&provenance, &report.render())
}
