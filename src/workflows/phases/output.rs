//! Writes what `phases` found: `result.h5`, `params.toml`, `figures/*.png`, `report.html`.

use super::figures::{self, Maps};
use super::signals::{Kind, Signal};
use super::{Params, Phases, features, report};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::results::{Input, Meta, OutputDir, ResultFile};
use crate::workflows::common;
use crate::workflows::folder::{add_figures, finish};
use ndarray::{Array2, Array3, ArrayView1};
use std::path::PathBuf;

/// Share of the runs that must agree on a position that is to be trusted.
pub(super) const TRUSTED: f64 = 0.8;

/// Writes everything into `dir` and puts it in place. `text` is that of `params.toml`.
///
/// # Errors
/// [`Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(
    result: &Phases,
    signals: &[Signal],
    params: &Params,
    backend: &Backend,
    text: &str,
    dir: OutputDir,
) -> Result<PathBuf> {
    let Some(first) = signals.first() else {
        return Err(Error::Internal("no signal".into()));
    };
    let maps = maps(result);
    let mut provenance = common::provenance("phases", &*first.scan, backend, text.to_owned(), &result.timings)?;
    for signal in &signals[1..] {
        if signal.path.exists() {
            provenance.inputs.push(Input::of(&signal.path)?);
        }
    }
    let file = dir.result()?;
    arrays(&file, result, &maps, signals, params)?;
    file.provenance(&provenance)?;
    file.finish()?;
    let mut report = report::write(result, &maps, signals, backend, params);
    add_figures(&dir, &mut report, &figures::draw(result, &maps, signals, params)?)?;
    finish(dir, report, text)
}

fn maps(result: &Phases) -> Maps {
    let found = &result.found;
    let largest = |row: ArrayView1<'_, f64>| row.iter().copied().fold(f64::NAN, f64::max);
    let membership: Vec<f64> = found.memberships.values.rows().into_iter().map(largest).collect();
    let scatter = |values: &[f64]| result.selection.scatter(values, f64::NAN);
    Maps {
        labels: result.selection.scatter(&found.soft, -1),
        hard: result.selection.scatter(&found.clustering.labels, -1),
        membership: scatter(&membership),
        agreement: scatter(&result.agreement.with_reference),
        outlier: scatter(&found.clustering.outlier_scores()),
    }
}

const SCAN: [&str; 2] = ["scan_y", "scan_x"];

