//! Writes what `cluster` found: `result.h5`, `params.toml`, `figures/*.png`, `report.html`.

use super::Clustering;
use super::figures::{self, Maps};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::results::{Meta, OutputDir, ResultFile};
use crate::io::{Scan, ScanInfo};
use crate::report::html::Report;
use crate::workflows::folder::{add_figures, finish};
use crate::workflows::{common, descan, frame_array};
use ndarray::{Array1, Array2, ArrayView1, CowArray, Ix3, arr1};
use std::path::PathBuf;

/// Writes everything into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(result: &Clustering, scan: &dyn Scan, backend: &Backend, parameters: &str, dir: OutputDir) -> Result<PathBuf> {
    let info = scan.info();
    let maps = maps(result, info)?;
    let provenance = common::provenance("cluster", scan, backend, parameters.to_owned(), &result.timings)?;
    let file = dir.result()?;
    arrays(&file, result, &maps, info)?;
    file.provenance(&provenance)?;
    file.finish()?;

    let drawn = figures::draw(result, &maps, info)?;
    let mut report = summary("Crystallites", result, info, backend);
    add_figures(&dir, &mut report, &drawn)?;
    finish(dir, report, parameters)
}

/// Maps of the scan that results and figures show.
pub(in crate::workflows) fn maps(result: &Clustering, info: &ScanInfo) -> Result<Maps> {
    Ok(Maps {
        labels: result.selection.scatter(&result.labels, -1),
        std: frame_array(info.frame, result.moments.std())?,
    })
}

/// The datasets of the result file; names are the contract with other programs.
pub(in crate::workflows) fn arrays(file: &ResultFile, result: &Clustering, maps: &Maps, info: &ScanInfo) -> Result<()> {
    let yx = ["y", "x"];
    for name in ["sum", "mean", "var", "std", "min", "max"] {
        let map = frame_array(info.frame, common::statistic(&result.moments, name))?;
        file.put(
            &format!("stats/{name}"),
            map.view(),
            Meta::new(common::unit(name), &yx, common::meaning(name)),
        )?;
    }
    let put = |name: &str, map: &Array2<f64>, meaning: &str| file.put(name, map.view(), Meta::new("", &yx, meaning));
    put("stats/logsum", &result.logsum, common::meaning("logsum"))?;
    put(
        "stats/std_correlation",
        &result.std_correlation,
        "correlation of the standard-deviation map with the template",
    )?;
    put(
        "stats/logsum_correlation",
        &result.logsum_correlation,
        "correlation of the log-sum with the template",
    )?;
    put(
        "template/stamp",
        &result.template.stamp(),
        "template as stamped on frames, centre pixel in the middle",
    )?;
    let [h, w] = result.template.extent();
    put("template/pattern", &result.template.window(h, w), "template without margin")?;
    if let Some(zero) = result.zero_peak {
        let meta = Meta::new("pixels", &["yx"], "highest maximum of the log-sum's correlation, (y, x)");
        file.put("stats/zero_peak", arr1(&zero).view(), meta)?;
    }

    if let Some(d) = &result.descan {
        descan::write(file, &d.track, &result.selection)?;
        put("descan/std", &d.std, "standard deviation of the frames without descan")?;
        put("descan/logsum", &d.logsum, "log-sum of the frames without descan")?;
    }

    let peaks = Array2::from_shape_fn((result.peaks.len(), 2), |(i, k)| result.peaks[i][k]);
    file.put(
        "features/peaks",
        peaks.view(),
        Meta::new("pixels", &["peak", "yx"], "feature peaks (y, x), strongest first"),
    )?;
    let meta = Meta::new("counts", &["scan_y", "scan_x", "peak"], "stamp at the peak times the frame");
    file.put("features/values", values(result)?.view(), meta)?;
    let scale = ArrayView1::from(&result.scale);
    file.put(
        "features/scale",
        scale,
        Meta::new("counts", &["peak"], "mean magnitude of each feature"),
    )?;
    let shared = Array1::from_shape_fn(result.peaks.len(), |k| u8::from(result.shared.binary_search(&k).is_ok()));
    let meta = Meta::new(
        "",
        &["peak"],
        "1: the feature was clustered; 0: left out, neighbouring positions do not share it",
    );
    file.put("features/shared", shared.view(), meta)?;

    let meta = Meta::new(
        "",
        &["scan_y", "scan_x"],
        "cluster of each scan position; -1 outside the region of interest",
    );
    file.put("clusters/labels", maps.labels.view(), meta)?;
    if let Some(tree) = &result.tree {
        let merges = Array2::from_shape_fn((tree.children().len(), 2), |(i, k)| i64::from(tree.children()[i][k]));
        let meta = Meta::new(
            "",
            &["merge", "child"],
            "merged nodes; numbers below the number of positions are positions",
        );
        file.put("clusters/merges", merges.view(), meta)?;
        let meta = Meta::new("", &["merge"], "ward distance sqrt(2 cost) of each merge");
        file.put("clusters/distances", ArrayView1::from(tree.distances()), meta)?;
    }
    for (c, map) in result.cluster_logsums.iter().enumerate() {
        let meta = Meta::new("", &yx, "log-sum of the frames of this cluster");
        file.put(&format!("clusters/{c:02}/logsum"), map.view(), meta)?;
    }
    Ok(())
}

