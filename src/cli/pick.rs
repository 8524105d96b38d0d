//! `emstream pick`

use super::grey;
use super::scan::{ScanArgs, pair, report_warnings};
use super::session::Session;
use clap::ValueEnum;
use emstream::io::array;
use emstream::pixel::{Frames, Sample};
use emstream::{Error, Result, with_pixel, workflows};
use std::path::PathBuf;

/// Grey levels of a PNG.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Norm {
    Linear,
    Log,
}

/// Write one frame as .npy (native pixel type), .tif (float32) or .png (grey)
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    scan: PathBuf,
    /// Scan position
    #[arg(long, value_name = "Y,X")]
    at: String,
    /// Output: .npy, .tif or .png
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Grey levels of .png
    #[arg(long, value_enum, default_value = "linear")]
    norm: Norm,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let [y, x] = pair("--at", &args.at)?;
    let (scan, _) = args.how.open_whole(&args.scan, session)?;
    let info = scan.info();
    let [ny, nx] = info.nav;
    if y >= ny || x >= nx {
        return Err(Error::parameter(
            "--at",
            format!("({y}, {x}) lies outside the scan of {ny}×{nx}"),
        ));
    }
    let shape = info.frame;
    let mut words = vec![0u32; shape.stride() / 4];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    scan.read(&[(y * nx + x) as u64], shape.stride(), bytes, &session.control)?;
    let frames = Frames::new(shape, 0, 1, bytes)?;
    let extension = args
        .output
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    with_pixel!(shape.pixel, T => {
        let frame = workflows::frame_array(shape, frames.frame::<T>(0).to_vec())?;
        match extension.as_str() {
            "npy" => array::save_npy(&args.output, frame.view(), session.overwrite)?,
            "tif" | "tiff" => array::save_tiff(&args.output, &[frame.mapv(Sample::to_f32).view()], session.overwrite)?,
            "png" => {
                let values = frame.mapv(Sample::to_f64);
                let values = match args.norm {
                    Norm::Linear => values,
                    Norm::Log => {
                        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
                        values.mapv(|v| (v - low + 1.0).ln())
                    }
                };
                array::save_png(&args.output, grey(&values).view(), session.overwrite)?;
            }
            _ => return Err(Error::parameter("--output", "the name must end in .npy, .tif or .png")),
        }
    });
    report_warnings(&args.scan, &*scan);
    Ok(())
}
