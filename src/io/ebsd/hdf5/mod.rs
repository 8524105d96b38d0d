//! Maps in HDF5: the h5ebsd-like layout in both of its dialects (and Bruker's, from which it comes), kikuchipy, EDAX and Oxford (`.h5oina`), and
//! EMsoft's simulated patterns.
//!
//! All but the last keep a map in a group `…/EBSD` with members `Data` and `Header`; they differ in names, which the tables below list.

mod emsoft;
mod geometry;
mod points;

use super::PatternMap;
use super::kikuchipy::MEASURED;
use super::mapped::{Mapped, Places};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::h5::refused::{Told, all_told};
use crate::io::h5::{self, fault, text};
use crate::io::limits::{self, MAX_EDGE, MAX_POINTS};
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::{Scan, h5::open_file};
use hdf5::{File, LocationType};
use std::path::Path;

/// Names of pattern stacks in the order of preference, with the program whose file it is.
///
/// The last two are what `ebsd average` and `ebsd process` add to a file of any program: they say nothing of who wrote the rest, and come after
/// what was measured, so that a command means the same before and after. Averages come first of the two since nothing is processed twice.
const PATTERNS: [(&str, Option<Program>); 8] = [
    ("RawPatterns", Some(Program::H5Ebsd)),
    ("patterns", Some(Program::Kikuchipy)),
    ("Pattern", Some(Program::Edax)),
    (UNPROCESSED, Some(Program::Oxford)),
    (PROCESSED, Some(Program::Oxford)),
    ("Averaged Patterns", Some(Program::Oxford)),
    ("AveragedPatterns", None),
    ("Patterns", None),
];
const UNPROCESSED: &str = "Unprocessed Patterns";
const PROCESSED: &str = "Processed Patterns";
const ROWS: [&str; 4] = ["NROWS", "n_rows", "nRows", "Y Cells"];
const COLUMNS: [&str; 4] = ["NCOLS", "n_columns", "nColumns", "X Cells"];
const STEP_Y: [&str; 5] = ["Y Resolution", "YSTEP", "step_y", "Step Y", "Y Step"];
const STEP_X: [&str; 5] = ["X Resolution", "XSTEP", "step_x", "Step X", "X Step"];
const BEAM_X: [&str; 2] = ["X BEAM", "BEAM X"];
const BEAM_Y: [&str; 2] = ["Y BEAM", "BEAM Y"];

/// Who decided on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    H5Ebsd,
    Kikuchipy,
    Edax,
    Oxford,
}

/// An EBSD map inside an HDF5 file.
struct Layout {
    /// `/Scan/EBSD`
    group: String,
    /// Pattern stacks that are there, the preferred one first.
    stacks: Vec<&'static str>,
    /// Whose names and units all else has, whichever stack is read.
    program: Program,
}

/// The first map of the file, if it holds any.
fn probe(file: &File) -> Option<Layout> {
    let mut names = vec![String::new()];
    names.extend(file.member_names().told()?.into_iter().take(1000).map(|n| format!("/{n}")));
    names.into_iter().find_map(|name| {
        let group = format!("{name}/EBSD");
        if !is(file, &format!("{group}/Data"), LocationType::Group) {
            return None;
        }
        let there = |stack: &str| is(file, &format!("{group}/Data/{stack}"), LocationType::Dataset);
        let found: Vec<_> = PATTERNS.into_iter().filter(|(n, _)| there(n)).collect();
        let named = found.iter().find_map(|(_, program)| *program);
        (!found.is_empty()).then(|| Layout {
            program: named.unwrap_or_else(|| program(file, &group)),
            stacks: found.iter().map(|(n, _)| *n).collect(),
            group,
        })
    })
}

/// Who wrote a file whose original patterns are gone: by its own word, or by names that only one program uses.
fn program(file: &File, group: &str) -> Program {
    let manufacturer = manufacturer(file).to_ascii_lowercase();
    let words = [
        ("oxford", Program::Oxford),
        ("edax", Program::Edax),
        ("kikuchipy", Program::Kikuchipy),
        ("emstream", Program::H5Ebsd),
    ];
    if let Some((_, program)) = words.into_iter().find(|(w, _)| manufacturer.contains(w)) {
        return program;
    }
    let names = [
        ("Data/Euler", Program::Oxford),
        ("Header/Pattern Center Calibration/x-star", Program::Edax),
        ("Header/pcx", Program::Kikuchipy),
    ];
    let there = |name: &str| is(file, &format!("{group}/{name}"), LocationType::Dataset);
    let found = names.into_iter().find(|(name, _)| there(name));
    found.map_or(Program::H5Ebsd, |(_, program)| program)
}

