//! `emstream ebsd …`: one file per subcommand.

mod average;
mod background;
mod bands;
mod bse;
mod compare;
mod convert;
mod maps;
mod process;
mod quality;

use super::roi;
use super::scan::ScanArgs;
use super::session::Session;
use clap::Subcommand;
use emstream::engine::Selection;
use emstream::io::ebsd::{self, PatternMap, Store};
use emstream::workflows;
use emstream::workflows::ebsd::process::Dtype;
use emstream::workflows::ebsd::{Target, point, points};
use emstream::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Kikuchi patterns: from files of any maker to processed patterns, bands and maps
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(Box<convert::Args>),
    Maps(Box<maps::Args>),
    Process(Box<process::Args>),
    Background(Box<background::Args>),
    Average(Box<average::Args>),
    Quality(Box<quality::Args>),
    Bands(Box<bands::Args>),
    Bse(Box<bse::Args>),
    Compare(Box<compare::Args>),
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    match args.command {
        Command::Convert(a) => convert::run(*a, session),
        Command::Maps(a) => maps::run(*a, session),
        Command::Process(a) => process::run(*a, session),
        Command::Background(a) => background::run(*a, session),
        Command::Average(a) => average::run(*a, session),
        Command::Quality(a) => quality::run(*a, session),
        Command::Bands(a) => bands::run(*a, session),
        Command::Bse(a) => bse::run(*a, session),
        Command::Compare(a) => compare::run(*a, session),
    }
}

/// Files of a command that computes from patterns.
#[derive(clap::Args)]
struct Files {
    /// Patterns: an EBSD file (HDF5), or anything that `ebsd convert` reads
    input: PathBuf,
    /// Result file (HDF5)
    #[arg(short, long, value_name = "OUT.h5", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Put the results into the input
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
    /// Parameters from a file, as an earlier run wrote them; flags win over it
    #[arg(long, value_name = "FILE.toml")]
    params: Option<PathBuf>,
}

impl Files {
    /// Where maps go. Comes before the patterns are opened.
    fn target(&self, session: &Session) -> Result<Target> {
        Target::open(&self.input, self.output.as_deref(), session.overwrite)
    }

    /// Where new patterns go: the input, opened for writing, or nothing and the place of a new file. Comes before the patterns are opened.
    fn store(&self) -> Result<(Option<Store>, &Path)> {
        let output = self.output.as_deref().unwrap_or(&self.input);
        if self.in_place {
            return Ok((Some(Store::open(&self.input)?), output));
        }
        Ok((None, output))
    }

    /// Refuses a part of the map where the file itself takes one row for each of its patterns.
    fn rows_of_all(&self, how: &ScanArgs) -> Result<()> {
        if self.in_place && how.roi.is_some() {
            let what = "--in-place writes a row for every pattern of the file: leave it out or write to a new file with -o";
            return Err(Error::parameter("--roi", what));
        }
        Ok(())
    }

    /// Scan flags and parameters of the section `name` of the parameter file, or what was typed and defaults.
    fn parameters<P: DeserializeOwned + Default>(&self, how: ScanArgs, name: &str) -> Result<(ScanArgs, P)> {
        let (how, params) = params_file(self.params.as_deref(), how, name)?;
        // Bands are rows whatever the parameters are; other commands know only after their flags were applied.
        if name == "bands" {
            self.rows_of_all(&how)?;
        }
        Ok((how, params))
    }
}

/// Flags of commands whose `--dtype` is that of the result: those of raw files are left to parameter files.
#[derive(clap::Args)]
struct PatternArgs {
    /// Dataset or group inside the file
    #[arg(long, value_name = "PATH")]
    dataset: Option<String>,
    /// Replace bad pixels by the local median: a mask (.npy, .png) or `auto`
    #[arg(long, value_name = "FILE|auto")]
    bad_pixels: Option<String>,
}

impl PatternArgs {
    fn scan(self) -> ScanArgs {
        ScanArgs {
            dataset: self.dataset,
            bad_pixels: self.bad_pixels,
            ..ScanArgs::default()
        }
    }
}

/// Pixels of new patterns.
#[derive(Clone, Copy, clap::ValueEnum)]
enum DtypeFlag {
    U8,
    U16,
    F32,
}

