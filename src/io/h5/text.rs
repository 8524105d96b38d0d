//! Small values in HDF5 files: strings in any of the ways in which programs write them, and numbers that may be scalars or arrays of one.

use super::refused::Told;
use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{Container, File, Group, Location};

/// Longest string of fixed length that is read.
const LONGEST: usize = 1024;
/// Longest list of texts that is read.
const MAX_LIST: usize = 10_000;

/// Strings of whatever kind, as many as there are.
pub(crate) fn strings(at: &Container) -> Option<Vec<String>> {
    macro_rules! of {
        ($kind:ty) => {
            || {
                let read = at.read_raw::<$kind>().told()?;
                Some(read.iter().map(|s| s.as_str().to_owned()).collect())
            }
        };
    }
    of!(VarLenUnicode)()
        .or_else(of!(VarLenAscii))
        .or_else(of!(FixedAscii<LONGEST>))
        .or_else(of!(FixedUnicode<LONGEST>))
}

/// The text of a scalar, or of an array of one.
fn text(at: &Container) -> Option<String> {
    if at.size() != 1 {
        return None;
    }
    strings(at)?.into_iter().next()
}

/// A string dataset.
pub(crate) fn dataset(file: &File, path: &str) -> Option<String> {
    text(&*open(file, path)?)
}

/// A string attribute of a dataset.
pub(crate) fn attribute(file: &File, path: &str, name: &str) -> Option<String> {
    text(&*open(file, path)?.attr(name).told()?)
}

/// A string attribute of an object that is open.
pub(crate) fn attribute_of(at: &Location, name: &str) -> Option<String> {
    let attribute = at.attr(name).told()?;
    text(&attribute)
}

/// A string attribute, or an attribute that is a list of strings.
pub(crate) fn attribute_list(at: &Location, name: &str) -> Option<Vec<String>> {
    let attribute = at.attr(name).told()?;
    if let Some(one) = text(&attribute) {
        return Some(vec![one]);
    }
    if attribute.size() > 64 {
        return None;
    }
    strings(&attribute)
}

/// A string that is a dataset or an attribute of `group`.
pub(crate) fn member(group: &Group, name: &str) -> Option<String> {
    match group.dataset(name).told() {
        Some(dataset) => text(&dataset),
        None => attribute_of(group, name),
    }
}

/// All strings of a dataset with one axis.
pub(crate) fn list(group: &Group, name: &str) -> Option<Vec<String>> {
    let dataset = group.dataset(name).told().filter(|d| d.ndim() == 1 && d.size() <= MAX_LIST)?;
    strings(&dataset)
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
    super::kind_of(&dataset.dtype().told()?)?;
    (1..=most).contains(&dataset.size()).then(|| dataset.read_raw().told())?
}

fn open(file: &File, path: &str) -> Option<hdf5::Dataset> {
    file.dataset(path).told()
}
