//! `emstream defects detect`

use super::{MovieArgs, open};
use crate::cli::place::Place;
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use crate::cli::set;
use clap::ValueEnum;
use emstream::io::keras;
use emstream::workflows::defects::detect::{self, Drift, Params};
use emstream::workflows::defects::{self, MovieParams};
use emstream::{Error, Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Find the defects of every frame with a network
#[derive(clap::Args)]
pub struct Args {
    /// A movie: DM3, DM4, TIFF, HDF5 or any other scan
    movie: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    detect: DetectFlags,
    /// Cut frames into separate patches of the size that the model was trained on, as the published notebook does
    #[arg(long)]
    patch_exact: bool,
    /// Store the probabilities of all frames in the result
    #[arg(long)]
    save_probability: bool,
    /// Measure how the specimen drifts from frame to frame [default: measured]
    #[arg(long, value_enum)]
    drift: Option<DriftArg>,
    #[command(flatten)]
    scale: MovieArgs,
    #[command(flatten)]
    how: ScanArgs,
}

/// Flags of the detection, alone or as one step of several.
#[derive(clap::Args)]
pub(super) struct DetectFlags {
    /// The network: a model of Keras (.h5, .keras), or weights of one (.h5) [default: one trained on simulated movies of WS2]
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
}

impl DetectFlags {
    pub(super) fn apply(self, p: &mut Params) -> Result<()> {
        p.model = self.model.or(p.model.take());
        set(&mut p.threshold, self.threshold);
        set(&mut p.min_area, self.min_area);
        set(&mut p.max_area, self.max_area);
        set(&mut p.window, self.window);
        if let Some(text) = &self.frames {
            p.frames = Some(range(text)?);
        }
        if !self.show_frames.is_empty() {
            p.show_frames = self.show_frames;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DriftArg {
    None,
    Measured,
}

/// A parameter file: how the movie was read, and what was done.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    scan: ScanArgs,
    movie: MovieParams,
    detect: Params,
}

/// `A..B`, either end may be missing.
fn range(text: &str) -> Result<[u64; 2]> {
    let wrong = || Error::parameter("--frames", format!("'{text}' is no range like 0..20"));
    let (a, b) = text.split_once("..").ok_or_else(wrong)?;
    let number = |t: &str| t.trim().parse::<u64>().map_err(|_| wrong());
    Ok([number(a)?, number(b)?])
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    file.scan = args.how.or(file.scan);
    args.scale.apply(&mut file.movie)?;
    let p = &mut file.detect;
    args.detect.apply(p)?;
    p.patch_exact |= args.patch_exact;
    p.save_probability |= args.save_probability;
    let drift = args.drift.map(|d| match d {
        DriftArg::None => Drift::None,
        DriftArg::Measured => Drift::Measured,
    });
    set(&mut p.drift, drift);

    let dir = args.place.folder(session)?;
    let model = file.detect.model.as_deref().map(keras::read_model).transpose()?;
    let scan = open(&file.scan, &args.movie, session)?;
    let model = match model {
        Some(m) => m,
        None => defects::default_model(scan.info())?,
    };
    let backend = session.backend()?;
    let result = dir.result()?;
    let what = (&file.movie, &file.detect);
    let found = detect::run(&*scan, &model, what, &dir, &result, &backend, &session.control)?;
    for w in &found.warnings {
        log::warn!("{}: {w}", args.movie.display());
    }
    let effective = workflows::to_toml(&file)?;
    let folder = detect::write(&found, &*scan, &model, what, (&backend, &effective), result, dir)?;
    said!(
        session,
        "{} defects in {} frames; {}",
        found.detections.len(),
        found.counts.len(),
        folder.join("report.html").display()
    );
    Ok(())
}
