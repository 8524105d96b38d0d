//! Writes what `defects track` found.

use super::super::classify::Results;
use super::super::detected::Detected;
use super::super::output::{self, Finished, Table};
use super::Tracked;
use super::figures::{figures, links};
use crate::analysis::diffusion::Diffusion;
use crate::analysis::tracks::EventKind;
use crate::error::Result;
use crate::io::results::{Meta, OutputDir, ResultFile};
use ndarray::{Array2, Array3, arr1};
use std::path::PathBuf;

/// Writes tracks and what comes from them into a result file, and gives what the report says about them.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no.
pub fn put(file: &ResultFile, found: &Detected, t: &Tracked) -> Result<Results> {
    let u = &t.units;
    let area = format!("{}^2", u.length);
    let rate = u.diffusion();
    let each = ["detection"];
    let track: Vec<i32> = t.linked.track.iter().map(|&k| k as i32).collect();
    file.put(
        "tracks/track",
        arr1(&track).view(),
        Meta::new("", &each, "track of each detection"),
    )?;
    let still = Array2::from_shape_fn((t.at.len(), 2), |(i, k)| t.at[i][k]);
    let meta = Meta::new("px", &["detection", "yx"], "position with the drift taken out");
    file.put("tracks/still", still.view(), meta)?;
    let residual = Array2::from_shape_fn((t.residual.len(), 2), |(i, k)| t.residual[i][k]);
    let meaning = "motion common to all tracks beyond the measured drift, those that rest most of all; taken out, too";
    file.put(
        "tracks/residual_drift",
        residual.view(),
        Meta::new("px", &["frame", "yx"], meaning),
    )?;
    file.put(
        "tracks/class",
        arr1(&t.class).view(),
        Meta::new("", &["track"], "most frequent class of each track, -1 without one"),
    )?;
    let long: Vec<usize> = (0..t.linked.members.len())
        .filter(|&k| t.linked.members[k].len() > 1)
        .collect();
    let width = t.linked.members.len().saturating_sub(1).to_string().len().max(2);
    for &k in &long {
        let m = &t.linked.members[k];
        let at = |name: &str| format!("tracks/{k:0width$}/{name}");
        let frames: Vec<i32> = m.iter().map(|&i| found.frame[i] as i32).collect();
        file.put(
            &at("frame"),
            arr1(&frames).view(),
            Meta::new("", &["point"], "number of the frame"),
        )?;
        for (axis, name) in ["y", "x"].into_iter().enumerate() {
            let values: Vec<f64> = m.iter().map(|&i| t.at[i][axis]).collect();
            file.put(
                &at(name),
                arr1(&values).view(),
                Meta::new("px", &["point"], "position with the drift taken out"),
            )?;
        }
        let class: Vec<i32> = m.iter().map(|&i| found.class.get(i).copied().unwrap_or(-1)).collect();
        file.put(
            &at("class"),
            arr1(&class).view(),
            Meta::new("", &["point"], "class, -1 without one"),
        )?;
    }
    let events = Array2::from_shape_fn((t.linked.events.len(), 4), |(i, k)| {
        let e = &t.linked.events[i];
        [
            e.frame as i32,
            e.track as i32,
            e.other as i32,
            i32::from(e.kind == EventKind::Split),
        ][k]
    });
    let meaning = "frame, track that goes on, track that ends there (merge, 0) or begins (split, 1)";
    file.put(
        "tracks/events",
        events.view(),
        Meta::new("", &["event", "frame_track_other_kind"], meaning),
    )?;
    let meta = Meta::new("", &["from", "to"], "links from class to class");
    file.put("tracks/switching", t.switching.view(), meta)?;
    let columns = |d: &Diffusion| [d.value, d.low, d.high, d.from_msd, d.localisation, d.steps as f64];
    let table = Array2::from_shape_fn((t.groups.len(), 6), |(g, k)| columns(&t.groups[g].diffusion)[k]);
    let meaning = "diffusion coefficient of all tracks, then of those of each class: covariance estimator, ends of its 95 % interval, from the mean square displacement; error of a coordinate (unit of length); steps used";
    let axes = ["all_class", "value_low_high_msd_error_steps"];
    file.put("tracks/diffusion", table.view(), Meta::new(&rate, &axes, meaning))?;
    let lags = t.groups.first().map_or(0, |g| g.msd.len());
    let msd = Array3::from_shape_fn((t.groups.len(), lags, 2), |(g, l, k)| {
        let (mean, n) = t.groups[g].msd[l];
        [mean, n as f64][k]
    });
    let meta = Meta::new(
        &area,
        &["all_class", "lag", "mean_number"],
        "mean square displacement at lags of 1, 2, … frames, and displacements behind it",
    );
    file.put("tracks/msd", msd.view(), meta)?;
    regions(file, found, t, (&area, &rate))?;
    Ok(results(found, t))
}

