//! What a disk refuses to give is not what a file does not hold.
//!
//! Nearly all metadata are optional, and the library answers a question for something that is missing as it answers one whose answer could not be
//! read: by an error. Only the causes below it tell the two apart. [`Told::told`] takes an error for "not there" and remembers a refusal of the
//! disk; [`all_told`] makes an error of what was refused while a file was described. A damaged file is not meant: what it cannot give is not there.

use super::fault;
use crate::error::Result;
use hdf5::Location;
use std::cell::RefCell;
use std::path::Path;

thread_local! {
    /// The first refusal on this thread since [`all_told`] began.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// An answer of the library that may be "not there".
pub(crate) trait Told<T> {
    /// The answer, if there is one.
    fn told(self) -> Option<T>;
}

impl<T> Told<T> for hdf5::Result<T> {
    fn told(self) -> Option<T> {
        self.map_err(note).ok()
    }
}

fn note(e: hdf5::Error) {
    if is_refusal(&e) {
        REFUSED.with_borrow_mut(|first| {
            first.get_or_insert_with(|| e.to_string());
        });
    }
}

/// True for an error that began with a read that the system refused.
fn is_refusal(e: &hdf5::Error) -> bool {
    // The driver tells the system's `errno`; addresses outside of a damaged file fail with the same codes, but without one.
    e.stack()
        .is_some_and(|causes| causes.iter().any(|c| c.desc().contains("errno = ")))
}

/// True if `path` leads to an object; groups on the way may be missing.
pub(crate) fn there(at: &Location, path: &str) -> bool {
    // `link_exists` says no more than no, whatever the cause.
    at.loc_type_by_name(path).told().is_some()
}

/// Runs `describe`, which reads the metadata of the file at `path`.
///
/// # Errors
/// What `describe` says, but first [`Error::Format`](crate::error::Error::Format) if the disk refused to give something that `describe` took
/// for missing.
pub(crate) fn all_told<T>(path: &Path, describe: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = REFUSED.take();
    let described = describe();
    match REFUSED.replace(before) {
        Some(e) => Err(fault(path, "metadata", &e.into())),
        None => described,
    }
}
