//! Text in HDF5 files, in any of the ways in which programs write it.

use hdf5::types::{FixedAscii, FixedUnicode, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Group, Location};

/// Longest list of texts that is read.
const MAX_LIST: usize = 10_000;

/// A text attribute; `None` where there is none.
pub(crate) fn attribute(at: &Location, name: &str) -> Option<String> {
    let attribute = at.attr(name).ok()?;
    one(&attribute)
}

/// A text that is a dataset or an attribute of `group`.
pub(crate) fn member(group: &Group, name: &str) -> Option<String> {
    match group.dataset(name) {
        Ok(dataset) => one(&dataset),
        Err(_) => attribute(group, name),
    }
}

/// All texts of a dataset with one axis.
pub(crate) fn list(group: &Group, name: &str) -> Option<Vec<String>> {
    let dataset = group.dataset(name).ok().filter(|d| d.ndim() == 1 && d.size() <= MAX_LIST)?;
    dataset
        .read_1d::<VarLenUnicode>()
        .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect())
        .or_else(|_| {
            dataset
                .read_1d::<VarLenAscii>()
                .map(|v| v.iter().map(|s| s.as_str().to_owned()).collect())
        })
        .ok()
}

fn one(from: &Container) -> Option<String> {
    from.read_scalar::<VarLenUnicode>()
        .map(|s| s.as_str().to_owned())
        .or_else(|_| from.read_scalar::<VarLenAscii>().map(|s| s.as_str().to_owned()))
        .or_else(|_| from.read_scalar::<FixedAscii<64>>().map(|s| s.as_str().to_owned()))
        .or_else(|_| from.read_scalar::<FixedUnicode<64>>().map(|s| s.as_str().to_owned()))
        .ok()
}

/// A unit as it is, or nothing where a program says in its own words that there is none or that it counts pixels.
pub(crate) fn unit(unit: &str) -> String {
    match unit {
        "_None_"
        | "None"
        | "<undefined>"
        | "_ragged_undefined_string"
        | "unknown"
        | "pixels"
        | "pixel"
        | "pix"
        | "[pix]"
        | "[pixels]" => String::new(),
        unit => unit.to_owned(),
    }
}
