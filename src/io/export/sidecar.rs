//! `attributes.json`: what the exported files themselves cannot say.

use super::dataset::{Kind, Source};
use crate::error::{Error, Result};
use crate::io::h5::refused::Told;
use hdf5::types::{TypeDescriptor, VarLenAscii, VarLenUnicode};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) const NAME: &str = "attributes.json";

/// Text longer than this many values is left out.
const MAX_TEXTS: usize = 100_000;

/// The sidecar: under `datasets` one entry for each dataset with its files, type, shape and attributes, text itself under `value`;
/// under `groups` the attributes of groups.
pub(super) fn json(result: &Path, file: &hdf5::Group, sources: &[Source], files: Vec<(&str, &str)>) -> Result<Vec<u8>> {
    let mut datasets = Map::new();
    let mut groups = Map::new();
    for source in sources {
        let mut entry = Map::new();
        let own: Vec<&str> = files.iter().filter(|f| f.0 == source.path).map(|f| f.1).collect();
        match own.as_slice() {
            [] => {}
            [only] => drop(entry.insert("file".into(), json!(only))),
            several => drop(entry.insert("files".into(), json!(several))),
        }
        entry.insert("dtype".into(), json!(source.kind.name()));
        entry.insert("shape".into(), json!(source.shape));
        if source.kind == Kind::Text
            && source.shape.iter().product::<usize>() <= MAX_TEXTS
            && let Some(value) = text_value(&source.dataset)
        {
            entry.insert("value".into(), value);
        }
        entry.extend(attributes(&source.dataset));
        datasets.insert(source.path.clone(), Value::Object(entry));
        for (end, _) in source.path.match_indices('/') {
            let name = &source.path[..end];
            if !groups.contains_key(name)
                && let Some(group) = file.group(name).told()
            {
                groups.insert(name.to_owned(), Value::Object(attributes(&group)));
            }
        }
    }
    groups.retain(|_, attributes| attributes.as_object().is_some_and(|a| !a.is_empty()));
    let name = result.file_name().unwrap_or_default().to_string_lossy();
    let all = json!({ "source": name, "datasets": datasets, "groups": groups });
    serde_json::to_vec_pretty(&all).map_err(|e| Error::Internal(format!("{NAME}: {e}")))
}

/// Attributes that are text or numbers.
fn attributes(at: &hdf5::Location) -> Map<String, Value> {
    let mut found = Map::new();
    for name in at.attr_names().told().unwrap_or_default() {
        let Some(attribute) = at.attr(&name).told() else { continue };
        let value = text_value(&attribute).or_else(|| {
            let numbers: Vec<f64> = attribute.read_dyn::<f64>().told()?.into_iter().collect();
            Some(scalar_or_list(
                attribute.ndim(),
                numbers.into_iter().map(|v| json!(v)).collect(),
            ))
        });
        if let Some(value) = value {
            found.insert(name, value);
        }
    }
    found
}

/// The names in a text attribute with one axis.
pub(super) fn texts(at: &hdf5::Location, name: &str) -> Option<Vec<String>> {
    let attribute = at.attr(name).told()?;
    match text_value(&attribute)? {
        Value::Array(values) => Some(values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()),
        _ => None,
    }
}

/// Text of variable length, as h5py and we write it.
fn text_value(container: &hdf5::Container) -> Option<Value> {
    let texts: Vec<Value> = match container.dtype().told()?.to_descriptor().told()? {
        TypeDescriptor::VarLenUnicode => container
            .read_dyn::<VarLenUnicode>()
            .told()?
            .iter()
            .map(|t| json!(t.as_str()))
            .collect(),
        TypeDescriptor::VarLenAscii => container
            .read_dyn::<VarLenAscii>()
            .told()?
            .iter()
            .map(|t| json!(t.as_str()))
            .collect(),
        _ => return None,
    };
    Some(scalar_or_list(container.ndim(), texts))
}

fn scalar_or_list(dimensions: usize, mut values: Vec<Value>) -> Value {
    match (dimensions, values.pop()) {
        (0, Some(only)) => only,
        (_, None) => Value::Array(Vec::new()),
        (_, Some(last)) => {
            values.push(last);
            Value::Array(values)
        }
    }
}
