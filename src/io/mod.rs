//! Files: scans in, results out. Readers decode nothing but what is asked for and believe no header.

mod blo;
pub mod browse;
mod chunked;
mod codecs;
mod dm;
mod dtype;
pub mod ebsd;
mod empad;
mod fields;
mod flat;
mod flips;
pub(crate) mod folder;
mod fuzz;
mod h5;
mod joined;
pub mod keras;
pub mod limits;
pub mod memory;
mod mib;
mod mrc;
mod npy;
mod npy_header;
mod open;
mod raw;
mod readat;
mod reading;
mod repair;
mod ser;
mod siblings;
mod stack;
mod stored;
mod tiff;
mod tvips;
pub mod write;
mod zarr;

pub use fuzz::{FuzzFormat, fuzz_bytes};
pub use h5::Candidate;
pub use open::{OpenOptions, open};
pub use reading::{Reading, ShapeFrom, otherwise};
pub use repair::BadPixels;
pub use stored::{has_stored, read_stored, read_stored_map, read_stored_text, stored_calibration, stored_rank};
pub mod array;
pub mod export;
pub mod fingerprint;
pub mod hspy;
pub mod output;
mod provenance;
pub mod results;

use crate::control::Control;
use crate::error::Result;
use crate::pixel::{FrameShape, Pixel};
use std::path::{Path, PathBuf};

/// One axis of a scan or detector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// Step from one position or pixel to the next, in `unit`; `None` when the file does not say.
    pub scale: Option<f64>,
    pub unit: String,
}

/// What a scan's header says.
#[derive(Debug, Clone)]
pub struct ScanInfo {
    pub path: PathBuf,
    /// Short name of the format: `blo`, `hdf5`, `mib`, `npy`, `raw`, ….
    pub format: &'static str,
    /// Path of the dataset inside the file, for formats that hold several.
    pub dataset: Option<String>,
    /// Scan shape (ny, nx); a stack without scan shape is (1, n).
    pub nav: [usize; 2],
    /// Shape and pixel type of frames as [`Scan::read`] delivers them.
    pub frame: FrameShape,
    /// Pixel type as stored, for people: `uint16 big-endian`, `float64`.
    pub stored: String,
    /// Axes y, x of the scan and of the detector.
    pub nav_axes: [Axis; 2],
    pub sig_axes: [Axis; 2],
    /// Frames that are decoded together (1 for plain files): reading them together saves work.
    pub together: usize,
    /// True when reading costs much more than copying (compressed): worth keeping decoded.
    pub costly: bool,
    /// Size of the file or files in bytes; 0 for a folder, whose many files are not counted on opening: [`ScanInfo::bytes_on_disk`].
    pub file_bytes: u64,
    /// Things a user should know, e.g. that float64 was rounded.
    pub notes: Vec<String>,
    /// How sure the above is, what was left out, and how else the file could be read.
    pub reading: Reading,
}

impl ScanInfo {
    /// A scan without calibration, frames one by one in a file.
    pub(crate) fn new(
        file: &readat::ReadAt,
        format: &'static str,
        sizes: &limits::Sizes,
        stored: dtype::Stored,
        pixel: Pixel,
    ) -> Self {
        ScanInfo {
            path: file.path().to_owned(),
            format,
            dataset: None,
            nav: sizes.nav,
            frame: sizes.frame(pixel),
            stored: stored.to_string(),
            nav_axes: Default::default(),
            sig_axes: Default::default(),
            together: 1,
            costly: false,
            file_bytes: file.len(),
            notes: stored.note(pixel).into_iter().collect(),
            reading: Reading::default(),
        }
    }
    /// Name of the file or folder, without the folders around it.
    pub fn name(&self) -> String {
        file_name(&self.path)
    }
    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.nav[0] as u64 * self.nav[1] as u64
    }
    /// Scan position (y, x) of frame number `frame`.
    pub fn place(&self, frame: u64) -> [usize; 2] {
        let nx = self.nav[1].max(1);
        [frame as usize / nx, frame as usize % nx]
    }
    /// Size of the file or files in bytes; those of a folder are looked at now.
    ///
    /// # Errors
    /// [`crate::Error::Io`] for a folder that cannot be listed.
    pub fn bytes_on_disk(&self) -> Result<u64> {
        match self.path.is_dir() {
            true => Ok(folder::members(&self.path)?.iter().map(|m| m.bytes).sum()),
            false => Ok(self.file_bytes),
        }
    }
}

/// The last part of a path as people read it; all of a path without one.
pub(crate) fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A scan on disk (or in memory). Frames are numbered in scan order, y slow, x fast.
pub trait Scan: Send + Sync {
    fn info(&self) -> &ScanInfo;
    /// Reads `frames` (any order), decoded to native-endian [`crate::pixel::Pixel`]s, frame i at `out[i * stride..]`.
    /// Called from several threads at once. Bytes between frames are left alone.
    ///
    /// # Errors
    /// [`crate::Error::Io`] and [`crate::Error::Format`] with file and place; [`crate::Error::Cancelled`].
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()>;
    /// What a user should know about the frames read so far, one sentence each, e.g. that non-finite pixels were replaced.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
    /// Pixels of the frame, numbered in C order, that hold no data but the median of their neighbours: those of `--bad-pixels`, and those
    /// that were not finite in any of the frames read so far. Ascending.
    fn replaced(&self) -> Vec<u32> {
        Vec::new()
    }
    /// Frames among those read so far of which no pixel was finite; they read as zeros. Ascending.
    fn empty(&self) -> Vec<u64> {
        Vec::new()
    }
    /// Says that the reader takes frames that are [`Scan::empty`] for missing ones and not for zeros; warnings tell it so.
    fn empty_are_missing(&self) {}
    /// Hints that these frames will be read soon; may start reading ahead, never blocks.
    fn prefetch(&self, _frames: std::ops::Range<u64>) {}
}

/// All tags of a DigitalMicrograph file as (path, value); empty for files of other formats.
///
/// # Errors
/// [`crate::Error::Io`], and [`crate::Error::Format`] where the tree of tags is broken.
pub fn tags(path: &Path) -> Result<Vec<(String, String)>> {
    let file = readat::ReadAt::open(path)?;
    match open::is_dm(&file)? {
        true => dm::list_tags(&file),
        false => Ok(Vec::new()),
    }
}

/// The last number among the tags of a DigitalMicrograph file whose path contains `part`, with its path.
///
/// # Errors
/// As [`tags`].
pub fn number_tag(path: &Path, part: &str) -> Result<Option<(String, f64)>> {
    let file = readat::ReadAt::open(path)?;
    match open::is_dm(&file)? {
        true => dm::number_tag(&file, part),
        false => Ok(None),
    }
}

/// Datasets of an HDF5 file or zarr hierarchy that could be opened as scans, for `info`; empty for files of other formats.
///
/// # Errors
/// [`crate::Error::Io`] if the file cannot be opened, [`crate::Error::Format`] if it is HDF5 and cannot be read.
pub fn candidates(path: &Path) -> Result<Vec<Candidate>> {
    if zarr::is_store(path)? {
        return zarr::candidates(path);
    }
    if path.is_dir() {
        return Ok(Vec::new());
    }
    let file = readat::ReadAt::open(path)?;
    if h5::has_signature(&file)? {
        h5::candidates(path)
    } else {
        Ok(Vec::new())
    }
}