/// The datasets of the result file; names are the contract with other programs.
fn arrays(file: &ResultFile, result: &Phases, maps: &Maps, signals: &[Signal], params: &Params) -> Result<()> {
    let found = &result.found;
    feature_maps(file, result, signals, params)?;
    if let Some(matrix) = &result.matrix {
        let meta = Meta::new(
            "",
            &["scan_y", "scan_x", "feature"],
            "fused feature vector of each scan position",
        );
        file.put(
            "phases/features",
            result.selection.scatter_rows(matrix.view(), f32::NAN).view(),
            meta,
        )?;
    }
    let meta = Meta::new(
        "",
        &["scan_y", "scan_x", "axis"],
        "position of each scan position in the embedding",
    );
    file.put(
        "embedding",
        result.selection.scatter_rows(found.embedding.view(), f32::NAN).view(),
        meta,
    )?;
    let labels = |name: &str, map: &Array2<i32>, meaning: &str| file.put(name, map.view(), Meta::new("", &SCAN, meaning));
    labels(
        "clusters/labels",
        &maps.hard,
        "hard cluster of each position; -1: noise, or outside the region of interest",
    )?;
    labels(
        "clusters/labels_soft",
        &maps.labels,
        "phase of each position: the cluster of largest membership; -1 outside the region of interest or without clusters",
    )?;
    let probability = result.selection.scatter(&found.clustering.probabilities, f64::NAN);
    let number = |name: &str, map: &Array2<f64>, meaning: &str| file.put(name, map.view(), Meta::new("", &SCAN, meaning));
    number(
        "clusters/probability",
        &probability,
        "strength with which a position belongs to its hard cluster, 0 for noise",
    )?;
    number(
        "clusters/outlier",
        &maps.outlier,
        "GLOSH outlier score, 0 in the densest places",
    )?;
    if !found.clustering.is_empty() {
        let values = found.memberships.values.mapv(|v| v as f32);
        let meta = Meta::new(
            "",
            &["scan_y", "scan_x", "phase"],
            "membership of each position in each phase",
        );
        file.put(
            "clusters/membership",
            result.selection.scatter_rows(values.view(), f32::NAN).view(),
            meta,
        )?;
        let persistence = found.clustering.persistence();
        let meta = Meta::new("", &["phase"], "stability of each phase over the most it could be");
        file.put("clusters/persistence", ArrayView1::from(&persistence), meta)?;
    }
    let sizes: Vec<i64> = result.sizes.iter().map(|n| *n as i64).collect();
    if !sizes.is_empty() {
        let meta = Meta::new("", &["phase"], "positions of each phase");
        file.put("clusters/sizes", ArrayView1::from(&sizes), meta)?;
    }
    for (c, means) in result.means.iter().enumerate() {
        for (signal, m) in signals.iter().zip(means) {
            let axes: &[&str] = if signal.kind == Kind::Spectrum {
                &["channel"]
            } else {
                &["y", "x"]
            };
            for (what, map, meaning) in [
                ("mean", &m.mean, "mean of the frames of this phase"),
                ("std", &m.std, "population standard deviation of the frames of this phase"),
            ] {
                let name = format!("clusters/{c:02}/{}_{what}", signal.name);
                let meta = Meta::new("counts", axes, meaning);
                match signal.kind {
                    Kind::Spectrum => file.put(&name, map.row(0), meta)?,
                    Kind::Pattern => file.put(&name, map.view(), meta)?,
                }
            }
        }
    }
    tree(file, result)?;
    stability(file, result, maps)?;
    trials(file, result)
}

fn feature_maps(file: &ResultFile, result: &Phases, signals: &[Signal], params: &Params) -> Result<()> {
    for (f, signal) in result.features.iter().zip(signals) {
        let name = |what: &str| format!("phases/{}_{what}", f.name);
        match f.kind {
            Kind::Pattern => {
                let axes = ["y", "x"];
                let std = "population standard deviation over the scan of rebinned pixels (0 in the beam mask), or of what they were reduced to";
                file.put(&name("std"), f.std.view(), Meta::new("counts", &axes, std))?;
                let mask = f.mask.mapv(u8::from);
                file.put(&name("mask"), mask.view(), Meta::new("", &axes, "1: a feature"))?;
                file.put(
                    &name("mean"),
                    f.mean.view(),
                    Meta::new("counts", &axes, "mean over the scan of the same"),
                )?;
                if let Some(beam) = &f.beam {
                    let meta = Meta::new(
                        "rebinned pixels",
                        &["yxr"],
                        "disk of the direct beam that was masked: centre (y, x) and radius",
                    );
                    file.put(&name("beam"), ArrayView1::from(beam), meta)?;
                }
            }
            Kind::Spectrum => {
                let variance = f.std.row(0).mapv(|s| s * s);
                let meta = Meta::new("counts^2", &["channel"], "population variance of each channel over the scan");
                file.put(&name("variance"), variance.view(), meta)?;
                let kept: Vec<i64> = f
                    .mask
                    .iter()
                    .enumerate()
                    .filter(|(_, m)| **m)
                    .map(|(i, _)| i as i64)
                    .collect();
                let meta = Meta::new("", &["feature"], "channels that became features");
                file.put(&name("channels"), ArrayView1::from(&kept), meta)?;
                if let Some(energy) = features::energy(signal, params) {
                    let axis: Vec<f64> = (0..f.mask.len()).map(|c| energy.at(c)).collect();
                    let meta = Meta::new(&energy.unit, &["channel"], "energy of each channel");
                    file.put(&name("energy"), ArrayView1::from(&axis), meta)?;
                }
            }
        }
    }
    Ok(())
}

