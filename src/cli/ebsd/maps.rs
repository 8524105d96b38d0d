//! `emstream ebsd maps`

use super::super::roi;
use super::super::scan::ScanArgs;
use super::super::session::Session;
use emstream::io::results::OutputDir;
use emstream::workflows::ebsd::maps::{self, Params};
use emstream::{Result, workflows};
use std::path::PathBuf;

/// Maps of band contrast, slope, angular deviation, phase, Euler angles and crystal directions (inverse-pole-figure colours)
#[derive(clap::Args)]
pub struct Args {
    /// A .ctf or .ang, or a file of patterns with orientations
    input: PathBuf,
    /// Folder for figures, report and result.h5
    #[arg(short, long, value_name = "DIR", required_unless_present = "write")]
    output: Option<PathBuf>,
    /// Write the columns to a .ctf or .ang, which MTEX and orix read; points that --where leaves out as not indexed
    #[arg(long, value_name = "FILE")]
    write: Vec<PathBuf>,
    /// Columns from this .ctf or .ang instead of the input's own
    #[arg(long, value_name = "FILE")]
    ctf: Option<PathBuf>,
    /// Show only points with, e.g., 'phase==1 & bc>10'; angles in degrees
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Directions of the sample for crystal directions [default: x,y,z]
    #[arg(long, value_name = "x,y,z", value_delimiter = ',')]
    direction: Option<Vec<String>>,
    /// Laue group of all phases [default: from the file]
    #[arg(long, value_name = "GROUP")]
    symmetry: Option<String>,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
    #[command(flatten)]
    how: ScanArgs,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let mut params: Params = super::super::params::read(args.params.as_deref())?;
    params.condition = args.condition.or(params.condition);
    params.symmetry = args.symmetry.or(params.symmetry);
    params.roi = args.how.roi.clone().or(params.roi);
    super::super::set(&mut params.directions, args.direction);
    let dir = args
        .output
        .as_ref()
        .map(|o| OutputDir::create(o, session.overwrite))
        .transpose()?;
    let source = args.ctf.as_ref().unwrap_or(&args.input);
    let table = maps::load(source, &args.how.options()?, &session.control)?;
    let region = params
        .roi
        .as_deref()
        .map(|text| roi::parse(text, table.data.nav))
        .transpose()?;
    let result = maps::run(&table, region.as_ref(), &params)?;
    result.warnings.iter().for_each(|w| log::warn!("{}: {w}", source.display()));
    for file in &args.write {
        let notes = maps::write_table(&table, &result.shown, file, session.overwrite)?;
        notes.iter().for_each(|n| log::warn!("{}: {n}", file.display()));
    }
    if let Some(dir) = dir {
        let params = workflows::to_toml(&params)?;
        let written = maps::write(&table, &result, &params, std::slice::from_ref(source), dir)?;
        log::info!("maps in {}", written.display());
    }
    Ok(())
}
