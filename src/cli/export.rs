//! `emstream export`

use super::scan::{ScanArgs, report_warnings};
use super::session::Session;
use clap::ValueEnum;
use emstream::io::export::{self, Format};
use emstream::kernels::framemap::Params;
use emstream::{Error, Result, workflows};
use std::path::PathBuf;

/// File format of exported arrays.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    Npy,
    Csv,
    Tiff,
    Hspy,
}

/// Scale of exported frames.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Norm {
    Linear,
    Log,
}

/// Write every array of a result file as files of its own; or, with --bin or --norm, the frames of a scan to a new scan
#[derive(clap::Args)]
pub struct Args {
    /// A result file, or a scan
    input: PathBuf,
    /// Output folder; for scans the new file, .npy or .h5
    #[arg(short, long, value_name = "DIR|FILE")]
    output: PathBuf,
    /// File format of the arrays [default: npy]
    #[arg(long = "as", value_enum, conflicts_with_all = ["bin", "norm"])]
    format: Option<As>,
    /// Scans: sum blocks of N × N pixels
    #[arg(long, value_name = "N")]
    bin: Option<usize>,
    /// Scans: pixels as they are, or ln(f − min f + 1) of each frame
    #[arg(long, value_enum)]
    norm: Option<Norm>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    if args.bin.is_some() || args.norm.is_some() {
        frames(args, session)
    } else {
        arrays(args, session)
    }
}

fn arrays(args: Args, session: &Session) -> Result<()> {
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
    println!("{} files in {}", exported.files.len(), args.output.display());
    Ok(())
}

fn frames(args: Args, session: &Session) -> Result<()> {
    if args.output.exists() && !session.overwrite {
        let what = format!("{} exists (--overwrite replaces it)", args.output.display());
        return Err(Error::parameter("--output", what));
    }
    let (scan, selection) = args.how.open(&args.input, session)?;
    let params = Params {
        bin: args.bin.unwrap_or(1),
        log: args.norm == Some(Norm::Log),
    };
    let backend = session.backend()?;
    workflows::frames::map_frames(
        &*scan,
        &selection,
        params,
        &args.output,
        session.overwrite,
        &backend,
        &session.control,
    )?;
    report_warnings(&args.input, &*scan);
    Ok(())
}