fn tree(file: &ResultFile, result: &Phases) -> Result<()> {
    let rows = &result.found.clustering.tree.rows;
    if rows.is_empty() {
        return Ok(());
    }
    let numbers = Array2::from_shape_fn((rows.len(), 3), |(i, k)| match k {
        0 => rows[i].parent as i64,
        1 => rows[i].child as i64,
        _ => rows[i].size as i64,
    });
    let meaning = "condensed tree: parent, child, positions in the child; numbers below the number of positions are positions";
    file.put(
        "clusters/tree",
        numbers.view(),
        Meta::new("", &["row", "parent_child_size"], meaning),
    )?;
    let lambda: Vec<f64> = rows.iter().map(|r| r.lambda).collect();
    let meta = Meta::new("", &["row"], "1/distance at which the child leaves its parent");
    file.put("clusters/tree_lambda", ArrayView1::from(&lambda), meta)?;
    let chosen: Vec<i64> = result.found.clustering.selected.iter().map(|c| *c as i64).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let meta = Meta::new("", &["phase"], "cluster of the tree that each phase is");
    file.put("clusters/tree_selected", ArrayView1::from(&chosen), meta)
}

fn label_stack(result: &Phases, labels: &Array2<i32>) -> Array3<i32> {
    let [ny, nx] = result.selection.nav();
    let mut out = Array3::from_elem((labels.nrows(), ny, nx), -1);
    for (mut map, row) in out.outer_iter_mut().zip(labels.rows()) {
        map.assign(&result.selection.scatter(&row.to_vec(), -1));
    }
    out
}

fn stability(file: &ResultFile, result: &Phases, maps: &Maps) -> Result<()> {
    let agreement = &result.agreement;
    let meta = Meta::new(
        "",
        &["run", "scan_y", "scan_x"],
        "phases of each run, renamed to match the run that gives the answer",
    );
    file.put("stability/labels", label_stack(result, &agreement.matched).view(), meta)?;
    let number =
        |name: &str, map: &Array2<f64>, axes: &[&str], meaning: &str| file.put(name, map.view(), Meta::new("", axes, meaning));
    number(
        "stability/agreement",
        &maps.agreement,
        &SCAN,
        "share of the runs with the label of the run that is most like the others",
    )?;
    let pairwise = result.selection.scatter(&agreement.pairwise, f64::NAN);
    let runs = ["run", "run"];
    number(
        "stability/pairwise",
        &pairwise,
        &SCAN,
        "share of the pairs of runs that agree",
    )?;
    number(
        "stability/ari",
        &agreement.ari,
        &runs,
        "adjusted Rand index of each pair of runs",
    )?;
    number(
        "stability/nmi",
        &agreement.nmi,
        &runs,
        "normalised mutual information of each pair of runs",
    )?;
    let seeds: Vec<i64> = result.seeds.iter().map(|s| *s as i64).collect();
    if !seeds.is_empty() {
        file.put(
            "stability/seeds",
            ArrayView1::from(&seeds),
            Meta::new("", &["run"], "seed of each run"),
        )?;
    }
    let reference = [result.reference as i64];
    let meta = Meta::new("", &["one"], "the run that gives the answer");
    file.put("stability/reference", ArrayView1::from(&reference), meta)
}

fn trials(file: &ResultFile, result: &Phases) -> Result<()> {
    let Some(trials) = &result.trials else { return Ok(()) };
    let values = Array2::from_shape_fn((trials.trials.len(), trials.names.len()), |(i, k)| trials.trials[i].values[k]);
    let meaning = format!("values of {} in each trial", trials.names.join(", "));
    file.put("vary/values", values.view(), Meta::new("", &["trial", "parameter"], &meaning))?;
    let meta = Meta::new(
        "",
        &["trial", "scan_y", "scan_x"],
        "phases of each trial, matched to the trial most like the others",
    );
    file.put("vary/labels", label_stack(result, &trials.agreement.matched).view(), meta)?;
    let meta = Meta::new("", &["trial", "trial"], "adjusted Rand index of each pair of trials");
    file.put("vary/ari", trials.agreement.ari.view(), meta)?;
    let agreement = result.selection.scatter(&trials.agreement.with_reference, f64::NAN);
    let meta = Meta::new(
        "",
        &SCAN,
        "share of the trials that agree with the one that is most like the others",
    );
    file.put("vary/agreement", agreement.view(), meta)
}
