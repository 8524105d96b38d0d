//! `emstream defects train`

use super::{MovieArgs, open};
use crate::cli::arrays;
use crate::cli::place::Place;
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use emstream::io::keras;
use emstream::io::results::Input;
use emstream::workflows::defects::MovieParams;
use emstream::workflows::defects::train::{self, Lesson, Params};
use emstream::{Error, Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Train a network to label defects, from labelled frames: model.h5 of Keras; goes on where it was stopped
#[derive(clap::Args)]
pub struct Args {
    /// One or several movies
    #[arg(required = true, value_name = "MOVIE")]
    movies: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Class of every pixel: result.h5 of `defects label`, .npy, .tif, .png (0 background; 255 alone counts as 1), or the truth of `simulate ws2`;
    /// once for each movie, in their order
    #[arg(long, value_name = "FILE")]
    labels: Vec<PathBuf>,
    /// Go on from this model instead of random weights
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The frames that are labelled, from 0; several need label maps of all frames [default: 0]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    frame: Vec<u64>,
    /// Side of the patches in pixels [default: 128; published: 256]
    #[arg(long, value_name = "PX")]
    patch: Option<usize>,
    /// From one patch to the next in pixels [default: 32; published: 8]
    #[arg(long, value_name = "PX")]
    step: Option<usize>,
    /// Times that all patches are learnt from, at most [default: 80; published: 50]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Patches of one change of the weights [default: 8; published: 32]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed of the first weights and of the order [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Share of the frame (published: of the patches) that only tells when to stop [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    validation: Option<f64>,
    /// Epochs without progress after which training ends, 0 never [default: 40; published: 0]
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Turn and mirror patches at random [default: true; published: false]
    #[arg(long, value_name = "true|false")]
    augment: Option<bool>,
    /// Rare classes count more: weight (share of the class)^−X [default: 0.25; published: 0]
    #[arg(long, value_name = "X")]
    balance: Option<f64>,
    /// Rate at which weights change [default: 0.001]
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    #[command(flatten)]
    scale: MovieArgs,
    #[command(flatten)]
    how: ScanArgs,
}

/// A parameter file: how the movie was read, and what was done.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    scan: ScanArgs,
    movie: MovieParams,
    train: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    file.scan = args.how.or(file.scan);
    args.scale.apply(&mut file.movie)?;
    let p = &mut file.train;
    if !args.labels.is_empty() {
        p.labels = args.labels;
    }
    p.model = args.model.or(p.model.take());
    if !args.frame.is_empty() {
        p.frame = args.frame;
    }
    p.patch = args.patch.or(p.patch);
    p.step = args.step.or(p.step);
    p.epochs = args.epochs.or(p.epochs);
    p.batch = args.batch.or(p.batch);
    p.seed = args.seed.unwrap_or(p.seed);
    p.validation = args.validation.or(p.validation);
    p.patience = args.patience.or(p.patience);
    p.augment = args.augment.or(p.augment);
    p.balance = args.balance.or(p.balance);
    p.rate = args.rate.or(p.rate);
    p.effective(file.movie.recipe)?;

    let movies = &args.movies;
    if p.labels.len() != movies.len() {
        let what = match p.labels.len() {
            0 => "a label map is needed: result.h5 of `emstream defects label`, or an image".to_owned(),
            n => format!("{n} files for {} movies: one for each is needed", movies.len()),
        };
        return Err(Error::parameter("--labels", what));
    }
    let (numbers, of_labels) = (p.frames().to_vec(), p.labels.clone());
    let maps = of_labels.iter().map(|f| arrays::class_maps(f, &numbers));
    let maps: Vec<Vec<_>> = maps.collect::<Result<_>>()?;
    let dir = args.place.folder(session)?;
    let start = p.model.as_deref().map(keras::read_model).transpose()?.map(|m| m.network);
    let scans = movies.iter().map(|m| open(&file.scan, m, session));
    let scans: Vec<_> = scans.collect::<Result<_>>()?;
    let lessons: Vec<Lesson<'_>> = scans
        .iter()
        .zip(maps)
        .map(|(scan, maps)| Lesson {
            scan: &**scan,
            frames: numbers.iter().copied().zip(maps).collect(),
        })
        .collect();
    let backend = session.backend()?;
    let effective = workflows::to_toml(&file)?;
    // A training belongs to its input, its labels and its parameters.
    let of = |path: &PathBuf| Input::of(path).map(|i| i.fingerprint);
    let files = movies.iter().chain(&file.train.labels).chain(&file.train.model);
    let prints: Vec<String> = files.map(of).collect::<Result<_>>()?;
    let identity = format!("{effective}\n{}\n{}", prints.join("\n"), env!("CARGO_PKG_VERSION"));
    let resume = args.place.beside(".train.part");
    let what = (&file.movie, &file.train);
    let trained = train::run(&lessons, start, what, (&resume, &identity), &backend, &session.control)?;
    for w in &trained.warnings {
        log::warn!("{w}");
    }
    let folder = train::write(&trained, lessons[0].scan, what, (&backend, &effective), dir, &session.control)?;
    if let Err(e) = std::fs::remove_file(&resume) {
        log::debug!("{}: {e}", resume.display());
    }
    said!(
        session,
        "{} epochs, the best is number {}; {}",
        trained.epochs.len(),
        trained.best + 1,
        folder.join("report.html").display()
    );
    Ok(())
}
