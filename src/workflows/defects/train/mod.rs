//! `defects train`: a network learns to label every pixel of frames as label maps do.
//!
//! Memory: 5 bytes a pixel of all patches and frames, and for each thread the activations of one patch (some 200 bytes a pixel for the published network).

mod checkpoint;
mod params;
mod patches;
mod steps;
mod write;

pub use params::{Effective, Params};
pub use write::write;

use self::checkpoint::Checkpoint;
use self::patches::examples;
use self::steps::Course;
use super::movie::{Movie, MovieParams};
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::network::train::{Adam, Contribution, IGNORED, Rates, parameters, published, with_parameters};
use crate::network::Network;
use crate::workflows::Timings;
use ndarray::Array2;
use std::path::Path;

/// Change of the loss that counts as progress.
const PROGRESS: f64 = 1e-5;

/// One epoch. NaN where nothing is validated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Weighted mean cross entropy of the patches, while the weights were changing.
    pub loss: f64,
    /// Share of the pixels whose most probable class is the label.
    pub accuracy: f64,
    /// The same of what is held back, after the epoch.
    pub val_loss: f64,
    pub val_accuracy: f64,
}

/// A trained network and how it came about.
pub struct Trained {
    /// With the weights of the best epoch, by what is held back.
    pub network: Network,
    /// Number of that epoch, from 0.
    pub best: usize,
    pub epochs: Vec<Epoch>,
    /// Height and width of the patches.
    pub patch: [usize; 2],
    /// Numbers of patches trained on and held back, and the share of each class.
    pub patches: [usize; 2],
    pub shares: Vec<f64>,
    /// Number of labelled frames; the first of them, scaled, and its labels.
    pub labelled: usize,
    pub frame: Array2<f32>,
    pub labels: Array2<u8>,
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// A movie and the labels of some of its frames.
pub struct Lesson<'a> {
    pub scan: &'a dyn Scan,
    /// Numbers of frames with the class of each of their pixels (h, w), 0 background, [`IGNORED`] for pixels that do not count.
    pub frames: Vec<(u64, Array2<u8>)>,
}

impl Lesson<'_> {
    /// Classes of the labels.
    fn check(&self) -> Result<()> {
        let info = self.scan.info();
        for (number, labels) in &self.frames {
            if *number >= info.frames() {
                let what = format!("{number} of a movie of {} frames, counted from 0", info.frames());
                return Err(Error::parameter("--frame", what));
            }
            if labels.dim() != (info.frame.height, info.frame.width) {
                let (h, w) = labels.dim();
                let what = format!(
                    "a map of {h} × {w} for frames of {} × {}",
                    info.frame.height, info.frame.width
                );
                return Err(Error::parameter("--labels", what));
            }
        }
        Ok(())
    }
}

