//! `emstream ebsd convert`

use super::super::scan::ScanArgs;
use super::super::session::Session;
use super::super::set;
use super::{effective, numbers, params_file};
use clap::ValueEnum;
use emstream::control::Control;
use emstream::io::ebsd::{self, Orientations, PatternMap, read_ang, read_ctf, read_image};
use emstream::io::results::write_file;
use emstream::io::{OpenOptions, ShapeFrom};
use emstream::workflows::ebsd::convert::{self, BinMode, Given, Params, Target};
use emstream::{Error, Result};
use ndarray::Array2;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    /// Rounded mean, ties to even
    Mean,
    /// Sum, in the next larger integer type
    Sum,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// The h5ebsd-like layout that the other commands work on
    Emstream,
    /// kikuchipy's h5ebsd
    Kikuchipy,
}

/// Patterns of any format into one HDF5 file, binned, with orientations and a map of mean intensities; goes on where it was interrupted
#[derive(clap::Args)]
pub struct Args {
    /// Folder or zip of images, .h5, .h5oina, .up1, .up2, NORDIF .dat, or any scan
    input: PathBuf,
    /// Output file
    #[arg(short, long, value_name = "FILE.h5")]
    output: PathBuf,
    /// Orientations, phases, map size and steps (Oxford)
    #[arg(long, value_name = "FILE.ctf", conflicts_with = "ang")]
    ctf: Option<PathBuf>,
    /// The same from EDAX
    #[arg(long, value_name = "FILE.ang")]
    ang: Option<PathBuf>,
    /// Static background: an image of the patterns' size before binning [default: the one in the input]
    #[arg(long, value_name = "FILE")]
    background: Option<PathBuf>,
    /// Pixels that become one, along each side [default: 1]
    #[arg(long, value_name = "N")]
    bin: Option<usize>,
    /// How they become one [default: mean]
    #[arg(long, value_enum)]
    bin_mode: Option<Mode>,
    /// Compress patterns, level 1 to 9: smaller and slower, and not resumable [default: none]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=9))]
    gzip: Option<u8>,
    /// Step of the map in µm [default: from the files]
    #[arg(long, value_name = "Y,X")]
    step: Option<String>,
    /// Pattern centre of the map [default: from the files]
    #[arg(long, value_name = "X,Y,Z")]
    pc: Option<String>,
    /// How --pc counts: bruker, edax, oxford, or emsoft: from the middle, all three in pixels, so L over the pixel's size
    /// [default: bruker]
    #[arg(long, value_name = "NAME")]
    pc_convention: Option<String>,
    /// Layout of the output [default: emstream]
    #[arg(long, value_enum)]
    to: Option<To>,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let (how, mut params) = params_file::<Params>(args.params.as_deref(), args.how, "convert")?;
    let typed = args.ctf.is_some() || args.ang.is_some();
    if typed {
        (params.ctf, params.ang) = (args.ctf, args.ang);
    }
    let named = params.ctf.as_ref().or(params.ang.as_ref()).filter(|_| !typed);
    named_in_file(session, "orientations", named);
    named_in_file(
        session,
        "background",
        params.background.as_ref().filter(|_| args.background.is_none()),
    );
    params.background = args.background.or(params.background);
    let orientations = match (&params.ctf, &params.ang) {
        (Some(ctf), _) => Some(read_ctf(ctf)?),
        (None, Some(ang)) => Some(read_ang(ang)?),
        (None, None) => None,
    };
    set(&mut params.bin, args.bin);
    let mode = args.bin_mode.map(|m| match m {
        Mode::Mean => BinMode::Mean,
        Mode::Sum => BinMode::Sum,
    });
    set(&mut params.mode, mode);
    set(&mut params.gzip, args.gzip);
    let target = args.to.map(|t| match t {
        To::Emstream => Target::Emstream,
        To::Kikuchipy => Target::Kikuchipy,
    });
    set(&mut params.target, target);
    params.step = args
        .step
        .as_deref()
        .map(|t| finite::<2>("--step", t, "0.5,0.5"))
        .transpose()?
        .or(params.step);
    if let Some(step) = params.step.filter(|s| s.iter().any(|&v| v <= 0.0)) {
        return Err(Error::parameter("--step", format!("{step:?} is no step: both are above 0")));
    }
    params.pc = args
        .pc
        .as_deref()
        .map(|t| finite::<3>("--pc", t, "0.42,0.78,0.6"))
        .transpose()?
        .or(params.pc);
    set(&mut params.pc_convention, args.pc_convention);
    if how.roi.is_some() {
        return Err(Error::parameter(
            "--roi",
            "it takes the whole map; `emstream convert` writes a part of the patterns",
        ));
    }
    let mut map = open(&args.input, how.options()?, orientations.as_ref(), &session.control)?;
    let whole = Array2::from_elem(map.present.dim(), true);
    map.leave_out_empty(&whole, 0, &session.control)?;
    let given = Given {
        orientations,
        static_background: params.background.as_deref().map(read_image).transpose()?,
    };
    let done = convert::run(map, given, &params, &args.output, session.overwrite, &session.control)?;
    done.warnings.iter().for_each(|w| log::warn!("{}: {w}", args.input.display()));
    let text = effective(&how, "convert", &params)?;
    write_file(args.output.with_extension("params.toml"), true, text.as_bytes())?;
    let [rows, columns] = done.nav;
    said!(
        session,
        "{} patterns of {} × {} {}, map of {rows} × {columns}{}",
        done.patterns,
        done.frame.height,
        done.frame.width,
        done.frame.pixel,
        if done.resumed > 0 {
            format!(", {} of them from an earlier run", done.resumed)
        } else {
            String::new()
        }
    );
    Ok(())
}

/// Says which file the parameter file names, since nobody typed it and it belongs to the input of an earlier run.
fn named_in_file(session: &Session, what: &str, file: Option<&PathBuf>) {
    if let Some(file) = file {
        let file = file.canonicalize().unwrap_or_else(|_| file.clone());
        said!(session, "{what} from {}, which --params names", file.display());
    }
}

/// The patterns; where their own file does not know the shape of the map, orientations do.
fn open(path: &Path, mut options: OpenOptions, orientations: Option<&Orientations>, control: &Control) -> Result<PatternMap> {
    let Some(nav) = orientations.map(|o| o.data.nav).filter(|_| options.nav_shape.is_none()) else {
        return ebsd::open(path, &options, control);
    };
    let own = ebsd::open(path, &options, control);
    if own.as_ref().is_ok_and(|map| map.scan.info().nav == nav || knows_shape(map)) {
        return own;
    }
    options.nav_shape = Some(nav);
    // Where the patterns do not fit that shape either, it contradicts their own.
    ebsd::open(path, &options, control).or_else(|e| own.map_err(|_| e))
}

/// True where a file says what the shape of its map is. A plain row of patterns says nothing, and names of images no more than where the last
/// image lies.
fn knows_shape(map: &PatternMap) -> bool {
    let info = map.scan.info();
    let stored = map.group.is_some() || matches!(info.reading.shape, ShapeFrom::Stored(_));
    map.dialect != "images" && (info.nav[0] != 1 || stored)
}

/// So many finite numbers.
fn finite<const N: usize>(name: &str, text: &str, example: &str) -> Result<[f64; N]> {
    let values: [f64; N] = numbers(name, text, &[','], example)?;
    match values.iter().all(|v| v.is_finite()) {
        true => Ok(values),
        false => Err(Error::parameter(name, format!("'{text}' is not finite"))),
    }
}
