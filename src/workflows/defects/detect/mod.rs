//! `defects detect`: a network marks defects in every frame; each connected region becomes a detection, with a window around it.

mod drifting;
mod ending;
mod kinds;
mod params;
mod run;
mod sink;
mod write;

pub use params::{Drift, Params};
pub use write::{figures, put, write};

use self::sink::Sink;
use super::animation::Animation;
use super::detected::frame_axis;
use super::extremes::RARE;
use super::figures::markers;
use super::inference::{Inference, Tiling};
use super::movie::{Movie, MovieParams};
use crate::analysis::Recipe;
use crate::analysis::components::components;
use crate::analysis::drift;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::keras::Model;
use crate::io::results::{OutputDir, ResultFile};
use crate::report;
use crate::workflows::Timings;
use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// Size of patches where neither the model nor the user says one.
const PATCH: usize = 256;

/// One defect in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    pub frame: u64,
    /// Centre of mass in pixels. By the published recipe every pixel counts the same, else by how far its probability exceeds the threshold.
    pub y: f64,
    pub x: f64,
    /// Pixels above the threshold.
    pub area: u32,
    /// Largest probability.
    pub peak: f32,
    /// It has a window: the window lies inside the frame.
    pub kept: bool,
    /// First row and column of the window, where there is one.
    pub corner: [usize; 2],
}

/// A frame for figures.
pub struct Shown {
    pub frame: u64,
    /// Scaled frame (h, w).
    pub image: Array2<f32>,
    /// Probability of a defect (h, w).
    pub probability: Array2<f32>,
    pub found: Vec<Detection>,
}

/// What was found, without what has gone to the result file already.
pub struct Found {
    pub detections: Vec<Detection>,
    /// Frame, detections, detections with window.
    pub counts: Vec<(u64, usize, usize)>,
    /// Displacement (y, x) of each frame against the first, in pixels.
    pub drift: Vec<[f64; 2]>,
    pub shown: Vec<Shown>,
    /// Scale, and values that became 0 and 1.
    pub scale: [f64; 3],
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Probability of a defect (h, w) from probabilities (h, classes, w): that of class 1 of two, everything but class 0 of more, the only one of one.
pub fn defect_probability(probabilities: &Array3<f32>) -> Array2<f32> {
    match probabilities.dim().1 {
        1 => probabilities.index_axis(Axis(1), 0).to_owned(),
        2 => probabilities.index_axis(Axis(1), 1).to_owned(),
        _ => probabilities.index_axis(Axis(1), 0).mapv(|v| 1.0 - v),
    }
}

/// Finds defects; windows, and probabilities if asked for, go to `file` as they are found. A frame in work takes the network's activations (about 70
/// bytes a pixel for the published one) and 16 bytes a pixel, in each thread; a detection takes 64 bytes.
///
/// # Errors
/// [`Error::Parameter`], also for a network whose output cannot be probabilities; [`Error::Memory`]; what reading, the device and the disk report.
pub fn run(
    scan: &dyn Scan,
    model: &Model,
    (movie, params): (&MovieParams, &Params),
    dir: &OutputDir,
    file: &ResultFile,
    backend: &Backend,
    control: &Control,
) -> Result<Found> {
    let frame = scan.info().frame;
    let size = [frame.height, frame.width];
    params.check(size)?;
    let range = params.range(scan.info().frames())?;
    if let Some(f) = params.show_frames.iter().find(|f| !range.contains(f)) {
        return Err(Error::parameter(
            "--show-frames",
            format!("{f} is not among frames {} to {}", range.start, range.end - 1),
        ));
    }
    let (network, added) = ending::probabilities(&model.network)?;
    let network = Arc::new(network);
    let tiling = match params.patch_exact || movie.recipe == Recipe::Published {
        true => Tiling::Patches(model.trained_on.map_or(PATCH, |s| s[0])),
        false => Tiling::Seamless,
    };
    let inference = Inference::new(network.clone(), size, tiling, control.threads, control.memory / 2)?;
    let mut timings = Timings::default();
    let recipe = movie.recipe;
    let movie = Movie::open(scan, movie, backend, &mut timings, control)?;
    let time = frame_axis(scan.info());
    let time = time.scale.map(|s| (s, time.unit));
    let animation = Animation::new(range.clone(), movie.frame_f64(range.start, control)?.view(), time);
    let animated = animation.create(&dir.path().join("figures/movie.png"))?;
    let mut sink = Sink::new(params, &range, &network, size, animated, file)?;
    sink.warnings.extend(model.notes.iter().cloned());
    sink.warnings.extend(added);
    sink.warnings.extend(movie.warnings.iter().cloned());
    let total = range.end - range.start;
    control.progress.begin("detect", total, total * frame.bytes() as u64);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
    let batch = 2 * control.threads.max(1) as u64;
    let begun = std::time::Instant::now();
    let work = || -> Result<()> {
        for first in range.clone().step_by(batch as usize) {
            control.check()?;
            let numbers: Vec<u64> = (first..(first + batch).min(range.end)).collect();
            scan.prefetch(first..(first + 2 * batch).min(range.end));
            let images: Vec<Array2<f32>> = numbers.par_iter().map(|&n| movie.frame(n, control)).collect::<Result<_>>()?;
            let probabilities = inference.run(&images, backend)?;
            let results: Vec<Analysed> = numbers
                .into_par_iter()
                .zip(images)
                .zip(probabilities)
                .map(|((n, image), p)| analyse(n, image, p, params, recipe, &animation))
                .collect::<Result<_>>()?;
            for result in results {
                sink.take(result)?;
                control.progress.advance(1);
            }
        }
        Ok(())
    };
    let result = pool.install(work);
    control.progress.end();
    result?;
    timings.steps.push(crate::io::results::Timing {
        step: "detect".into(),
        seconds: begun.elapsed().as_secs_f64(),
        frames: total,
        bytes: total * frame.bytes() as u64,
        ..Default::default()
    });
    let mut found = sink.finish()?;
    found.scale = [movie.scale, movie.low, movie.high];
    found.warnings.extend(scan.warnings());
    if found.detections.is_empty() {
        let help = match params.threshold {
            // Every pixel lies above it: the whole frame is one region.
            0.0 => "raise --threshold: above 0 regions grow together, beyond --max-area",
            _ => "lower --threshold or --min-area, or check that the model suits this movie",
        };
        found.warnings.push(format!("no defect was found: {help}"));
    }
    found.timings = timings;
    Ok(found)
}

/// A frame in which pixels beyond the range are NaN, if they are few: each counts as the mean then. The range leaves them out for standing alone, and a single one,
/// such as a cosmic ray or a stuck pixel, can hold more contrast than all others. Where many lie beyond it, the range is someone else's and says nothing about them.
fn within(image: &Array2<f32>) -> Cow<'_, Array2<f32>> {
    let beyond = |v: &f32| v.is_finite() && !(0.0..=1.0).contains(v);
    match image.iter().filter(|v| beyond(v)).count() {
        0 => Cow::Borrowed(image),
        n if n > image.len().div_ceil(RARE) => Cow::Borrowed(image),
        _ => Cow::Owned(image.mapv(|v| if beyond(&v) { f32::NAN } else { v })),
    }
}

