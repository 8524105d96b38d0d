//! `emstream defects run`: every step in one command.

use super::{MovieArgs, classify, track};
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use crate::cli::{params, set};
use emstream::io::keras;
use emstream::io::results::OutputDir;
use emstream::workflows::defects::{self as steps, MovieParams, detect, whole};
use emstream::{Error, Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Find, classify and follow defects: all steps, one report
#[derive(clap::Args)]
pub struct Args {
    movie: PathBuf,
    /// Output folder: result.h5, params.toml, figures, report.html
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    /// The network: a model of Keras (.h5, .keras), or weights of one (.h5)
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Pixels with a higher probability belong to defects [default: 0.5]
    #[arg(long, value_name = "P")]
    threshold: Option<f32>,
    /// Smallest area of a defect in pixels [default: 5]
    #[arg(long, value_name = "PX")]
    min_area: Option<u32>,
    /// Largest area of a defect in pixels [default: 700]
    #[arg(long, value_name = "PX")]
    max_area: Option<u32>,
    /// Side of the window cut out around each defect, in pixels [default: 32]
    #[arg(long, value_name = "PX")]
    window: Option<usize>,
    /// Frames A to B, counted from 0, B not included [default: all]
    #[arg(long, value_name = "A..B")]
    frames: Option<String>,
    /// Frames to show in figures [default: four over the movie]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    show_frames: Vec<u64>,
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
    detect: detect::Params,
    classify: steps::classify::Params,
    track: steps::track::Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = params::read(args.params.as_deref())?;
    file.scan = args.how.or(file.scan);
    let mut p = whole::Params {
        movie: file.movie,
        detect: file.detect,
        classify: file.classify,
        track: file.track,
    };
    args.scale.apply(&mut p.movie)?;
    let d = &mut p.detect;
    d.model = args.model.or(d.model.take());
    set(&mut d.threshold, args.threshold);
    set(&mut d.min_area, args.min_area);
    set(&mut d.max_area, args.max_area);
    set(&mut d.window, args.window);
    if let Some(text) = &args.frames {
        d.frames = Some(super::detect::range(text)?);
    }
    if !args.show_frames.is_empty() {
        d.show_frames = args.show_frames;
    }
    args.classify.apply(&mut p.classify);
    args.track.apply(&mut p.track);
    set(&mut p.classify.seed, args.seed);
    set(&mut p.track.seed, args.seed);
    p.settle()?;
    let start = classify::start(p.classify.start.as_deref())?;

    let dir = OutputDir::create(&args.output, session.overwrite)?;
    let model = p.detect.model.as_deref().map(keras::read_model).transpose()?;
    let (scan, _) = file.scan.open(&args.movie, session)?;
    let model = model.ok_or_else(|| Error::parameter("--model", "a network is needed"))?;
    let backend = session.backend()?;
    let effective = workflows::to_toml(&ParamsFile {
        scan: file.scan,
        movie: p.movie.clone(),
        detect: p.detect.clone(),
        classify: p.classify.clone(),
        track: p.track.clone(),
    })?;
    let input = whole::Input {
        scan: &*scan,
        model: &model,
        start: start.as_deref(),
    };
    let done = whole::run(input, &p, (&effective, dir), &backend, &session.control)?;
    for w in &done.warnings {
        log::warn!("{}: {w}", args.movie.display());
    }
    println!(
        "{} defects in {} frames, {} classes, {} tracks; {}",
        done.detections,
        done.frames,
        done.classes,
        done.tracks,
        done.folder.join("report.html").display()
    );
    Ok(())
}