fn regions(file: &ResultFile, found: &Detected, t: &Tracked, (area, rate): (&str, &str)) -> Result<()> {
    if t.regions.is_empty() {
        return Ok(());
    }
    let n = t.regions.len();
    let of = |columns: usize, value: &dyn Fn(usize, usize) -> f64| Array2::from_shape_fn((n, columns), |(r, k)| value(r, k));
    let meta = Meta::new("px", &["region", "y_x_half"], "middle and half of the side");
    file.put("tracks/regions", of(3, &|r, k| t.regions[r].square.0[k]).view(), meta)?;
    let covariance = Array3::from_shape_fn((n, 2, 2), |(r, i, j)| t.regions[r].covariance[i][j]);
    let meta = Meta::new(area, &["region", "yx", "yx"], "covariance of the positions in each region");
    file.put("tracks/covariance", covariance.view(), meta)?;
    let ellipse = of(5, &|r, k| {
        let e = &t.regions[r].ellipse;
        [e.variances[0], e.variances[1], e.angle, e.axes[0], e.axes[1]][k]
    });
    let meaning = format!(
        "eigenvalues, direction of the longer axis from +y towards +x, full lengths of both axes at {} standard deviations",
        t.params.deviations
    );
    let length = &t.units.length;
    let units = format!("{area}, {area}, rad, {length}, {length}");
    let meta = Meta::new(&units, &["region", "variance_variance_angle_axis_axis"], &meaning);
    file.put("tracks/ellipse", ellipse.view(), meta)?;
    let published = arr1(&t.regions.iter().map(|r| r.published).collect::<Vec<_>>());
    let meaning = "the published notebook's estimate from the variance of positions: 6 to 11 times too small";
    file.put(
        "tracks/published_diffusion",
        published.view(),
        Meta::new(rate, &["region"], meaning),
    )?;
    let estimate = of(3, &|r, k| {
        let d = &t.regions[r].estimate;
        [d.value, d.low, d.high][k]
    });
    let meaning = "covariance estimator from the first point of each frame, and its 95 % interval";
    file.put(
        "tracks/region_diffusion",
        estimate.view(),
        Meta::new(rate, &["region", "value_low_high"], meaning),
    )?;
    for (r, region) in t.regions.iter().enumerate() {
        let u = &t.units;
        let rows = Array2::from_shape_fn((region.points.len(), 4), |(p, k)| {
            let i = region.points[p];
            let [y, x] = [found.y[i] * u.pixel, found.x[i] * u.pixel];
            [f64::from(found.frame[i]) * u.frame, y, x, y.hypot(x)][k]
        });
        let meaning = "time, y, x, and distance from the corner of the frame (the notebook's r), drift left in";
        let meta = Meta::new(&u.length, &["point", "time_y_x_r"], meaning);
        file.put(&format!("tracks/region_{r:02}"), rows.view(), meta)?;
    }
    Ok(())
}

fn results(found: &Detected, t: &Tracked) -> Results {
    let u = &t.units;
    let number = |v: f64| if v.is_finite() { format!("{v:.3e}") } else { "–".into() };
    let lasting = t.linked.members.iter().filter(|m| m.len() > 1).count();
    let merges = t.linked.events.iter().filter(|e| e.kind == EventKind::Merge).count();
    let summary = vec![
        (
            "Tracks",
            format!(
                "{} of {} detections; {lasting} last longer than a frame",
                t.linked.members.len(),
                found.frame.len()
            ),
        ),
        (
            "Links",
            format!(
                "{}, within {:.1} px, {} frames missed at most",
                links(t),
                t.gate,
                t.params.gap
            ),
        ),
        ("Merges, splits", format!("{merges}, {}", t.linked.events.len() - merges)),
        (
            "Units",
            format!("{} {} a pixel, {} {} a frame", u.pixel, u.length, u.frame, u.time),
        ),
    ];
    let rate = u.diffusion();
    let rows = t
        .groups
        .iter()
        .map(|g| {
            let d = &g.diffusion;
            vec![
                g.name.clone(),
                g.tracks.to_string(),
                d.steps.to_string(),
                number(d.value),
                format!("{} … {}", number(d.low), number(d.high)),
                number(d.from_msd),
                number(d.localisation),
            ]
        })
        .collect();
    let columns = vec![
        "Tracks of".into(),
        "Number".into(),
        "Steps".into(),
        format!("D ({rate})"),
        "95 % interval".into(),
        "D from MSD".into(),
        format!("Error of a coordinate ({})", u.length),
    ];
    let mut tables = vec![Table {
        heading: "Diffusion".into(),
        columns,
        rows,
    }];
    if !t.regions.is_empty() {
        let rows = t
            .regions
            .iter()
            .map(|r| {
                let [y, x, half] = r.square.0;
                let d = &r.estimate;
                vec![
                    format!("({y}, {x}) ± {half} px"),
                    r.class.map_or("all".into(), |c| c.to_string()),
                    r.points.len().to_string(),
                    format!("{} × {}", number(r.ellipse.axes[0]), number(r.ellipse.axes[1])),
                    format!("{:.1}°", r.ellipse.angle.to_degrees()),
                    format!("{} ({} … {})", number(d.value), number(d.low), number(d.high)),
                    number(r.published),
                ]
            })
            .collect();
        let columns = vec![
            "Region".into(),
            "Class".into(),
            "Points".into(),
            format!("Ellipse ({})", u.length),
            "Its direction from +y".into(),
            format!("D by covariance ({rate})"),
            format!("D of the notebook ({rate}): 6 to 11 times too small"),
        ];
        tables.push(Table {
            heading: "Regions".into(),
            columns,
            rows,
        });
    }
    Results { summary, tables }
}

/// Writes result, figures and report into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(found: &Detected, t: &Tracked, parameters: &str, dir: OutputDir) -> Result<PathBuf> {
    let file = dir.result()?;
    let results = put(&file, found, t)?;
    let mut summary = results.summary;
    summary.push(("Recipe", t.params.recipe.to_string()));
    let page = Finished {
        title: "Tracks of defects",
        about: ("Detections", format!("{} in {} frames", found.frame.len(), found.frames)),
        name: found.path.display().to_string(),
        provenance: output::from_result("defects track", found, parameters, &t.timings)?,
        parameters,
        warnings: &t.warnings,
        summary: &summary,
        tables: results.tables,
        figures: figures(found, t),
    };
    page.finish(file, dir)
}
