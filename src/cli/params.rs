//! Parameter files: TOML that an earlier run wrote, or a person.

use emstream::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::Path;

/// What the file says; defaults without one.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] with what is wrong in it.
pub(super) fn read<P: DeserializeOwned + Default>(path: Option<&Path>) -> Result<P> {
    let Some(path) = path else {
        return Ok(P::default());
    };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "cannot read", e))?;
    toml::from_str(&text).map_err(|e| Error::format(path, "parameters", e.to_string()))
}
