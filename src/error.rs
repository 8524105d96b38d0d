//! The one error type. Each variant says what failed and where; the program prints it as one line.

use std::path::{Path, PathBuf};

/// `Result` with emstream's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. `Display` is one line: cause first, then a hint where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
    },
    /// A file's content contradicts its format: `place` names the field, record or byte offset.
    #[error("{}: {place}: {what}", path.display())]
    Format { path: PathBuf, place: String, what: String },
    /// A valid file that emstream cannot read (yet).
    #[error("{}: not supported: {what}", path.display())]
    Unsupported { path: PathBuf, what: String },
    /// A size in a header or a request exceeds what emstream accepts.
    #[error("{}: {what}", path.display())]
    Limit { path: PathBuf, what: String },
    /// A flag or parameter that makes no sense here.
    #[error("{name}: {what}")]
    Parameter { name: String, what: String },
    /// The work does not fit into the memory it may use.
    #[error("{what} (raise --memory or --gpu-memory)")]
    Memory { what: String },
    /// The GPU, its driver, or the lack of one.
    #[error("GPU: {0}")]
    Device(String),
    /// The device was lost in the middle of a pass; the engine retries once.
    #[error("GPU: device lost: {0}")]
    DeviceLost(String),
    /// The device has no memory left; the engine retries with smaller blocks.
    #[error("GPU: out of memory: {0}")]
    DeviceMemory(String),
    /// Frames or tables that no binding of the device can hold; the engine runs what needs them on the CPU.
    #[error("GPU: {0}")]
    TooLargeForDevice(String),
    /// A kernel that this driver cannot build; the engine runs it on the CPU.
    #[error("GPU: {0}")]
    Kernel(String),
    /// Ctrl-C, or a caller's cancellation.
    #[error("cancelled")]
    Cancelled,
    /// A bug in emstream: please report it.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Errors quote what stands in files: whatever that is, the message stays one line that a terminal can show.
fn one_line(text: String) -> String {
    match text.contains(char::is_control) {
        true => text.replace(char::is_control, "?"),
        false => text,
    }
}

impl Error {
    /// An [`Error::Io`] for `path`; `action` completes "cannot …", e.g. `"cannot read"`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: std::io::Error) -> Self {
        Error::Io {
            path: path.as_ref().to_owned(),
            action,
            source,
        }
    }
    /// An [`Error::Format`] for `path` at `place`.
    pub fn format(path: impl AsRef<Path>, place: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Format {
            path: path.as_ref().to_owned(),
            place: one_line(place.into()),
            what: one_line(what.into()),
        }
    }
    /// An [`Error::Unsupported`] for `path`.
    pub fn unsupported(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Error::Unsupported {
            path: path.as_ref().to_owned(),
            what: one_line(what.into()),
        }
    }
    /// An [`Error::Limit`] for `path`.
    pub fn limit(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Error::Limit {
            path: path.as_ref().to_owned(),
            what: one_line(what.into()),
        }
    }
    /// An [`Error::Parameter`]; `name` is the flag or parameter as the user writes it.
    pub fn parameter(name: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Parameter {
            name: name.into(),
            what: what.into(),
        }
    }
}
