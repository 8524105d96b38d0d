//! `emstream export`

use super::session::Session;
use clap::ValueEnum;
use emstream::Result;
use emstream::io::export::{self, Format};
use std::path::PathBuf;

/// File format of exported arrays.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    Npy,
    Csv,
    Tiff,
    Hspy,
}

/// Write every array of a result file as files of its own; frames of a scan: emstream convert
#[derive(clap::Args)]
pub struct Args {
    /// A result file
    input: PathBuf,
    /// Output folder
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// File format of the arrays [default: npy]
    #[arg(long = "as", value_enum)]
    format: Option<As>,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let format = match args.format {
        None | Some(As::Npy) => Format::Npy,
        Some(As::Csv) => Format::Csv,
        Some(As::Tiff) => Format::Tiff,
        Some(As::Hspy) => Format::Hspy,
    };
    let exported = export::export(&args.input, &args.output, format, session.overwrite)?;
    for (dataset, why) in &exported.skipped {
        log::warn!("{dataset} was left out: {why}");
    }
    said!(session, "{} files in {}", exported.files.len(), args.output.display());
    Ok(())
}
