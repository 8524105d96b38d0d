//! NeXus: which dataset a file means to be looked at, and the axes beside it.
//!
//! The NeXus manual (<https://manual.nexusformat.org>, "NXdata", "Associating plottable data"): attributes `default` lead from the root to a group
//! whose attribute `signal` names the dataset; before 2014 the dataset itself had an attribute `signal` of 1. `axes` names one dataset for each
//! dimension, `.` for none.

use super::refused::{Told, there};
use super::text;
use hdf5::{File, Group};

/// Longest chain of `default`.
const MAX_DEPTH: usize = 8;

/// The dataset to which `default` leads.
pub(super) fn default_signal(file: &File) -> Option<String> {
    let mut path = String::new();
    let mut group: Group = file.group("/").told()?;
    for _ in 0..MAX_DEPTH {
        if let Some(signal) = text::attribute_of(&group, "signal").filter(|s| is_name(s)) {
            return there(&group, &signal).then(|| format!("{path}/{signal}"));
        }
        let next = text::attribute_of(&group, "default").filter(|s| is_name(s))?;
        group = group.group(&next).told()?;
        path = format!("{path}/{next}");
    }
    None
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

/// True if the group of a dataset, or the dataset itself, says that it is the signal.
pub(super) fn is_signal(file: &File, name: &str) -> bool {
    let Some((parent, leaf)) = name.rsplit_once('/') else {
        return false;
    };
    let parent = if parent.is_empty() { "/" } else { parent };
    let by_group = file.group(parent).told().and_then(|g| text::attribute_of(&g, "signal"));
    if let Some(signal) = by_group {
        return signal == leaf;
    }
    let Some(dataset) = file.dataset(name).told() else {
        return false;
    };
    let Some(attribute) = dataset.attr("signal").told() else {
        return false;
    };
    let text = text::attribute_of(&dataset, "signal");
    attribute.read_scalar::<i64>().told() == Some(1) || text.as_deref() == Some("1")
}

/// The name of the dataset with the coordinates of dimension `i`.
pub(super) fn axis_name(file: &File, name: &str, i: usize) -> Option<String> {
    let (parent, _) = name.rsplit_once('/')?;
    let group = file.group(if parent.is_empty() { "/" } else { parent }).told()?;
    let names = text::attribute_list(&group, "axes").or_else(|| {
        let dataset = file.dataset(name).told()?;
        let list = text::attribute_list(&dataset, "axes")?;
        // In older files one text: names between colons or commas.
        let split = |s: &String| {
            s.trim_matches(['[', ']'])
                .split([':', ','])
                .map(|s| s.trim().to_owned())
                .collect()
        };
        Some(if list.len() == 1 { list.first().map(split)? } else { list })
    })?;
    let axis = names.get(i).filter(|n| *n != "." && is_name(n))?;
    there(&group, axis).then(|| format!("{parent}/{axis}"))
}
