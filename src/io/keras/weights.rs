//! Weights of Keras layers in HDF5.

use crate::error::{Error, Result};
use crate::io::h5;
use crate::io::h5::refused::{Told, there};
use hdf5::{Group, Location};
use ndarray::ArrayD;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Most values of one array of weights.
const MAX_VALUES: usize = 1 << 26;
/// Largest member of an archive.
const MAX_MEMBER: u64 = 1 << 30;
/// Most names of a list.
const MAX_NAMES: usize = 10_000;

/// An open file of weights.
pub(super) struct Weights {
    file: hdf5::File,
    /// Holds the layers.
    group: Group,
    /// Laid out as in archives.
    archived: bool,
    path: PathBuf,
    /// The unpacked member of an archive, deleted when the file is closed.
    _temporary: Option<tempfile::TempPath>,
}

impl Weights {
    /// Opens an HDF5 file with a model or weights.
    pub fn open(path: &Path) -> Result<Self> {
        let file = h5::open_file(path)?;
        let name = if there(&file, "model_weights") { "model_weights" } else { "/" };
        let group = file.group(name).map_err(|e| h5::fault(path, name, &e))?;
        Ok(Weights {
            file,
            group,
            archived: false,
            path: path.to_owned(),
            _temporary: None,
        })
    }

    /// The architecture's JSON.
    pub fn config(&self) -> Option<String> {
        h5::text::attribute_of(&self.file, "model_config")
    }

    /// Names of all layers in order.
    pub fn layers(&self) -> Result<Vec<String>> {
        names(&self.group, "layer_names").ok_or_else(|| {
            if there(&self.group, "layers") {
                let what =
                    "weights of Keras 3 without their model: the order of the layers is not in the file; save the whole model";
                return Error::unsupported(&self.path, what);
            }
            Error::format(
                &self.path,
                "attribute layer_names",
                "is missing: this is no model of Keras (nor weights of one)",
            )
        })
    }

    /// Number of outputs of a convolution: the last dimension of its kernel.
    pub fn outputs(&self, layer: &str) -> Result<usize> {
        let first = self.of(layer, layer)?.into_iter().next();
        Ok(first.and_then(|a| a.shape().last().copied()).unwrap_or(0))
    }

    /// The arrays of a layer in order; `stored` is its name in archives.
    pub fn of(&self, layer: &str, stored: &str) -> Result<Vec<ArrayD<f32>>> {
        let place = if self.archived {
            format!("layers/{stored}/vars")
        } else {
            layer.to_owned()
        };
        let group = self.group.group(&place);
        let group = group.map_err(|e| h5::fault(&self.path, format!("layer {layer}"), &e))?;
        let names = if self.archived {
            (0..8).map(|i| i.to_string()).take_while(|n| there(&group, n)).collect()
        } else {
            names(&group, "weight_names").unwrap_or_default()
        };
        names.iter().map(|name| self.array(&group, layer, name)).collect()
    }

    fn array(&self, group: &Group, layer: &str, name: &str) -> Result<ArrayD<f32>> {
        let place = || format!("layer {layer}, weights {name}");
        let failed = |e: hdf5::Error| h5::fault(&self.path, place(), &e);
        let data = group.dataset(name).map_err(failed)?;
        let known = data.dtype().told().as_ref().and_then(h5::kind_of).is_some();
        if !known {
            return Err(Error::unsupported(
                &self.path,
                format!("{}: values that are no numbers", place()),
            ));
        }
        if data.size() > MAX_VALUES {
            return Err(Error::limit(&self.path, format!("{}: {} values", place(), data.size())));
        }
        data.read_dyn::<f32>().map_err(failed)
    }
}

/// A list of names: one attribute, or several with numbers where it was too long for one.
fn names(at: &Location, name: &str) -> Option<Vec<String>> {
    if let Some(list) = texts(at, name) {
        return Some(list);
    }
    let mut all = Vec::new();
    for part in 0.. {
        match texts(at, &format!("{name}{part}")) {
            Some(list) if all.len() < MAX_NAMES => all.extend(list),
            _ => break,
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The texts of one attribute. An empty list may be stored as numbers.
fn texts(at: &Location, name: &str) -> Option<Vec<String>> {
    let attribute = at.attr(name).told()?;
    match attribute.size() {
        0 => return Some(Vec::new()),
        n if n > MAX_NAMES => return None,
        _ => {}
    }
    h5::text::strings(&attribute)
}

/// The configuration and weights of a `.keras` archive.
pub(super) fn archive(path: &Path) -> Result<(String, Weights)> {
    let io = |e: std::io::Error| Error::io(path, "cannot read", e);
    let file = std::io::BufReader::new(std::fs::File::open(path).map_err(io)?);
    let mut zip = zip::ZipArchive::new(file).map_err(|e| Error::format(path, "archive", e.to_string()))?;
    let mut member = |name: &str| -> Result<Vec<u8>> {
        let place = || format!("member {name}");
        let entry = zip.by_name(name).map_err(|e| Error::format(path, place(), e.to_string()))?;
        // What is unpacked counts, not what the archive says about it.
        let mut bytes = Vec::new();
        entry
            .take(MAX_MEMBER + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::format(path, place(), e.to_string()))?;
        match bytes.len() as u64 > MAX_MEMBER {
            true => Err(Error::limit(path, format!("{}: more than {MAX_MEMBER} bytes", place()))),
            false => Ok(bytes),
        }
    };
    let config = String::from_utf8_lossy(&member("config.json")?).into_owned();
    let bytes = member("model.weights.h5")?;
    let temporary = |e| Error::io("temporary file", "cannot write", e);
    let mut unpacked = tempfile::NamedTempFile::new().map_err(temporary)?;
    unpacked.write_all(&bytes).map_err(temporary)?;
    let unpacked = unpacked.into_temp_path();
    let place = |e: hdf5::Error| h5::fault(path, "member model.weights.h5", &e);
    let file = h5::open_file(&unpacked).map_err(|_| Error::format(path, "member model.weights.h5", "is no HDF5 file"))?;
    let weights = Weights {
        group: file.group("/").map_err(place)?,
        file,
        archived: true,
        path: path.to_owned(),
        _temporary: Some(unpacked),
    };
    Ok((config, weights))
}
