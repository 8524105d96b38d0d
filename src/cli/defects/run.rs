//! `emstream defects run`: every step in one command.

use super::detect::DetectFlags;
use super::{MovieArgs, classify, open, track};
use crate::cli::place::Place;
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use crate::cli::{arrays, set};
use emstream::engine::Backend;
use emstream::io::Scan;
use emstream::io::keras::{self, Model};
use emstream::io::results::{Input, OutputDir};
use emstream::workflows::defects::train::{self, Lesson};
use emstream::workflows::defects::{self as steps, MovieParams, detect, label, whole};
use emstream::{Error, Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Find, classify and follow defects: all steps, one report
#[derive(clap::Args)]
pub struct Args {
    /// A movie: DM3, DM4, TIFF, HDF5 or any other scan
    movie: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Train a network first, on this label map of one frame (result.h5 of `defects label`, or an image), or on labels found as by `defects label`
    #[arg(long, value_name = "FILE|auto")]
    labels: Option<PathBuf>,
    /// The frame that is labelled, from 0 [default: 0]
    #[arg(long, value_name = "N")]
    frame: Option<u64>,
    /// Times that all patches of it are learnt from, at most [default: 80; published: 50]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    #[command(flatten)]
    detect: DetectFlags,
    /// Seed of all random numbers [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    classify: classify::ClassifyFlags,
    #[command(flatten)]
    track: track::TrackFlags,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    train: Option<train::Params>,
    detect: detect::Params,
    classify: steps::classify::Params,
    track: steps::track::Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    file.scan = args.how.or(file.scan);
    let mut p = whole::Params {
        movie: file.movie,
        detect: file.detect,
        classify: file.classify,
        track: file.track,
    };
    args.scale.apply(&mut p.movie)?;
    args.detect.apply(&mut p.detect)?;
    args.classify.apply(&mut p.classify);
    args.track.apply(&mut p.track);
    set(&mut p.classify.seed, args.seed);
    set(&mut p.track.seed, args.seed);
    p.settle()?;
    let mut lesson = file.train;
    if let Some(labels) = args.labels {
        lesson.get_or_insert_default().labels = vec![labels];
    }
    if let Some(l) = &mut lesson {
        l.frame = args.frame.map_or(std::mem::take(&mut l.frame), |f| vec![f]);
        l.epochs = args.epochs.or(l.epochs);
        l.seed = args.seed.unwrap_or(l.seed);
        l.effective(p.movie.recipe)?;
        if p.detect.model.is_some() {
            return Err(Error::parameter(
                "--labels",
                "a network is given with --model already: train with `emstream defects train`",
            ));
        }
    } else if args.frame.is_some() || args.epochs.is_some() {
        return Err(Error::parameter(
            "--frame, --epochs",
            "they belong to a training, which needs --labels",
        ));
    }
    let start = classify::start(p.classify.start.as_deref())?;

    let dir = args.place.folder(session)?;
    let model = p.detect.model.as_deref().map(keras::read_model).transpose()?;
    let scan = open(&file.scan, &args.movie, session)?;
    let backend = session.backend()?;
    let effective = workflows::to_toml(&ParamsFile {
        scan: file.scan,
        train: lesson.clone(),
        movie: p.movie.clone(),
        detect: p.detect.clone(),
        classify: p.classify.clone(),
        track: p.track.clone(),
    })?;
    let part = args.place.beside(".train.part");
    let model = match (model, &lesson) {
        (Some(model), _) => model,
        (None, Some(l)) => {
            let movie = (&*scan, &args.movie, &p.movie);
            learn(movie, l, (&part, &effective), &dir, &backend, session)?
        }
        (None, None) => steps::default_model(scan.info())?,
    };
    let input = whole::Input {
        scan: &*scan,
        model: &model,
        start: start.as_deref(),
    };
    let done = whole::run(input, &p, (&effective, dir), &backend, &session.control)?;
    if lesson.is_some()
        && let Err(e) = std::fs::remove_file(&part)
    {
        log::debug!("{}: {e}", part.display());
    }
    for w in &done.warnings {
        log::warn!("{}: {w}", args.movie.display());
    }
    said!(
        session,
        "{} defects in {} frames, {} classes, {} tracks; {}",
        done.detections,
        done.frames,
        done.classes,
        done.tracks,
        done.folder.join("report.html").display()
    );
    Ok(())
}

/// Trains a network on one frame and keeps it as `model.h5` in the output folder. What is learnt so far lies in `part`.
fn learn(
    (scan, path, movie): (&dyn Scan, &PathBuf, &MovieParams),
    lesson: &train::Params,
    (part, effective): (&Path, &str),
    dir: &OutputDir,
    backend: &Backend,
    session: &Session,
) -> Result<Model> {
    let [labels] = &lesson.labels[..] else {
        return Err(Error::parameter("--labels", "one label map is needed"));
    };
    let numbers = lesson.frames().to_vec();
    let mut prints = vec![Input::of(path)?.fingerprint];
    let maps = if labels.as_os_str() == "auto" {
        let label = |&frame: &u64| {
            let params = label::Params {
                frame,
                ..label::Params::default()
            };
            label::run(scan, movie, &params, backend, &session.control).map(|l| l.map)
        };
        numbers.iter().map(label).collect::<Result<Vec<_>>>()?
    } else {
        prints.push(Input::of(labels)?.fingerprint);
        arrays::class_maps(labels, &numbers)?
    };
    let lessons = [Lesson {
        scan,
        frames: numbers.into_iter().zip(maps).collect(),
    }];
    let identity = format!("{effective}\n{}\n{}", prints.join("\n"), env!("CARGO_PKG_VERSION"));
    let trained = train::run(&lessons, None, (movie, lesson), (part, &identity), backend, &session.control)?;
    keras::write_model(&dir.path().join("model.h5"), &trained.network, trained.patch, false)?;
    let mut notes = trained.warnings;
    let last = trained.epochs.len();
    notes.push(format!(
        "the network was trained first, {last} epochs, the best is number {}: model.h5",
        trained.best + 1
    ));
    Ok(Model {
        network: trained.network,
        trained_on: Some(trained.patch),
        notes,
    })
}