/// Who says to have written the file; empty where nobody does.
fn manufacturer(file: &File) -> String {
    let names = file.member_names().told().unwrap_or_default();
    let name = names.iter().find(|n| n.eq_ignore_ascii_case("manufacturer"));
    name.and_then(|n| text::dataset(file, n)).unwrap_or_default()
}

fn is(file: &File, path: &str, kind: LocationType) -> bool {
    file.loc_type_by_name(path).told() == Some(kind)
}

/// A file's map as a scan in map order, for [`crate::io::open`]; `None` where the file or the dataset is of another kind.
///
/// # Errors
/// As [`open_map`].
pub(crate) fn open_scan(file: &ReadAt, options: &OpenOptions, control: &Control) -> Result<Option<Box<dyn Scan>>> {
    let is_map = || {
        let h5 = open_file(file.path())?;
        Ok(match probe(&h5) {
            Some(layout) => is(&h5, &format!("{}/Header", layout.group), LocationType::Group),
            None => emsoft::is_emsoft(&h5),
        })
    };
    match all_told(file.path(), is_map)? {
        true => Ok(open_map(file, options, control)?.map(|m| m.scan)),
        false => Ok(None),
    }
}

/// The map of an HDF5 file; `None` where there is none, or where `options.dataset` names something outside the map.
///
/// # Errors
/// [`Error::Format`] naming the dataset that is missing or contradicts another; as [`h5::open`].
pub(super) fn open_map(file: &ReadAt, options: &OpenOptions, control: &Control) -> Result<Option<PatternMap>> {
    all_told(file.path(), || described(file, options, control))
}

fn described(file: &ReadAt, options: &OpenOptions, control: &Control) -> Result<Option<PatternMap>> {
    let path = file.path();
    let h5 = open_file(path)?;
    let Some(layout) = probe(&h5) else {
        return match emsoft::is_emsoft(&h5) {
            true => emsoft::open_map(path, &h5, options, control),
            false => Ok(None),
        };
    };
    let data = format!("{}/Data", layout.group);
    let chosen = match options.dataset.as_deref() {
        None => layout.stacks.first(),
        Some(name) => {
            let short = name.trim_matches('/');
            let short = short.strip_prefix(&format!("{}/", &data[1..])).unwrap_or(short);
            layout.stacks.iter().find(|n| **n == short)
        }
    };
    let Some(&stack) = chosen else { return Ok(None) };
    if options.sync_offset != 0 {
        return Err(Error::parameter(
            "--sync-offset",
            "the patterns of an EBSD map know their positions",
        ));
    }

    // Patterns that fill the map row by row may also be stored as (rows, columns, h, w).
    let inner = OpenOptions {
        dataset: Some(format!("{data}/{stack}")),
        nav_shape: None,
        ..options.clone()
    };
    let inner = h5::open(ReadAt::open(path)?, &inner, control)?;
    let map = Source {
        path,
        file: &h5,
        group: &layout.group,
        program: layout.program,
        count: inner.info().frames() as usize,
    };
    map.check_grid()?;
    let all = map.places(options.nav_shape)?;
    // Columns know more points than have a pattern.
    let points = map.points(&all)?;
    let places = map.measured(all)?;
    let steps = [map.step(&STEP_Y), map.step(&STEP_X)];
    let present = places.present();
    let frame = inner.info().frame;
    let aspect = frame.height as f64 / frame.width as f64;
    let geometry = map.geometry(&places, aspect)?;
    let static_background = map.background(&layout.stacks, stack, [frame.height, frame.width])?;
    let mut scan = Mapped::new(inner, places, steps)?;
    if layout.stacks.len() > 1 {
        let names: Vec<&str> = layout.stacks.iter().copied().filter(|n| *n != stack).collect();
        scan.note(format!(
            "patterns of {stack}; --dataset chooses among these: {}",
            names.join(", ")
        ));
    }
    Ok(Some(PatternMap {
        scan: Box::new(scan),
        present,
        static_background,
        data: points,
        geometry,
        dialect: manufacturer(&h5),
        group: Some(layout.group),
    }))
}

