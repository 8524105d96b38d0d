//! `emstream ebsd quality`

use super::{Files, Reads, effective, open_map};
use crate::cli::scan::{ScanArgs, report_warnings};
use crate::cli::session::Session;
use emstream::Result;
use emstream::workflows::ebsd::quality::{self, Params};

/// Maps of image quality, mean and standard deviation of every pattern
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Let the mean of a pattern count for its quality
    #[arg(long)]
    keep_mean: bool,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = args.files.parameters::<Params>(args.how, "quality")?;
    params.keep_mean |= args.keep_mean;
    let target = args.files.target(session)?;
    let (map, selection) = open_map(&how, &args.files.input, session, Reads::Region)?;
    let backend = session.backend()?;
    let maps = quality::maps(&map, &selection, &params, &backend, &session.control)?;
    let text = effective(&how, "quality", &params)?;
    let page = quality::write(&maps, &map, target, &backend, text)?;
    report_warnings(&args.files.input, &*map.scan);
    said!(session, "{} patterns; {}", selection.len(), page.display());
    Ok(())
}
