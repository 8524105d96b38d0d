//! `defects train`: a network learns to label every pixel of a frame as a label map does.
//!
//! Memory: 4 bytes a pixel of all patches, and for each thread the activations of one patch (some 400 bytes a pixel for the published network).

mod checkpoint;
mod params;
mod patches;
mod write;

pub use params::{Effective, Params};
pub use write::write;

use self::checkpoint::Checkpoint;
use self::patches::{Examples, examples, order, turned};
use super::movie::{Movie, MovieParams};
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::kernels::network::train::{Adam, Contribution, Passes, Rates, batch, parameters, published, with_parameters};
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
    /// The scaled frame and its labels.
    pub frame: Array2<f32>,
    pub labels: Array2<u8>,
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Trains on one frame of a movie. `start` is a model to go on from; `resume` a file that is written after every epoch, removed at the end, and taken up
/// when it belongs to the same input and parameters (`identity`).
///
/// # Errors
/// [`Error::Parameter`] for labels that do not fit the frame or parameters that make no sense; what reading reports; [`Error::Cancelled`], after which the
/// same command goes on from the last epoch.
pub fn run(
    scan: &dyn Scan,
    labels: Array2<u8>,
    start: Option<Network>,
    (movie, params): (&MovieParams, &Params),
    (resume, identity): (&Path, &str),
    backend: &Backend,
    control: &Control,
) -> Result<Trained> {
    let shape = scan.info().frame;
    let effective = params.effective(movie.recipe)?;
    if params.frame >= scan.info().frames() {
        let what = format!(
            "{} of a movie of {} frames, counted from 0",
            params.frame,
            scan.info().frames()
        );
        return Err(Error::parameter("--frame", what));
    }
    if labels.dim() != (shape.height, shape.width) {
        let (h, w) = labels.dim();
        let what = format!("a map of {h} × {w} for frames of {} × {}", shape.height, shape.width);
        return Err(Error::parameter("--labels", what));
    }
    let classes = usize::from(labels.iter().copied().max().unwrap_or(0)) + 1;
    if classes < 2 || !labels.iter().any(|l| *l == 0) {
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
    let mut timings = Timings::default();
    let recipe = movie.recipe;
    let movie = Movie::open(scan, movie, backend, &mut timings, control)?;
    let frame = movie.frame(params.frame, control)?;
    let found = examples(
        &frame,
        &labels,
        &effective,
        start.classes(),
        start.multiple(),
        recipe,
        params.seed,
    )?;
    let mut warnings = movie.warnings.clone();
    if matches!(backend, Backend::Gpu(_)) {
        warnings.push("training runs on the CPU: its kernels have no GPU side yet".into());
    }
    if effective.validation > 0.0
        && found.validate.iter().all(|e| {
            e.labels
                .iter()
                .all(|l| *l == 0 || *l == crate::kernels::network::train::IGNORED)
        })
    {
        warnings.push("no defect lies in the part that is held back: the validation loss says little".into());
    }
    let weights: Vec<f64> = weights_of(&found.shares, effective.balance);
    let mut state = Checkpoint::new(parameters(&start));
    if let Some(before) = checkpoint::read(resume, identity, start.parameters())? {
        log::info!("goes on after epoch {}", before.epochs.len());
        state = before;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
    let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
    let total = found.train.len() as u64 * effective.epochs as u64;
    control.progress.begin("train", total, 0);
    control.progress.advance(found.train.len() as u64 * state.epochs.len() as u64);
    let trained = timings.time("train", || {
        pool.install(|| {
            while state.epochs.len() < effective.epochs && !state.is_over(effective.patience) {
                epoch(&start, &found, &weights, &effective, params.seed, &mut state, control)?;
                checkpoint::write(resume, identity, &state)?;
            }
            Ok(())
        })
    });
    control.progress.end();
    trained?;
    let best = state.best_epoch;
    Ok(Trained {
        network: with_parameters(&start, &state.best)?,
        best,
        epochs: state.epochs,
        patch: found.train.first().map_or([0; 2], |e| e.size),
        patches: [found.train.len(), found.validate.len()],
        shares: found.shares,
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

/// All patches once, then what is held back.
fn epoch(
    start: &Network,
    examples: &Examples,
    weights: &[f64],
    e: &Effective,
    seed: u64,
    state: &mut Checkpoint,
    control: &Control,
) -> Result<()> {
    let number = state.epochs.len();
    let (mut sum, mut network) = (Contribution::default(), with_parameters(start, &state.weights)?);
    for chosen in order(examples.train.len(), seed, number, e.augment).chunks(e.batch) {
        control.check()?;
        let now: Vec<_> = chosen.iter().map(|&(i, how)| turned(&examples.train[i], how)).collect();
        let mut found = batch(&Passes::new(&network)?, &now, weights, true)?;
        let size = found.weight.max(f64::MIN_POSITIVE);
        found.gradient.iter_mut().for_each(|g| *g /= size);
        state.adam.step(&mut state.weights, &found.gradient);
        found.gradient.clear();
        sum.add(&found);
        network = with_parameters(start, &state.weights).map_err(|_| {
            Error::parameter(
                "train",
                format!(
                    "weights grew beyond all bounds in epoch {}: the frame or its labels are unusual",
                    number + 1
                ),
            )
        })?;
        control.progress.advance(now.len() as u64);
    }
    let passes = Passes::new(&network)?;
    let tried = batch(&passes, &examples.validate, weights, false)?;
    let mean = |c: &Contribution| (c.loss / c.weight, c.right as f64 / c.pixels as f64);
    let ((loss, accuracy), (val_loss, val_accuracy)) = (mean(&sum), mean(&tried));
    let now = Epoch {
        loss,
        accuracy,
        val_loss,
        val_accuracy,
    };
    log::info!(
        "epoch {}: loss {loss:.5}, accuracy {accuracy:.5}, held back {val_loss:.5}, {val_accuracy:.5}",
        number + 1
    );
    state.take(now);
    Ok(())
}

impl Checkpoint {
    fn new(weights: Vec<f32>) -> Self {
        Checkpoint {
            adam: Adam::new(weights.len(), Rates::default()),
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
