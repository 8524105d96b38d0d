//! Looking around in result files: which arrays there are, and parts of them as numbers.

use super::h5::refused::{Told, all_told};
use super::h5::{self, text};
use super::readat::ReadAt;
use crate::error::{Error, Result};
use hdf5::{Group, Hyperslab, IndexType, IterationOrder, LinkType, LocationType, SliceOrIndex};
use ndarray::ArrayD;
use std::path::{Path, PathBuf};

/// Deepest group and most objects that are looked at.
const MAX_DEPTH: usize = 16;
const MAX_OBJECTS: usize = 20_000;

/// An array of numbers in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// With a slash in front.
    pub path: String,
    pub shape: Vec<usize>,
    /// True for integers.
    pub integer: bool,
    /// Names of the axes, one for each dimension, or empty where the file names none.
    pub axes: Vec<String>,
    pub unit: String,
    pub meaning: String,
}

/// An HDF5 file that is open for looking around.
pub struct Browser {
    path: PathBuf,
    file: hdf5::File,
    listed: Vec<Listed>,
}

/// True if the file begins as HDF5 files do.
///
/// # Errors
/// [`Error::Io`] if it cannot be read.
pub fn is_hdf5(path: &Path) -> Result<bool> {
    h5::has_signature(&ReadAt::open(path)?)
}

impl Browser {
    /// Lists the arrays of numbers of a file, in the order of their paths. Links to other places and files are not followed.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for a file that cannot be opened as HDF5.
    pub fn open(path: &Path) -> Result<Browser> {
        drop(ReadAt::open(path)?);
        let file = h5::open_file(path)?;
        let mut search = Search::default();
        all_told(path, || {
            let visited = search.visit(&file, "", 0);
            visited.map_err(|e| h5::fault(path, "list of datasets", &e))
        })?;
        Ok(Browser {
            path: path.to_owned(),
            file,
            listed: search.found,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All arrays of numbers.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The array of that path (`/lattice/zero` or `lattice/zero`).
    pub fn get(&self, path: &str) -> Option<&Listed> {
        let path = path.trim_start_matches('/');
        self.listed.iter().find(|l| l.path.trim_start_matches('/') == path)
    }

    /// Values of an array where `at` gives an index for some of its axes, slowest first: `None` takes the whole axis. Axes that are not
    /// mentioned are taken whole. Integers are converted; those beyond 2⁵³ are rounded.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an array that was not listed or an index outside of it, [`Error::Limit`] above `most` bytes of
    /// float64, [`Error::Format`] where the file is damaged.
    pub fn read(&self, path: &str, at: &[Option<usize>], most: u64) -> Result<ArrayD<f64>> {
        let listed = self
            .get(path)
            .ok_or_else(|| Error::parameter(path, format!("no array of {}", self.path.display())))?;
        let fixed = |axis: usize| at.get(axis).copied().flatten();
        if let Some((axis, i)) = (0..listed.shape.len())
            .filter_map(|a| Some((a, fixed(a)?)))
            .find(|&(a, i)| i >= listed.shape[a])
        {
            let what = format!("index {i} of axis {axis}, which has {}", listed.shape[axis]);
            return Err(Error::parameter(path, what));
        }
        let values = (0..listed.shape.len())
            .filter(|&a| fixed(a).is_none())
            .try_fold(8u64, |n, a| n.checked_mul(listed.shape[a] as u64));
        if values.is_none_or(|bytes| bytes > most) {
            return Err(Error::limit(
                &self.path,
                format!("{path} takes more than the {} MiB that are read", most >> 20),
            ));
        }
        let dataset = self.file.dataset(&listed.path).map_err(|e| self.fault(path, &e))?;
        let part: Vec<SliceOrIndex> = (0..listed.shape.len())
            .map(|a| fixed(a).map_or_else(|| (..).into(), SliceOrIndex::from))
            .collect();
        let read = if part.is_empty() || listed.shape.contains(&0) || at.iter().all(Option::is_none) {
            dataset.read_dyn::<f64>()
        } else {
            dataset.read_slice(Hyperslab::from(part))
        };
        read.map_err(|e| self.fault(path, &e))
    }

    /// A text attribute of an array or group.
    pub fn attribute(&self, path: &str, name: &str) -> Option<String> {
        text::attribute(&self.file, path, name)
    }

    /// `/provenance`'s command (`strain`, …), if the file has one.
    pub fn command(&self) -> Option<String> {
        let group = self.file.group("provenance").told()?;
        text::attribute_of(&group, "command")
    }

    fn fault(&self, path: &str, e: &hdf5::Error) -> Error {
        h5::fault(&self.path, path, e)
    }
}

#[derive(Default)]
struct Search {
    found: Vec<Listed>,
    objects: usize,
    seen: Vec<hdf5::LocationToken>,
}

impl Search {
    fn visit(&mut self, group: &Group, prefix: &str, depth: usize) -> hdf5::Result<()> {
        let mut names = Vec::new();
        group.iter_visit(IndexType::Name, IterationOrder::Increasing, |name, info| {
            if info.link_type == LinkType::Hard && names.len() < MAX_OBJECTS {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        for name in names {
            self.objects += 1;
            if self.objects > MAX_OBJECTS {
                return Ok(());
            }
            let Some(info) = group.loc_info_by_name(&name).told() else {
                continue;
            };
            let path = format!("{prefix}/{name}");
            match info.loc_type {
                LocationType::Group if depth < MAX_DEPTH && !self.seen.contains(&info.token) => {
                    self.seen.push(info.token);
                    if let Some(inner) = group.group(&name).told() {
                        // A group that cannot be read hides nothing else.
                        let _ = self.visit(&inner, &path, depth + 1).told();
                    }
                }
                LocationType::Dataset => self.found.extend(listed(group, &name, path)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn listed(group: &Group, name: &str, path: String) -> Option<Listed> {
    let dataset = group.dataset(name).told()?;
    let stored = h5::kind_of(&dataset.dtype().told()?)?;
    let shape = dataset.space().told()?.shape();
    let axes = texts(&dataset, "axes").filter(|a| a.len() == shape.len()).unwrap_or_default();
    Some(Listed {
        path,
        integer: stored.kind.default_pixel().is_integer(),
        axes,
        unit: text::attribute_of(&dataset, "unit").unwrap_or_default(),
        meaning: text::attribute_of(&dataset, "description").unwrap_or_default(),
        shape,
    })
}

fn texts(at: &hdf5::Location, name: &str) -> Option<Vec<String>> {
    let attribute = at.attr(name).told().filter(|a| a.size() <= 32)?;
    text::strings(&attribute)
}
