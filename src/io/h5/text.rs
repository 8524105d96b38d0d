//! Small values in HDF5 files: strings in any of the ways in which programs write them, and numbers that may be scalars or arrays of one.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{Container, File, Group, Location};

/// Longest string of fixed length that is read.
const LONGEST: usize = 1024;
/// Longest list of texts that is read.
const MAX_LIST: usize = 10_000;

/// The text of a scalar, or of an array of one.
fn text(at: &Container) -> Option<String> {
    if at.size() != 1 {
        return None;
    }
    let first = |v: Vec<String>| v.into_iter().next();
    let read = at
        .read_raw::<VarLenUnicode>()
        .map(|v| first(v.iter().map(|s| s.as_str().to_owned()).collect()));
    let read = read.or_else(|_| {
        at.read_raw::<VarLenAscii>()
            .map(|v| first(v.iter().map(|s| s.as_str().to_owned()).collect()))
    });
    let read = read.or_else(|_| {
        at.read_raw::<FixedAscii<LONGEST>>()
            .map(|v| first(v.iter().map(|s| s.as_str().to_owned()).collect()))
    });
    let read = read.or_else(|_| {
        at.read_raw::<FixedUnicode<LONGEST>>()
            .map(|v| first(v.iter().map(|s| s.as_str().to_owned()).collect()))
    });
    read.ok().flatten()
}

/// A string dataset.
pub(crate) fn dataset(file: &File, path: &str) -> Option<String> {
    text(&*open(file, path)?)
}

/// A string attribute of a dataset.
pub(crate) fn attribute(file: &File, path: &str, name: &str) -> Option<String> {
    text(&*open(file, path)?.attr(name).ok()?)
}

/// A string attribute of an object that is open.
pub(crate) fn attribute_of(at: &Location, name: &str) -> Option<String> {
    let attribute = at.attr(name).ok()?;
    text(&attribute)
}

/// A string attribute, or an attribute that is a list of strings.
pub(crate) fn attribute_list(at: &Location, name: &str) -> Option<Vec<String>> {
    let attribute = at.attr(name).ok()?;
    if let Some(one) = text(&attribute) {
        return Some(vec![one]);
    }
    if attribute.size() > 64 {
        return None;
    }
    let strings = attribute
        .read_raw::<VarLenUnicode>()
        .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect());
    let strings = strings.or_else(|_| {
        attribute
            .read_raw::<VarLenAscii>()
            .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect())
    });
    let strings = strings.or_else(|_| {
        attribute
            .read_raw::<FixedAscii<LONGEST>>()
            .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect())
    });
    strings.ok()
}

/// A string that is a dataset or an attribute of `group`.
pub(crate) fn member(group: &Group, name: &str) -> Option<String> {
    match group.dataset(name) {
        Ok(dataset) => text(&dataset),
        Err(_) => attribute_of(group, name),
    }
}

/// All strings of a dataset with one axis.
pub(crate) fn list(group: &Group, name: &str) -> Option<Vec<String>> {
    let dataset = group.dataset(name).ok().filter(|d| d.ndim() == 1 && d.size() <= MAX_LIST)?;
    let unicode = dataset
        .read_1d::<VarLenUnicode>()
        .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect());
    unicode
        .or_else(|_| {
            dataset
                .read_1d::<VarLenAscii>()
                .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect())
        })
        .ok()
}

/// A unit as it is, or nothing where a program says in its own words that there is none or that it counts pixels.
pub(crate) fn unit(unit: &str) -> String {
    // Old EMD files write `[n_m]` and `[1_n_m]`.
    if let Some(inner) = unit.strip_prefix('[').and_then(|u| u.strip_suffix(']')) {
        let plain = inner.replace('_', "");
        return if matches!(plain.as_str(), "pix" | "px" | "pixels" | "") {
            String::new()
        } else {
            plain
        };
    }
    match unit {
        "_None_" | "None" | "<undefined>" | "_ragged_undefined_string" | "unknown" | "pixels" | "pixel" | "pix" | "px" => {
            String::new()
        }
        unit => unit.to_owned(),
    }
}

/// A dataset of one number.
pub(crate) fn number(file: &File, path: &str) -> Option<f64> {
    numbers(file, path, 1)?.first().copied().filter(|v| v.is_finite())
}

/// A dataset of at least one and at most `most` numbers.
pub(crate) fn numbers(file: &File, path: &str, most: usize) -> Option<Vec<f64>> {
    let dataset = open(file, path)?;
    super::kind_of(&dataset.dtype().ok()?)?;
    (1..=most).contains(&dataset.size()).then(|| dataset.read_raw().ok())?
}

fn open(file: &File, path: &str) -> Option<hdf5::Dataset> {
    // The library asks for every group on the way before it answers that a link is missing.
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    (1..=parts.len())
        .all(|n| file.link_exists(&parts[..n].join("/")))
        .then(|| file.dataset(path).ok())?
}
