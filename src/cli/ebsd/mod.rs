//! `emstream ebsd …`: one file per subcommand.

mod bands;
mod bse;
mod convert;
mod maps;
mod process;

use super::roi;
use super::scan::ScanArgs;
use super::session::Session;
use clap::Subcommand;
use emstream::engine::Selection;
use emstream::io::ebsd::{self, PatternMap};
use emstream::workflows;
use emstream::workflows::ebsd::points;
use emstream::{Error, Result};
use ndarray::Array2;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

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
    Bands(Box<bands::Args>),
    Bse(Box<bse::Args>),
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    match args.command {
        Command::Convert(a) => convert::run(*a, session),
        Command::Maps(a) => maps::run(*a, session),
        Command::Process(a) => process::run(*a, session),
        Command::Bands(a) => bands::run(*a, session),
        Command::Bse(a) => bse::run(*a, session),
    }
}

/// The patterns of a map and the points that are present and in the region of interest.
fn open_map(how: &ScanArgs, path: &Path, session: &Session) -> Result<(PatternMap, Selection)> {
    let map = ebsd::open(path, &how.options()?, &session.control)?;
    for note in &map.scan.info().notes {
        log::warn!("{}: {note}", path.display());
    }
    let Some(text) = how.roi.as_deref() else {
        let selection = points(&map)?;
        return Ok((map, selection));
    };
    let nav = map.scan.info().nav;
    let mut mask = Array2::from_elem((nav[0], nav[1]), false);
    for frame in roi::parse(text, nav)?.iter() {
        let at = [frame as usize / nav[1], frame as usize % nav[1]];
        mask[at] = map.present[at];
    }
    let selection = Selection::from_mask(nav, mask.view())?;
    Ok((map, selection))
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
