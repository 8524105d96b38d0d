//! `emstream convert`

use super::scan::{ScanArgs, report_warnings};
use super::session::Session;
use clap::ValueEnum;
use emstream::io::write::{Compression, Format};
use emstream::workflows::convert::{self, Params};
use emstream::workflows::ebsd::convert::BinMode;
use emstream::{Error, Result};
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Sum, in the next larger integer type
    Sum,
    /// Rounded mean, ties to even
    Mean,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Norm {
    /// As they are
    Linear,
    /// ln(f − min f + 1) of every frame, in f32
    Log,
}

/// Write the frames of a scan to a file of another format, with the scan's calibration; goes on where it was interrupted
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    input: PathBuf,
    /// The new file; its ending says the format: .h5 .hspy .emd .zspy .npy .tif .blo
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Format, whatever the ending: hdf5, hspy, emd, zspy, npy, tiff or blo
    #[arg(long = "as", value_name = "FORMAT")]
    format: Option<String>,
    /// Pixels that become one, along each side
    #[arg(long, value_name = "N", default_value_t = 1)]
    bin: usize,
    /// How they become one
    #[arg(long, value_enum, default_value = "sum")]
    bin_mode: Mode,
    /// Scale of the pixels
    #[arg(long, value_enum, default_value = "linear")]
    norm: Norm,
    /// none, gzip[:1–9] (HDF5, .zspy) or zstd[:1–19] (.zspy)
    #[arg(long, value_name = "CODEC", default_value = "none")]
    compression: String,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let format = match args.format.as_deref() {
        Some(name) => name.parse()?,
        None => Format::of(&args.output).ok_or_else(|| {
            let what = format!(
                "the ending of {} names no format; --as gives one of {}",
                args.output.display(),
                Format::NAMES
            );
            Error::parameter("--output", what)
        })?,
    };
    let params = Params {
        format,
        compression: args.compression.parse::<Compression>()?,
        bin: args.bin,
        mode: match args.bin_mode {
            Mode::Sum => BinMode::Sum,
            Mode::Mean => BinMode::Mean,
        },
        log: args.norm == Norm::Log,
        input: format!("{:?}", args.how.options()?),
    };
    let (scan, selection) = args.how.open_whole(&args.input, session)?;
    let done = convert::run(&*scan, &selection, &params, &args.output, session.overwrite, &session.control)?;
    done.notes.iter().for_each(|n| log::warn!("{}: {n}", args.input.display()));
    report_warnings(&args.input, &*scan);
    let resumed = match done.resumed {
        0 => String::new(),
        n => format!(", {n} of them from an earlier run"),
    };
    said!(
        session,
        "{} frames of {} × {} {}, scan of {} × {}{resumed}",
        done.nav[0] * done.nav[1],
        done.frame.height,
        done.frame.width,
        done.frame.pixel,
        done.nav[0],
        done.nav[1]
    );
    Ok(())
}
