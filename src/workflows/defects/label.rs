//! `defects label`: which pixels of one frame belong to defects, to train a network with.

use super::figures;
use super::movie::{Movie, MovieParams};
use super::output;
use crate::analysis::Recipe;
use crate::analysis::components::components;
use crate::analysis::lowpass::{Difference, Levels, difference};
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::{Meta, OutputDir};
use crate::workflows::Timings;
use ndarray::{Array2, arr1};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Levels of the published notebook.
const PUBLISHED: Levels = Levels { low: 0.25, high: 0.75 };
/// Robust standard deviations that set the levels unless they are given.
const SIGMA: f64 = 3.5;

/// Parameters of `defects label`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Params {
    /// The frame that is labelled.
    pub frame: u64,
    /// Frequencies below one over this, in cycles a pixel, are left by the filter.
    pub mask_ratio: f64,
    /// Lower and upper level of the difference image, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Levels so many standard deviations from the middle, for those that are not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            frame: 0,
            mask_ratio: 10.0,
            low: None,
            high: None,
            sigma: None,
        }
    }
}

impl Params {
    /// Levels for a difference image.
    fn levels(&self, image: &Array2<f64>, recipe: Recipe) -> Result<Levels> {
        let automatic = match (self.sigma, recipe) {
            (Some(k), _) => Levels::around(image.view(), k, recipe)?,
            (None, Recipe::Published) => PUBLISHED,
            (None, Recipe::Default) => Levels::around(image.view(), SIGMA, recipe)?,
        };
        let levels = Levels {
            low: self.low.unwrap_or(automatic.low),
            high: self.high.unwrap_or(automatic.high),
        };
        match levels.low < levels.high {
            true => Ok(levels),
            false => {
                let what = format!("the lower level {} is not below the upper level {}", levels.low, levels.high);
                Err(Error::parameter("--low, --high", what))
            }
        }
    }
}

/// A labelled frame.
pub struct Labelled {
    /// The scaled frame (h, w).
    pub frame: Array2<f64>,
    pub difference: Difference,
    pub levels: Levels,
    /// 1 in defects, else 0.
    pub map: Array2<u8>,
    /// Connected regions of the map.
    pub regions: usize,
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Labels one frame.
///
/// # Errors
/// [`Error::Parameter`] for a frame that is not there and levels that are none; what reading and the device report.
pub fn run(scan: &dyn Scan, movie: &MovieParams, params: &Params, backend: &Backend, control: &Control) -> Result<Labelled> {
    let frames = scan.info().frames();
    if params.frame >= frames {
        return Err(Error::parameter(
            "--frame",
            format!("{} of a movie of {frames} frames, counted from 0", params.frame),
        ));
    }
    let mut timings = Timings::default();
    let recipe = movie.recipe;
    let movie = Movie::open(scan, movie, backend, &mut timings, control)?;
    let frame = movie.frame_f64(params.frame, control)?;
    let difference = timings.time("filter", || difference(frame.view(), params.mask_ratio, recipe))?;
    let flat = difference.is_flat();
    let levels = match flat {
        // Nothing lies beyond them.
        true => Levels { low: 0.0, high: 1.0 },
        false => params.levels(&difference.image, recipe)?,
    };
    let map = levels.labels(difference.image.view());
    let regions = components(map.mapv(f32::from).view(), 0.5)?.len();
    let mut warnings = movie.warnings;
    warnings.extend(scan.warnings());
    let share = map.iter().filter(|&&v| v != 0).count() as f64 / map.len().max(1) as f64;
    if flat {
        warnings.push(format!(
            "frame {} is constant: there is nothing to see in it, and no pixel is labelled",
            params.frame
        ));
    } else if share == 0.0 {
        warnings.push("no pixel is labelled: choose other levels with --low and --high, or --sigma".into());
    } else if share > 0.3 {
        warnings.push(format!("{:.0} % of the frame is labelled as defects", 100.0 * share));
    }
    Ok(Labelled {
        frame,
        difference,
        levels,
        map,
        regions,
        warnings,
        timings,
    })
}

/// Writes result, figures and report into `dir` and puts it in place. `parameters` is the text of `params.toml`.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn write(
    result: &Labelled,
    scan: &dyn Scan,
    (movie, params): (&MovieParams, &Params),
    backend: &Backend,
    parameters: &str,
    dir: OutputDir,
) -> Result<PathBuf> {
    let file = dir.result()?;
    let yx = ["y", "x"];
    let meaning = "1 where the frame belongs to a defect, else 0; edit and give it to `defects train --labels`";
    file.put("defects/label_map", result.map.view(), Meta::new("", &yx, meaning))?;
    let meaning = "frame minus its high-pass, scaled to 0 ... 1 by its extremes";
    let image = result.difference.image.mapv(|v| v as f32);
    file.put("defects/difference", image.view(), Meta::new("", &yx, meaning))?;
    let frame = result.frame.mapv(|v| v as f32);
    file.put(
        "defects/frame",
        frame.view(),
        Meta::new("", &yx, "the frame, scaled by the range of the movie"),
    )?;
    let levels = arr1(&[result.levels.low, result.levels.high]);
    let meaning = "levels of the difference image below and above which pixels are labelled";
    file.put("defects/levels", levels.view(), Meta::new("", &["low_high"], meaning))?;
    let drawn = figures::label(result, params.frame, &scan.info().sig_axes[1]);
    let summary = [
        ("Frame", params.frame.to_string()),
        (
            "Levels",
            format!("below {:.4} or above {:.4}", result.levels.low, result.levels.high),
        ),
        ("Regions", result.regions.to_string()),
        ("Recipe", movie.recipe.to_string()),
    ];
    let page = output::Page {
        command: "defects label",
        title: "Labels of defects",
        scan,
        backend,
        parameters,
        timings: &result.timings,
        warnings: &result.warnings,
        summary: &summary,
        figures: drawn,
    };
    page.finish(file, dir)
}