/// The group of the map of an open file, the places of its patterns and their number.
///
/// # Errors
/// [`Error::Format`] if there is no map or its positions contradict each other.
pub(super) fn layout_of(file: &File, path: &Path) -> Result<(String, Places, usize)> {
    let missing = || Error::format(path, "file", "there is no EBSD map in it (a group EBSD with Data and Header)");
    let layout = all_told(path, || probe(file).ok_or_else(missing))?;
    let stack = *layout.stacks.first().ok_or_else(missing)?;
    let name = format!("{}/Data/{stack}", layout.group);
    let failed = |e: hdf5::Error| fault(path, name.as_str(), &e);
    let shape = file.dataset(&name).map_err(failed)?.shape();
    // (N, h, w), or (rows, columns, h, w).
    let count = shape.iter().rev().skip(2).try_fold(1usize, |n, &d| n.checked_mul(d));
    let source = Source {
        path,
        file,
        group: &layout.group,
        program: layout.program,
        count: count.unwrap_or(usize::MAX),
    };
    let places = all_told(path, || source.measured(source.places(None)?))?;
    let count = source.count;
    Ok((layout.group, places, count))
}

/// A map's group while it is being read.
struct Source<'a> {
    path: &'a Path,
    file: &'a File,
    group: &'a str,
    program: Program,
    /// Number of stored patterns.
    count: usize,
}

