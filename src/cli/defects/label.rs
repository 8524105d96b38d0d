//! `emstream defects label`

use super::{MovieArgs, open};
use crate::cli::place::Place;
use crate::cli::scan::ScanArgs;
use crate::cli::session::Session;
use crate::cli::set;
use emstream::workflows::defects::MovieParams;
use emstream::workflows::defects::label::{self, Params};
use emstream::{Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Label the defects of one frame by filtering its lattice away, to train a network with
#[derive(clap::Args)]
pub struct Args {
    /// A movie: DM3, DM4, TIFF, HDF5 or any other scan
    movie: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The frame to label, from 0 [default: 0]
    #[arg(long, value_name = "N")]
    frame: Option<u64>,
    /// Frequencies below 1/R cycles a pixel are filtered [default: 10]
    #[arg(long, value_name = "R")]
    mask_ratio: Option<f64>,
    /// Pixels of the difference image (0 to 1) below this are defects [default: by --sigma; 0.25 in the published recipe]
    #[arg(long, value_name = "L")]
    low: Option<f64>,
    /// Pixels above this are, too [default: by --sigma; 0.75 in the published recipe]
    #[arg(long, value_name = "H")]
    high: Option<f64>,
    /// Levels K robust standard deviations from the median [default: 3.5]
    #[arg(long, value_name = "K")]
    sigma: Option<f64>,
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
    label: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut file: ParamsFile = args.place.parameters()?;
    file.scan = args.how.or(file.scan);
    args.scale.apply(&mut file.movie)?;
    let p = &mut file.label;
    set(&mut p.frame, args.frame);
    set(&mut p.mask_ratio, args.mask_ratio);
    p.low = args.low.or(p.low);
    p.high = args.high.or(p.high);
    p.sigma = args.sigma.or(p.sigma);

    let dir = args.place.folder(session)?;
    let scan = open(&file.scan, &args.movie, session)?;
    let backend = session.backend()?;
    let result = label::run(&*scan, &file.movie, &file.label, &backend, &session.control)?;
    for w in &result.warnings {
        log::warn!("{}: {w}", args.movie.display());
    }
    let effective = workflows::to_toml(&file)?;
    let folder = label::write(&result, &*scan, (&file.movie, &file.label), &backend, &effective, dir)?;
    let share = 100.0 * result.map.iter().filter(|&&v| v != 0).count() as f64 / result.map.len() as f64;
    said!(
        session,
        "{} regions, {share:.1} % of frame {}; {}",
        result.regions,
        file.label.frame,
        folder.join("report.html").display()
    );
    Ok(())
}