/// One frame, done.
struct Analysed {
    frame: u64,
    image: Array2<f32>,
    /// (h, classes, w).
    probabilities: Array3<f32>,
    defect: Array2<f32>,
    found: Vec<Detection>,
    /// All its pixels are alike: nothing was looked for.
    constant: bool,
    spectrum: Option<drift::Spectrum>,
    /// For the movie of results.
    picture: Option<report::Picture>,
}

fn analyse(
    frame: u64,
    image: Array2<f32>,
    probabilities: Array3<f32>,
    params: &Params,
    recipe: Recipe,
    animation: &Animation,
) -> Result<Analysed> {
    let defect = defect_probability(&probabilities);
    let (h, w) = image.dim();
    // A lost frame, or one without a single number: what the network makes of its edges is no defect.
    let first = image.first().copied().unwrap_or_default();
    let constant = recipe == Recipe::Default && image.iter().all(|v| *v == first);
    let found = match constant {
        true => Vec::new(),
        false => components(defect.view(), params.threshold)?,
    };
    let found = found.into_iter().filter(|c| params.area_counts(c.area, recipe)).map(|c| {
        let centre = match recipe {
            Recipe::Default => c.weighted,
            Recipe::Published => c.centre,
        };
        let corner = params.corner(centre, [h, w], recipe);
        Detection {
            frame,
            y: centre[0],
            x: centre[1],
            area: c.area,
            peak: c.peak,
            kept: corner.is_some(),
            corner: corner.unwrap_or_default(),
        }
    });
    let found: Vec<Detection> = found.collect();
    let picture = match animation.shows(frame) {
        true => Some(animation.draw(frame, image.mapv(f64::from).view(), &markers(&found), found.len())?),
        false => None,
    };
    let spectrum = (params.drift == Drift::Measured).then(|| match recipe {
        Recipe::Default => drift::spectrum(within(&image).view()),
        Recipe::Published => drift::spectrum(image.view()),
    });
    Ok(Analysed {
        frame,
        image,
        probabilities,
        defect,
        found,
        constant,
        spectrum,
        picture,
    })
}