impl From<DtypeFlag> for Dtype {
    fn from(flag: DtypeFlag) -> Dtype {
        match flag {
            DtypeFlag::U8 => Dtype::U8,
            DtypeFlag::U16 => Dtype::U16,
            DtypeFlag::F32 => Dtype::F32,
        }
    }
}

/// `N` numbers with one of `separators` between them, like `example`.
fn numbers<T: FromStr, const N: usize>(name: &str, text: &str, separators: &[char], example: &str) -> Result<[T; N]> {
    let parsed: Option<Vec<T>> = text.split(separators).map(|t| t.trim().parse().ok()).collect();
    parsed
        .and_then(|v| v.try_into().ok())
        .ok_or_else(|| Error::parameter(name, format!("'{text}' is not {N} numbers like {example}")))
}

/// New patterns are those of the whole map.
fn whole_map(how: &ScanArgs) -> Result<()> {
    match how.roi {
        None => Ok(()),
        Some(_) => Err(Error::parameter(
            "--roi",
            "new patterns are those of the whole map: leave it out",
        )),
    }
}

/// Points whose patterns a command reads.
#[derive(Clone, Copy)]
enum Reads {
    /// Those of the region of interest.
    Region,
    /// The points next to these, too.
    Around,
    /// This one, too.
    Besides([usize; 2]),
    /// This one alone.
    Only([usize; 2]),
}

/// The patterns of a map and the points that are present and wanted.
fn open_map(how: &ScanArgs, path: &Path, session: &Session, reads: Reads) -> Result<(PatternMap, Selection)> {
    let mut map = ebsd::open(path, &how.options()?, &session.control)?;
    let nav = map.scan.info().nav;
    let region = match (reads, how.roi.as_deref()) {
        (Reads::Only(at), _) => only(&map, at)?,
        (_, None) => Selection::all(nav),
        (_, Some(text)) => roi::parse(text, nav)?,
    };
    let mut wanted = region.mask();
    if let Reads::Besides(at) = reads
        && let Some(point) = wanted.get_mut(at)
    {
        *point = true;
    }
    let reach = usize::from(matches!(reads, Reads::Around));
    map.leave_out_empty(&wanted, reach, &session.control)?;
    for note in &map.scan.info().notes {
        log::warn!("{}: {note}", path.display());
    }
    let selection = match (reads, &how.roi) {
        (Reads::Only(at), _) => only(&map, at)?,
        (_, None) => points(&map)?,
        (_, Some(_)) => region.and(&map.present)?,
    };
    Ok((map, selection))
}

/// The point that `--at` names.
fn only(map: &PatternMap, at: [usize; 2]) -> Result<Selection> {
    let number = point(map, at, "--at")?;
    Ok(Selection::from_range(map.scan.info().nav, number..number + 1))
}

/// Scan flags with gaps filled from a parameter file, and the section `name` of it, or defaults.
fn params_file<P: DeserializeOwned + Default>(path: Option<&Path>, how: ScanArgs, name: &str) -> Result<(ScanArgs, P)> {
    let Some(path) = path else {
        return Ok((how, P::default()));
    };
    let wrong = |e: toml::de::Error| Error::format(path, "parameters", e.to_string());
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "cannot read", e))?;
    let mut sections: BTreeMap<String, toml::Value> = toml::from_str(&text).map_err(wrong)?;
    let scan = sections.remove("scan").map(|s| s.try_into().map_err(wrong)).transpose()?;
    let params = sections.remove(name).map(|s| s.try_into().map_err(wrong)).transpose()?;
    if let Some(other) = sections.keys().next() {
        let what = format!("unknown section [{other}], expected [scan] and [{name}]");
        return Err(Error::format(path, "parameters", what));
    }
    Ok((how.or(scan.unwrap_or_default()), params.unwrap_or_default()))
}

/// All parameters as they are written beside results.
fn effective(how: &ScanArgs, name: &str, params: &impl Serialize) -> Result<String> {
    let mut sections: BTreeMap<&str, toml::Value> = BTreeMap::new();
    let value = |e: toml::ser::Error| Error::Internal(format!("parameters as TOML: {e}"));
    sections.insert("scan", toml::Value::try_from(how).map_err(value)?);
    sections.insert(name, toml::Value::try_from(params).map_err(value)?);
    workflows::to_toml(&sections)
}