/// Trains on labelled frames of one or several movies. `start` is a model to go on from; `resume` a file that is written after every epoch, removed at the
/// end, and taken up when it belongs to the same input and parameters (`identity`).
///
/// # Errors
/// [`Error::Parameter`] for labels that do not fit the frames or parameters that make no sense; what reading reports; [`Error::Cancelled`], after which the
/// same command goes on from the last epoch.
pub fn run(
    lessons: &[Lesson<'_>],
    start: Option<Network>,
    (movie, params): (&MovieParams, &Params),
    (resume, identity): (&Path, &str),
    backend: &Backend,
    control: &Control,
) -> Result<Trained> {
    let effective = params.effective(movie.recipe)?;
    lessons.iter().try_for_each(Lesson::check)?;
    let labels = || {
        lessons
            .iter()
            .flat_map(|l| &l.frames)
            .flat_map(|f| &f.1)
            .filter(|l| **l != IGNORED)
    };
    let classes = usize::from(labels().copied().max().unwrap_or(0)) + 1;
    if classes < 2 || !labels().any(|l| *l == 0) {
        return Err(Error::parameter(
            "--labels",
            "all pixels have the same label: there is nothing to learn",
        ));
    }
    let start = match start {
        None => published(classes, params.seed)?,
        Some(n) if n.classes() >= classes && n.inputs() == 1 => n,
        Some(n) => {
            let what = format!(
                "a network of {} classes from {} channels; the labels have {classes} classes of one image",
                n.classes(),
                n.inputs()
            );
            return Err(Error::parameter("--model", what));
        }
    };
    let (mut timings, mut warnings, mut frames) = (Timings::default(), Vec::new(), Vec::new());
    for lesson in lessons {
        let movie = Movie::open(lesson.scan, movie, backend, &mut timings, control)?;
        for (number, labels) in &lesson.frames {
            frames.push((movie.frame(*number, control)?, labels.clone()));
        }
        warnings.extend(movie.warnings);
    }
    let found = examples(&frames, &effective, &start, movie.recipe, params.seed)?;
    if effective.validation > 0.0
        && found
            .validate
            .iter()
            .all(|e| e.labels.iter().all(|l| *l == 0 || *l == IGNORED))
    {
        warnings.push("no defect lies in the part that is held back: the validation loss says little".into());
    }
    let weights: Vec<f64> = weights_of(&found.shares, effective.balance);
    let rates = Rates {
        rate: effective.rate,
        ..Rates::default()
    };
    let mut state = Checkpoint::new(parameters(&start), rates);
    if let Some(before) = checkpoint::read(resume, identity, &state.adam)? {
        log::info!("goes on after epoch {}", before.epochs.len());
        state = before;
    }
    let course = Course {
        start: &start,
        examples: &found,
        weights: &weights,
        effective: &effective,
        seed: params.seed,
        backend,
        control,
    };
    let mut place = course.place(&state, &mut warnings)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
    let total = found.train.len() as u64 * effective.epochs as u64;
    control.progress.begin("train", total, 0);
    control.progress.advance(found.train.len() as u64 * state.epochs.len() as u64);
    let trained = timings.time("train", || {
        pool.install(|| {
            while state.epochs.len() < effective.epochs && !state.is_over(effective.patience) {
                let [sum, tried] = course.epoch(&mut state, &mut place)?;
                state.take(Epoch::new(&sum, &tried, state.epochs.len()));
                checkpoint::write(resume, identity, &state)?;
            }
            Ok(())
        })
    });
    control.progress.end();
    trained?;
    let best = state.best_epoch;
    let labelled = frames.len();
    let (frame, labels) = frames.swap_remove(0);
    Ok(Trained {
        network: with_parameters(&start, &state.best)?,
        best,
        epochs: state.epochs,
        patch: found.train.first().map_or([0; 2], |e| e.size),
        patches: [found.train.len(), found.validate.len()],
        shares: found.shares,
        labelled,
        frame,
        labels,
        warnings,
        timings,
    })
}

/// Weights of classes, 1 on average over the pixels; a class without pixels gets 1.
fn weights_of(shares: &[f64], balance: f64) -> Vec<f64> {
    let plain: Vec<f64> = shares.iter().map(|s| if *s > 0.0 { s.powf(-balance) } else { 1.0 }).collect();
    let mean: f64 = plain.iter().zip(shares).map(|(w, s)| w * s).sum();
    plain.iter().map(|w| w / mean).collect()
}

impl Epoch {
    fn new(sum: &Contribution, tried: &Contribution, number: usize) -> Self {
        let mean = |c: &Contribution| (c.loss / c.weight, c.right as f64 / c.pixels as f64);
        let ((loss, accuracy), (val_loss, val_accuracy)) = (mean(sum), mean(tried));
        log::info!(
            "epoch {}: loss {loss:.5}, accuracy {accuracy:.5}, held back {val_loss:.5}, {val_accuracy:.5}",
            number + 1
        );
        Epoch {
            loss,
            accuracy,
            val_loss,
            val_accuracy,
        }
    }
}

impl Checkpoint {
    fn new(weights: Vec<f32>, rates: Rates) -> Self {
        Checkpoint {
            adam: Adam::new(weights.len(), rates),
            best: weights.clone(),
            weights,
            best_epoch: 0,
            epochs: Vec::new(),
        }
    }
    /// What an epoch is judged by.
    fn judged(e: &Epoch) -> f64 {
        if e.val_loss.is_nan() { e.loss } else { e.val_loss }
    }
    fn take(&mut self, now: Epoch) {
        let better = self
            .epochs
            .get(self.best_epoch)
            .is_none_or(|b| Self::judged(&now) < Self::judged(b) - PROGRESS);
        self.epochs.push(now);
        if better {
            self.best_epoch = self.epochs.len() - 1;
            self.best.clone_from(&self.weights);
        }
    }
    fn is_over(&self, patience: usize) -> bool {
        patience > 0 && self.epochs.len() > self.best_epoch + patience
    }
}