impl Source<'_> {
    /// The first number among `names` in the header.
    fn header(&self, names: &[&str]) -> Option<f64> {
        let value = |n: &&str| text::number(self.file, &format!("{}/Header/{n}", self.group));
        names.iter().find_map(value)
    }

    /// The first step among `names` in the header.
    fn step(&self, names: &[&str]) -> Option<f64> {
        names.iter().find_map(|n| {
            let path = format!("{}/Header/{n}", self.group);
            let step = text::number(self.file, &path)?;
            // Where nobody knows the step our own files say 1, of no unit, since other readers want a number.
            let unknown = text::attribute(self.file, &path, "unit").is_some_and(|u| u.is_empty());
            (!unknown).then_some(step)
        })
    }

    /// A dataset of one value for each pattern, if it is there.
    ///
    /// # Errors
    /// [`Error::Format`] if it has another length.
    fn column(&self, names: &[&str]) -> Result<Option<Vec<f64>>> {
        // kikuchipy keeps what belongs to orientations in an orix crystal map, Bruker the positions of a region in `SEM`.
        let folders = ["Data", "CrystalMap/crystal_map/data", "SEM"];
        let paths = folders
            .iter()
            .flat_map(|f| names.iter().map(move |n| format!("{}/{f}/{n}", self.group)));
        for path in paths.filter(|p| is(self.file, p, LocationType::Dataset)) {
            let failed = |e: hdf5::Error| fault(self.path, path.as_str(), &e);
            let dataset = self.file.dataset(&path).map_err(failed)?;
            // Maps (rows, columns), as `ebsd quality` writes them, lie beside columns of the same names. Oxford's columns may be (N, 1).
            let line = match dataset.shape().as_slice() {
                [_] => true,
                [_, 1] => self.program == Program::Oxford,
                _ => false,
            };
            if !line || h5::kind_of(&dataset.dtype().map_err(failed)?).is_none() {
                continue;
            }
            if let Some(values) = self.part_of_a_crystal_map(&path, &dataset).map_err(failed)? {
                return Ok(Some(values));
            }
            if dataset.size() != self.count {
                let what = format!("{} values for {} patterns", dataset.size(), self.count);
                return Err(Error::format(self.path, path, what));
            }
            if h5::storage_size(&dataset) == 0 && self.count > 0 {
                return Ok(None);
            }
            return dataset.read_raw::<f64>().map(Some).map_err(failed);
        }
        Ok(None)
    }

    /// What a column of an orix crystal map says of the points that are `is_in_data`, if these are the patterns: kikuchipy writes the
    /// whole map beside the patterns of a part of it.
    fn part_of_a_crystal_map(&self, path: &str, dataset: &hdf5::Dataset) -> hdf5::Result<Option<Vec<f64>>> {
        let Some((folder, _)) = path.rsplit_once('/').filter(|(f, _)| f.ends_with("crystal_map/data")) else {
            return Ok(None);
        };
        let inside = format!("{folder}/is_in_data");
        if dataset.size() == self.count || !is(self.file, &inside, LocationType::Dataset) {
            return Ok(None);
        }
        let inside = self.file.dataset(&inside)?;
        if inside.shape() != dataset.shape() || h5::storage_size(&inside) == 0 || h5::storage_size(dataset) == 0 {
            return Ok(None);
        }
        // h5py writes an enumeration, other programs plain integers.
        let inside: Vec<bool> = match inside.dtype()?.is::<bool>() {
            true => inside.read_raw::<bool>()?,
            false => inside.read_raw::<i64>()?.into_iter().map(|v| v != 0).collect(),
        };
        let values = dataset.read_raw::<f64>()?;
        let kept: Vec<f64> = values.into_iter().zip(inside).filter(|(_, i)| *i).map(|(v, _)| v).collect();
        Ok((kept.len() == self.count).then_some(kept))
    }

    /// Refuses hexagonal grids; Bruker calls a square one isometric, EDAX `SqrGrid`.
    fn check_grid(&self) -> Result<()> {
        let name = format!("{}/Header/Grid Type", self.group);
        match text::dataset(self.file, &name) {
            Some(kind) if kind.to_ascii_lowercase().contains("hex") => {
                let what = format!("a grid of type '{kind}'; emstream reads square ones");
                Err(Error::unsupported(self.path, what))
            }
            _ => Ok(()),
        }
    }

    /// Of the places of stored patterns those that hold one: kikuchipy's layout has a place for every point.
    fn measured(&self, mut places: Places) -> Result<Places> {
        let path = format!("{}/Header/{MEASURED}", self.group);
        if is(self.file, &path, LocationType::Dataset) {
            let failed = |e: hdf5::Error| fault(self.path, path.as_str(), &e);
            let dataset = self.file.dataset(&path).map_err(failed)?;
            if dataset.size() != places.nav[0] * places.nav[1] {
                let what = format!(
                    "shape {:?} for a map of {} × {}",
                    dataset.shape(),
                    places.nav[0],
                    places.nav[1]
                );
                return Err(Error::format(self.path, path, what));
            }
            let measured = dataset.read_raw::<u8>().map_err(failed)?;
            places.keep(measured.into_iter().map(|m| m != 0));
        }
        Ok(places)
    }

    /// The shape of the map and where its stored patterns belong.
    fn places(&self, given: Option<[usize; 2]>) -> Result<Places> {
        if self.count > MAX_POINTS {
            return Err(Error::limit(self.path, format!("a map may have at most {MAX_POINTS} points")));
        }
        let edge = |names: &[&str]| -> Result<usize> {
            let place = || format!("{}/Header/{}", self.group, names[0]);
            let value = self.header(names).ok_or_else(|| {
                let what = format!("missing: an EBSD map needs its shape ({})", names.join(", "));
                Error::format(self.path, place(), what)
            })?;
            if value.fract() != 0.0 || !(1.0..=MAX_EDGE as f64).contains(&value) {
                return Err(Error::format(self.path, place(), format!("{value} is no size of a map")));
            }
            Ok(value as usize)
        };
        // Bruker's region of the SEM image: rows and columns of the header are those of the whole image.
        let region = (self.column(&["IX"])?, self.column(&["IY"])?);
        let extent = |v: &[f64]| {
            let (low, high) = v.iter().fold((f64::MAX, f64::MIN), |(l, h), &b| (l.min(b), h.max(b)));
            let n = high - low + 1.0;
            (n.fract() == 0.0 && (1.0..=MAX_EDGE as f64).contains(&n)).then_some(n as usize)
        };
        let nav = match (given, &region) {
            (Some(nav), _) => nav,
            (None, (Some(x), Some(y))) => match (extent(y), extent(x)) {
                (Some(rows), Some(columns)) => [rows, columns],
                _ => {
                    let place = format!("{}/SEM", self.group);
                    return Err(Error::format(self.path, place, "IX and IY are no positions"));
                }
            },
            _ => [edge(&ROWS)?, edge(&COLUMNS)?],
        };
        limits::check_points(self.path, nav, self.count)?;
        let points = nav[0] * nav[1];
        let beams = match region {
            (Some(x), Some(y)) => (Some(x), Some(y)),
            _ => (self.column(&BEAM_X)?, self.column(&BEAM_Y)?),
        };
        let (Some(x), Some(y)) = beams else {
            if points != self.count {
                let what = format!(
                    "{} patterns for a map of {} × {}, and no positions ({})",
                    self.count,
                    nav[0],
                    nav[1],
                    BEAM_X.join(", ")
                );
                return Err(Error::format(self.path, format!("{}/Data", self.group), what));
            }
            return Ok(Places::in_order(nav, self.count));
        };
        // Bruker counts beams from the corner of the SEM image: then the smallest is the map's corner.
        let origin = |v: &[f64], n: usize| {
            let (low, high) = v
                .iter()
                .fold((f64::MAX, f64::MIN), |(l, h), &b| (f64::min(l, b), f64::max(h, b)));
            if high >= n as f64 { low } else { 0.0 }
        };
        let (x0, y0) = (origin(&x, nav[1]), origin(&y, nav[0]));
        // Negative and broken positions become too large and are refused there.
        let at = y.iter().zip(&x).map(|(y, x)| {
            let place = |v: f64| if v >= 0.0 { v as usize } else { usize::MAX };
            [place(y - y0), place(x - x0)]
        });
        Places::new(self.path, "X BEAM, Y BEAM", nav, at)
    }
}
