//! `emstream ebsd background`

use super::{Files, Reads, effective, open_map};
use crate::cli::arrays;
use crate::cli::scan::{ScanArgs, report_warnings};
use crate::cli::session::Session;
use crate::cli::set;
use emstream::Result;
use emstream::io::array::save_npy;
use emstream::workflows::ebsd::background::{self, Params};
use std::path::{Path, PathBuf};

/// What is in the static background: smooth and fine parts, histogram, bad pixels, residual bands, asymmetry
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Static background: an image, or `mean` for the mean pattern of the map [default: what the input holds, else the mean]
    #[arg(long, value_name = "FILE|mean")]
    background: Option<String>,
    /// Standard deviation of the low-pass that is the smooth part, in pixels [default: width / 25]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    sigma: Option<f64>,
    /// Pixels this many times the usual spread away from their neighbourhood are bad [default: 6]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    factor: Option<f64>,
    /// Also write the bad pixels as a mask for --bad-pixels
    #[arg(long, value_name = "FILE.npy")]
    save_mask: Option<PathBuf>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how, "background")?;
    params.background = args.background.or(params.background);
    params.sigma = args.sigma.or(params.sigma);
    set(&mut params.factor, args.factor);
    let target = args.files.target(session)?;
    let (map, selection) = open_map(&how, &args.files.input, session, Reads::Region)?;
    let backend = session.backend()?;
    let read = |path: &Path| arrays::image(path);
    let image = background::image(&map, &selection, &params, read, &backend, &session.control)?;
    let parts = background::parts(image, &params)?;
    if let Some(path) = &args.save_mask {
        save_npy(path, background::mask(&parts).view(), session.overwrite)?;
    }
    let text = effective(&how, "background", &params)?;
    let page = background::write(&parts, &map, target, &backend, text)?;
    report_warnings(&args.files.input, &*map.scan);
    said!(session, "{} bad pixels; {}", parts.bad.at.len(), page.display());
    Ok(())
}