/// Feature values over the scan, NaN outside the selection; a view where every position is selected.
fn values(result: &Clustering) -> Result<CowArray<'_, f32, Ix3>> {
    let [ny, nx] = result.selection.nav();
    let width = result.features.ncols();
    if result.selection.is_all() {
        let view = result.features.view().into_shape_with_order((ny, nx, width));
        return view
            .map(CowArray::from)
            .map_err(|e| Error::Internal(format!("feature vectors: {e}")));
    }
    Ok(CowArray::from(
        result.selection.scatter_rows(result.features.view(), f32::NAN),
    ))
}

/// The head of the report about `what` (in a scan).
pub(in crate::workflows) fn summary(what: &str, result: &Clustering, info: &ScanInfo, backend: &Backend) -> Report {
    let name = info.name();
    let mut report = Report::new(format!("{what} in {name}"));
    let [ny, nx] = info.nav;
    report.summary("Scan", format!("{ny} × {nx} positions, {} selected", result.selection.len()));
    report.summary(
        "Frames",
        format!("{} × {} pixels, {}", info.frame.height, info.frame.width, info.stored),
    );
    report.summary("Clusters", result.clusters);
    if let Some(choice) = &result.choice {
        let second = choice.runner_up.map_or(String::from("none"), |k| k.to_string());
        report.summary("Chosen by the data", format!("{}; runner-up {second}", choice.clusters));
    }
    let (peaks, shared) = (result.peaks.len(), result.shared.len());
    report.summary(
        "Feature peaks",
        match peaks == shared {
            true => peaks.to_string(),
            false => format!("{peaks}, {shared} of them clustered: neighbouring positions share them"),
        },
    );
    if let Some([y, x]) = result.zero_peak {
        report.summary("Strongest disk of the log-sum", format!("({y:.1}, {x:.1}) px"));
    }
    if let Some(d) = &result.descan {
        let largest = d.track.shifts.iter().fold(0.0f64, |m, s| m.max(s[0].hypot(s[1])));
        let (spread, outliers) = (d.track.spread, d.track.outliers);
        let lines = match d.track.in_lines {
            0 => String::new(),
            n => format!(", {n} frames that do what their row or column of the scan does"),
        };
        report.summary(
            "Descan taken out",
            format!("up to {largest:.2} px; measured ± {spread:.2} px about the fit, {outliers} outliers{lines}"),
        );
    }
    report.summary("Backend", format!("{} ({})", backend.name(), backend.adapter()));
    report.summary("emstream", env!("CARGO_PKG_VERSION"));
    for t in &result.timings.steps {
        let rate = if t.frames > 0 {
            format!(", {:.0} frames/s", t.frames as f64 / t.seconds.max(1e-9))
        } else {
            String::new()
        };
        report.summary(&format!("Time of {}", t.step), format!("{:.2} s{rate}", t.seconds));
    }
    result.warnings.iter().for_each(|w| {
        report.warning(w);
    });
    report
}
