//! Which datasets of a file could be scans.

use super::refused::{Told, all_told};
use super::{fault, kind_of, nexus, open_file};
use crate::error::{Error, Result};
use hdf5::{File, Group, IndexType, IterationOrder, LinkType, LocationType};
use std::path::Path;

/// Deepest group that is searched, and most objects that are looked at: a forged file cannot keep the search busy.
const MAX_DEPTH: usize = 32;
const MAX_OBJECTS: usize = 20_000;

/// A dataset of an HDF5 file that could be opened as a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Path inside the file, with a slash in front.
    pub path: String,
    /// Its dimensions, slowest first.
    pub shape: Vec<u64>,
    /// Type of its values, e.g. `uint16 big-endian`.
    pub dtype: String,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {} {}", self.path, crate::io::limits::tuple(&self.shape), self.dtype)
    }
}

/// All datasets of numbers with 3 or 4 dimensions, in the order of their paths. Soft and external links are not followed.
///
/// # Errors
/// [`Error::Format`] if the library cannot read the file.
pub(crate) fn candidates(path: &Path) -> Result<Vec<Candidate>> {
    all_told(path, || Ok(search(path, &open_file(path)?)?.found))
}

/// The given dataset, or the only candidate.
///
/// # Errors
/// [`Error::Parameter`] with the candidates where there are none or several, or where the given one does not exist.
pub(super) fn choose(path: &Path, file: &File, given: Option<&str>) -> Result<String> {
    if let Some(name) = given {
        // Absolute, as files name their datasets.
        let name = format!("/{}", name.trim_matches('/'));
        if file.loc_type_by_name(&name).told() == Some(LocationType::Dataset) {
            return Ok(name);
        }
        let all = search(path, file)?;
        let what = format!("{} has no dataset {name}; {}", path.display(), all.describe());
        return Err(Error::parameter("--dataset", what));
    }
    let mut all = search(path, file)?;
    match (all.found.len(), all.found.pop()) {
        (1, Some(only)) => Ok(only.path),
        (_, None) => Err(Error::unsupported(path, all.describe())),
        (n, Some(last)) => {
            all.found.push(last);
            // NeXus files say which of their datasets is meant.
            if let Some(name) = nexus::default_signal(file).filter(|n| all.found.iter().any(|c| c.path == *n)) {
                return Ok(name);
            }
            let signals: Vec<&Candidate> = all.found.iter().filter(|c| nexus::is_signal(file, &c.path)).collect();
            if let [only] = signals[..] {
                return Ok(only.path.clone());
            }
            Err(Error::parameter(
                "--dataset",
                format!("{} has {n} datasets to choose from; {}", path.display(), all.describe()),
            ))
        }
    }
}

#[derive(Default)]
struct Search {
    found: Vec<Candidate>,
    /// Numeric datasets with other dimensions, to explain why there is no candidate.
    others: Vec<Candidate>,
    objects: usize,
    seen: Vec<hdf5::LocationToken>,
}

impl Search {
    fn describe(&self) -> String {
        let list = |c: &[Candidate]| c.iter().take(20).map(Candidate::to_string).collect::<Vec<_>>().join("; ");
        match (self.found.as_slice(), self.others.as_slice()) {
            ([], []) => "there is no dataset of numbers in it".into(),
            ([], others) => format!("no dataset has 3 or 4 dimensions, there are: {}", list(others)),
            (found, _) => format!("candidates: {}", list(found)),
        }
    }

    fn visit(&mut self, group: &Group, prefix: &str, depth: usize) -> hdf5::Result<()> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let mut names = Vec::new();
        group.iter_visit(IndexType::Name, IterationOrder::Increasing, |name, info| {
            if info.link_type == LinkType::Hard && names.len() < MAX_OBJECTS {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        // What lies in the metadata of a HyperSpy signal belongs to it: variances, models, other signals.
        let signal = names.iter().any(|n| n == "axis-0");
        let inner = |name: &str| signal && ["metadata", "original_metadata", "learning_results"].contains(&name);
        for name in names.into_iter().filter(|n| !inner(n)) {
            self.objects += 1;
            if self.objects > MAX_OBJECTS {
                return Ok(());
            }
            // A member that cannot be read hides nothing else.
            let Some(info) = group.loc_info_by_name(&name).told() else {
                continue;
            };
            let path = format!("{prefix}/{name}");
            match info.loc_type {
                LocationType::Group if !self.seen.contains(&info.token) => {
                    self.seen.push(info.token);
                    if let Some(g) = group.group(&name).told() {
                        self.visit(&g, &path, depth + 1)?;
                    }
                }
                LocationType::Dataset => self.dataset(group, &name, path),
                _ => {}
            }
        }
        Ok(())
    }

    fn dataset(&mut self, group: &Group, name: &str, path: String) {
        let Some(d) = group.dataset(name).told() else { return };
        let (Some(space), Some(dtype)) = (d.space().told(), d.dtype().told()) else {
            return;
        };
        let Some(stored) = kind_of(&dtype) else { return };
        let shape: Vec<u64> = space.shape().iter().map(|&n| n as u64).collect();
        let scan = matches!(shape.len(), 3 | 4);
        let c = Candidate {
            path,
            shape,
            dtype: stored.to_string(),
        };
        if scan { self.found.push(c) } else { self.others.push(c) }
    }
}

fn search(path: &Path, file: &File) -> Result<Search> {
    let mut s = Search::default();
    s.visit(file, "", 0).map_err(|e| fault(path, "list of datasets", &e))?;
    Ok(s)
}
