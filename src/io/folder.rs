//! What lies in a folder that is a scan: a `.zspy` hierarchy, images of patterns.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file in a folder or in one inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// From the folder on.
    pub path: PathBuf,
    pub bytes: u64,
    /// Last change; `None` if the system does not tell.
    pub modified: Option<SystemTime>,
}

/// All files in `folder`, in the order of their paths. Links are followed to files only: folders may lead back to themselves.
///
/// # Errors
/// [`Error::Io`] for a folder that cannot be listed.
pub(crate) fn members(folder: &Path) -> Result<Vec<Member>> {
    let (mut members, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = folders.pop() {
        let at = folder.join(&inner);
        let failed = |e| Error::io(&at, "cannot list", e);
        for entry in std::fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = inner.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else {
                let known = std::fs::metadata(entry.path()).ok();
                members.push(Member {
                    path,
                    bytes: known.as_ref().map_or(0, |m| m.len()),
                    modified: known.and_then(|m| m.modified().ok()),
                });
            }
        }
    }
    // Folders come in any order.
    members.sort_unstable();
    Ok(members)
}

/// Length of the file `path`; 0 if it is a folder.
pub(crate) fn bytes_of_file(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| if m.is_dir() { 0 } else { m.len() })
}
