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

/// Write every array of a result file as files of its own
#[derive(clap::Args)]
pub struct Args {
    result: PathBuf,
    /// Output folder
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// File format
    #[arg(long = "as", value_enum, default_value = "npy")]
    format: As,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let format = match args.format {
        As::Npy => Format::Npy,
        As::Csv => Format::Csv,
        As::Tiff => Format::Tiff,
        As::Hspy => Format::Hspy,
    };
    let exported = export::export(&args.result, &args.output, format, session.overwrite)?;
    for (dataset, why) in &exported.skipped {
        log::warn!("{dataset} was left out: {why}");
    }
    println!("{} files in {}", exported.files.len(), args.output.display());
    Ok(())
}
