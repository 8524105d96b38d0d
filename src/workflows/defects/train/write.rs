//! Writes what `defects train` made: the model, curves, report.

use super::super::inference::{Inference, Tiling};
use super::super::movie::MovieParams;
use super::super::{defect_probability, output};
use super::{Params, Trained};
use crate::control::Control;
use crate::engine::Backend;
use crate::error::Result;
use crate::io::results::{Meta, OutputDir};
use crate::io::{Scan, keras};
use crate::report::{ColourMap, Limits, LinePlot, Mark, Panel, Series, Tile};
use crate::workflows::folder::Named;
use ndarray::{Array2, arr1};
use std::path::PathBuf;
use std::sync::Arc;

/// Writes `model.h5`, `result.h5`, figures and report into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was. What trying the network on the frame reports.
pub fn write(
    trained: &Trained,
    scan: &dyn Scan,
    (movie, params): (&MovieParams, &Params),
    (backend, parameters): (&Backend, &str),
    dir: OutputDir,
    control: &Control,
) -> Result<PathBuf> {
    keras::write_model(&dir.path().join("model.h5"), &trained.network, trained.patch, false)?;
    let file = dir.result()?;
    let epochs = &trained.epochs;
    let put = |name: &str, meaning: &str, values: Vec<f64>| {
        file.put(
            &format!("training/{name}"),
            arr1(&values).view(),
            Meta::new("", &["epoch"], meaning),
        )
    };
    let mean = "weighted mean cross entropy of the patches while the weights were changing";
    put("loss", mean, epochs.iter().map(|e| e.loss).collect())?;
    put(
        "accuracy",
        "share of pixels whose most probable class is the label",
        epochs.iter().map(|e| e.accuracy).collect(),
    )?;
    put(
        "val_loss",
        "loss of what is held back, after the epoch",
        epochs.iter().map(|e| e.val_loss).collect(),
    )?;
    put(
        "val_accuracy",
        "accuracy of what is held back, after the epoch",
        epochs.iter().map(|e| e.val_accuracy).collect(),
    )?;
    file.put(
        "defects/label_map",
        trained.labels.view(),
        Meta::new("", &["y", "x"], "class of each pixel that was learnt from"),
    )?;

    let last = epochs.last();
    let text = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| format!("{v:.5}"));
    let best = epochs.get(trained.best);
    let summary = [
        (
            "Patches",
            format!(
                "{} of {} × {} pixels of {} frames",
                trained.patches[0], trained.patch[0], trained.patch[1], trained.labelled
            ),
        ),
        (
            "Classes",
            trained
                .shares
                .iter()
                .map(|s| format!("{:.2} %", 100.0 * s))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("Parameters", trained.network.parameters().to_string()),
        ("Epochs", format!("{}, the best is number {}", epochs.len(), trained.best + 1)),
        (
            "Loss",
            format!(
                "{} at the end, held back {}",
                text(last.map(|e| e.loss)),
                text(best.map(|e| e.val_loss))
            ),
        ),
        ("Accuracy held back", text(best.map(|e| e.val_accuracy))),
        ("Recipe", movie.recipe.to_string()),
    ];
    let page = output::Page {
        command: "defects train",
        title: "Training on a frame",
        scan,
        backend,
        parameters,
        timings: &trained.timings,
        warnings: &trained.warnings,
        summary: &summary,
        figures: vec![curves(trained), panel(trained, params.frames()[0], control)?],
    };
    page.finish(file, dir)
}

fn curves(trained: &Trained) -> Named {
    let x: Vec<f64> = (1..=trained.epochs.len()).map(|n| n as f64).collect();
    let loss: Vec<f64> = trained.epochs.iter().map(|e| e.loss).collect();
    let val: Vec<f64> = trained.epochs.iter().map(|e| e.val_loss).collect();
    let mut plot = LinePlot::new("Training", "epoch", "mean cross entropy");
    plot.log_y = true;
    for (name, y) in [("patches", &loss), ("held back", &val)] {
        if y.iter().any(|v| v.is_finite()) {
            plot.series.push(Series {
                name,
                x: &x,
                y,
                dots: x.len() < 3,
            });
        }
    }
    plot.marks.push(Mark::Vertical((trained.best + 1) as f64, "kept".into()));
    Named {
        name: "loss".into(),
        caption: "Loss of each epoch; the weights of the marked one are kept".into(),
        figure: plot.draw(),
    }
}

/// The frame, its labels and what the network makes of it.
fn panel(trained: &Trained, number: u64, control: &Control) -> Result<Named> {
    let (h, w) = trained.frame.dim();
    let inference = Inference::new(
        Arc::new(trained.network.clone()),
        [h, w],
        Tiling::Seamless,
        control.threads,
        control.memory / 2,
    )?;
    let found = inference.run(std::slice::from_ref(&trained.frame), &Backend::Cpu)?;
    let probability = found
        .first()
        .map_or_else(|| Array2::zeros((h, w)), defect_probability)
        .mapv(f64::from);
    let (frame, labels) = (trained.frame.mapv(f64::from), trained.labels.mapv(f64::from));
    let title = format!("frame {number}");
    let mut tiles = vec![
        Tile::new(frame.view(), &title),
        Tile::new(labels.view(), "labels"),
        Tile::new(probability.view(), "probability of a defect"),
    ];
    tiles[0].colours = ColourMap::Grey;
    tiles[1].colours = ColourMap::Grey;
    tiles[2].limits = Limits::Fixed(0.0, 1.0);
    let mut panel = Panel::new("What was learnt", tiles);
    panel.columns = 3;
    Ok(Named {
        name: "learnt".into(),
        caption: "The frame, the labels it was trained with, and what the network says".into(),
        figure: panel.draw(),
    })
}
