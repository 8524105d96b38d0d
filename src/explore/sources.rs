//! The files that a session opened, and nothing else: clients name things that are listed here.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::browse::{Browser, is_hdf5};
use crate::io::ebsd::{self, MapData, PatternMap, read_ang, read_ctf};
use crate::io::{OpenOptions, Scan};
use crate::kernels::pattern::Plan;
use crate::workflows::phases::{Energy, Signal};
use ndarray::Array2;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A scan with what is known of its points.
pub struct Source {
    pub path: PathBuf,
    pub map: PatternMap,
    /// Energies of the channels, for spectra whose file says them.
    pub energy: Option<Energy>,
    /// X-ray lines that the file names: `Ni_Ka`.
    pub lines: Vec<String>,
    /// The chain of the last processed pattern and what it was made for.
    pub chain: Mutex<Option<(String, Arc<Plan>)>>,
}

impl Source {
    pub fn scan(&self) -> &dyn Scan {
        &*self.map.scan
    }
    /// True where frames are spectra: one row.
    pub fn is_spectrum(&self) -> bool {
        self.scan().info().frame.height == 1
    }
}

/// Columns of a `.ctf` or `.ang`, one value a point.
pub struct Table {
    pub path: PathBuf,
    pub data: MapData,
}

/// What to open.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Scans, result files, folders of workflows, `.ctf`, `.ang`, in any order; the first scan is the one that is looked at first.
    pub paths: Vec<PathBuf>,
    /// A scan of spectra at the same positions.
    pub spectra: Option<PathBuf>,
    /// How to read the first scan.
    pub options: OpenOptions,
}

/// Everything that is open.
pub struct Sources {
    /// Scan shape that all have.
    pub nav: [usize; 2],
    pub scans: Vec<Source>,
    pub results: Vec<Browser>,
    pub tables: Vec<Table>,
    /// What could not be opened or does not fit, one line each.
    pub problems: Vec<String>,
}

enum Opened {
    Scan(Box<Source>, Option<Browser>),
    Result(Browser),
    Table(Table),
}

impl Sources {
    /// Opens files. One that cannot be opened, or has another scan shape than the first scan, is a problem that is told, not an end.
    ///
    /// # Errors
    /// That of the first file if there is nothing to show.
    pub fn open(files: &Files, control: &Control) -> Result<Sources> {
        let mut sources = Sources {
            nav: [0, 0],
            scans: Vec::new(),
            results: Vec::new(),
            tables: Vec::new(),
            problems: Vec::new(),
        };
        let mut first_error = None;
        let mut keep = |problems: &mut Vec<String>, e: Error| {
            problems.push(e.to_string());
            first_error.get_or_insert(e);
        };
        for path in &files.paths {
            // Flags on reading belong to the first scan.
            let options = match sources.scans.is_empty() {
                true => files.options.clone(),
                false => OpenOptions::default(),
            };
            match open(path, &options, control) {
                Ok(Opened::Scan(source, browser)) => {
                    sources.scans.push(*source);
                    sources.results.extend(browser);
                }
                Ok(Opened::Result(browser)) => sources.results.push(browser),
                Ok(Opened::Table(table)) => sources.tables.push(table),
                Err(e) => keep(&mut sources.problems, e),
            }
        }
        if let Some(path) = &files.spectra {
            match spectra(path, control) {
                Ok(source) => sources.scans.push(source),
                Err(e) => keep(&mut sources.problems, e),
            }
        }
        // Patterns first: a file of spectra may come before.
        sources.scans.sort_by_key(Source::is_spectrum);
        let nav = match (sources.scans.first(), sources.tables.first()) {
            (Some(s), _) => Some(s.scan().info().nav),
            (None, Some(t)) => Some(t.data.nav),
            (None, None) => sources.results.iter().find_map(scan_shape),
        };
        let Some(nav) = nav else {
            return Err(first_error.unwrap_or_else(|| {
                let what = "nothing to show: give a scan, or a result with maps";
                Error::parameter("FILE", what)
            }));
        };
        sources.nav = nav;
        let Sources {
            scans, tables, problems, ..
        } = &mut sources;
        let mut fits = |path: &Path, theirs: [usize; 2]| {
            let same = theirs == nav;
            if !same {
                let [a, b, c, d] = [theirs[0], theirs[1], nav[0], nav[1]];
                problems.push(format!("{}: its scan of {a}×{b} is not the one of {c}×{d}", path.display()));
            }
            same
        };
        scans.retain(|s| fits(&s.path, s.map.scan.info().nav));
        tables.retain(|t| fits(&t.path, t.data.nav));
        Ok(sources)
    }

    /// Scan number `index`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is none.
    pub fn scan(&self, index: usize) -> Result<&Source> {
        let none = || Error::parameter("scan", format!("there is no scan number {index}"));
        self.scans.get(index).ok_or_else(none)
    }
}

fn open(path: &Path, options: &OpenOptions, control: &Control) -> Result<Opened> {
    // What a workflow wrote.
    let inside = path.join("result.h5");
    let path = if path.is_dir() && inside.is_file() { &inside } else { path };
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let table = match ending.as_str() {
        "ctf" => Some(read_ctf(path)?),
        "ang" => Some(read_ang(path)?),
        _ => None,
    };
    if let Some(o) = table {
        return Ok(Opened::Table(Table {
            path: path.to_owned(),
            data: o.data,
        }));
    }
    let browser = match path.is_file() && is_hdf5(path)? {
        true => Some(Browser::open(path)?),
        false => None,
    };
    match browser {
        Some(result) if result.command().is_some() && options.dataset.is_none() => Ok(Opened::Result(result)),
        other => {
            let map = ebsd::open(path, options, control)?;
            Ok(Opened::Scan(Box::new(source(path, map, None, Vec::new())), other))
        }
    }
}

fn source(path: &Path, map: PatternMap, energy: Option<Energy>, lines: Vec<String>) -> Source {
    Source {
        path: path.to_owned(),
        map,
        energy,
        lines,
        chain: Mutex::new(None),
    }
}

fn spectra(path: &Path, control: &Control) -> Result<Source> {
    let Signal { scan, energy, lines, .. } = Signal::open("eds", path, true, &OpenOptions::default(), control)?;
    let nav = scan.info().nav;
    let map = PatternMap {
        present: Array2::from_elem((nav[0], nav[1]), true),
        static_background: None,
        data: MapData::new(nav),
        geometry: ebsd::Geometry::default(),
        dialect: String::new(),
        group: None,
        scan,
    };
    Ok(source(path, map, energy, lines))
}

/// The scan shape that the maps of a result have.
fn scan_shape(result: &Browser) -> Option<[usize; 2]> {
    result.listed().iter().find_map(|l| {
        let at = super::maps::scan_axes(&l.axes)?;
        Some([*l.shape.get(at)?, *l.shape.get(at + 1)?])
    })
}
