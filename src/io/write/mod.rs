//! New scans. A [`ScanWriter`] takes runs of frames in any order and from several threads, into a file that its owner names and renames;
//! a [`FrameWriter`] takes them one after the other and gives the file its name at the end.

mod codec;
mod flat;
mod h5;
pub(crate) mod hspy;
mod hyperspy;
mod in_order;
mod tiff;
mod zarr;

pub(crate) use codec::{deflate, shuffle, write_chunk};
pub(crate) use flat::{lost_in_blo, write_all_at};
pub use hspy::{Described, Description, XRays};
pub use in_order::FrameWriter;
pub(crate) use zarr::is_zarr;

use super::Axis;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Formats of new scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy: (ny, nx, height, width), no calibration.
    Npy,
    /// NanoMEGAS block file: square `u8` frames, scan step in nm, pixels per centimetre.
    Blo,
    /// A page for each frame; ImageJ's description holds scan shape and calibration. BigTIFF above 4 GB.
    Tiff,
    /// Plain HDF5: `/data` (ny, nx, height, width) and, where steps are known, coordinates `/dim1` … `/dim4`.
    Hdf5,
    /// HyperSpy's HDF5 (`.hspy`).
    Hspy,
    /// EMD 1.0 as emdfile and py4DSTEM write it.
    Emd,
    /// HyperSpy's folder of Zarr chunks (`.zspy`).
    Zspy,
}

impl Format {
    /// Names of `--as`.
    pub const NAMES: &'static str = "hdf5, hspy, emd, zspy, npy, tiff, blo";

    /// The format that a file's ending asks for.
    pub fn of(path: &Path) -> Option<Format> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "hdf5" | "h5" | "hspy" | "emd" | "zspy" | "npy" | "tif" | "tiff" | "blo" => ending.parse().ok(),
            _ => None,
        }
    }
    /// Name of the format, one of [`Format::NAMES`].
    pub const fn name(self) -> &'static str {
        match self {
            Format::Npy => "npy",
            Format::Blo => "blo",
            Format::Tiff => "tiff",
            Format::Hdf5 => "hdf5",
            Format::Hspy => "hspy",
            Format::Emd => "emd",
            Format::Zspy => "zspy",
        }
    }
    /// True for formats that are folders.
    pub const fn is_folder(self) -> bool {
        matches!(self, Format::Zspy)
    }
    const fn is_hdf5(self) -> bool {
        matches!(self, Format::Hdf5 | Format::Hspy | Format::Emd)
    }
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "npy" => Format::Npy,
            "blo" => Format::Blo,
            "tiff" | "tif" => Format::Tiff,
            "hdf5" | "h5" => Format::Hdf5,
            "hspy" => Format::Hspy,
            "emd" => Format::Emd,
            "zspy" => Format::Zspy,
            _ => return Err(Error::parameter("--as", format!("'{name}' is none of {}", Format::NAMES))),
        })
    }
}

/// How pixels are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Shuffled and deflated, level 1 to 9: HDF5's and Zarr's zlib.
    Gzip(u8),
    /// Shuffled and packed with Zstandard, level 1 to 19; in `.zspy` only, since HDF5 programs need a plugin for it.
    Zstd(u8),
}

impl FromStr for Compression {
    type Err = Error;
    /// `none`, `gzip`, `gzip:4`, `zstd`, `zstd:3`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let what = format!("'{text}' is none of none, gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19");
            Error::parameter("--compression", what)
        };
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        match (name, level) {
            ("none", None) => Ok(Compression::None),
            // Stronger compression of noisy counts costs time and gains little.
            ("gzip", None) => Ok(Compression::Gzip(1)),
            ("zstd", None) => Ok(Compression::Zstd(3)),
            ("gzip", Some(l @ 1..=9)) => Ok(Compression::Gzip(l)),
            ("zstd", Some(l @ 1..=19)) => Ok(Compression::Zstd(l)),
            _ => Err(wrong()),
        }
    }
}

/// A scan that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewScan {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    pub frame: FrameShape,
    /// Axes y, x of the scan and of the detector.
    pub nav_axes: [Axis; 2],
    pub sig_axes: [Axis; 2],
    /// For formats that name what they hold.
    pub title: String,
    /// For `.hspy`: all that is known of the signal, title and axes included. With three axes, frames of one row are spectra.
    pub signal: Option<Description>,
}

impl NewScan {
    /// A scan of which only the shape is known.
    pub fn new(nav: [usize; 2], frame: FrameShape) -> Self {
        NewScan {
            nav,
            frame,
            nav_axes: Default::default(),
            sig_axes: Default::default(),
            title: "scan".into(),
            signal: None,
        }
    }
    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.nav[0] as u64 * self.nav[1] as u64
    }
    /// Bytes of all pixels.
    pub fn bytes(&self) -> u64 {
        self.frames() * self.frame.bytes() as u64
    }
    /// Axes in the order of the array with their names and sizes.
    fn axes(&self) -> [(&'static str, usize, &Axis); 4] {
        let [y, x] = &self.nav_axes;
        let [sy, sx] = &self.sig_axes;
        [
            ("scan_y", self.nav[0], y),
            ("scan_x", self.nav[1], x),
            ("y", self.frame.height, sy),
            ("x", self.frame.width, sx),
        ]
    }
    /// The numbers of runs: `first` and the bytes of whole frames must lie within the scan.
    fn check(&self, name: &Path, first: u64, bytes: usize) -> Result<u64> {
        let size = self.frame.bytes();
        let count = (bytes / size) as u64;
        if bytes.is_multiple_of(size) && first.checked_add(count).is_some_and(|end| end <= self.frames()) {
            return Ok(count);
        }
        let what = format!(
            "{}: {bytes} bytes at frame {first} of {} of {size} bytes",
            name.display(),
            self.frames()
        );
        Err(Error::Internal(what))
    }
}

/// Writes frames of a scan in any order, from several threads at once.
pub trait ScanWriter: Send + Sync {
    /// The first frame from `at` on at which a run of frames may begin or end: frames that are packed together come together.
    fn boundary(&self, at: u64) -> u64 {
        at
    }
    /// Writes whole frames from number `first` on, tightly packed, native-endian, from one [`ScanWriter::boundary`] to another.
    ///
    /// # Errors
    /// [`Error::Io`] from the disk, [`Error::Internal`] for other pieces.
    fn put(&self, first: u64, frames: &[u8]) -> Result<()>;
    /// Waits until what was put is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync(&self) -> Result<()>;
    /// True if what was synced can be relied on even if the process is killed; else only after [`ScanWriter::suspend`].
    fn survives(&self) -> bool {
        true
    }
    /// Closes the file so that [`resume`] can go on with it.
    ///
    /// # Errors
    /// [`Error::Io`], after which the file is of no use.
    fn suspend(self: Box<Self>) -> Result<()>;
    /// Completes the file. Every frame must have been put.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Where the bytes go now, and the name that people know, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub at: &'a Path,
    pub name: &'a Path,
}

impl Place<'_> {
    fn name(&self) -> PathBuf {
        self.name.to_owned()
    }
}

/// Begins a file at `place.at`, replacing what is there.
///
/// # Errors
/// [`Error::Parameter`] for frames and compressions that the format does not hold, [`Error::Io`], [`Error::Limit`].
pub fn begin(format: Format, place: Place<'_>, scan: &NewScan, compression: Compression) -> Result<Box<dyn ScanWriter>> {
    check(format, place.name, scan, compression)?;
    match format {
        Format::Zspy => zarr::begin(place, scan, compression),
        f if f.is_hdf5() => h5::begin(f, place, scan, compression),
        f => flat::begin(f, place, scan),
    }
}

/// Goes on with a file that [`begin`] made with the same arguments and that was synced or suspended; `None` if it is of no use.
///
/// # Errors
/// [`Error::Parameter`] as [`begin`].
pub fn resume(format: Format, place: Place<'_>, scan: &NewScan, compression: Compression) -> Result<Option<Box<dyn ScanWriter>>> {
    check(format, place.name, scan, compression)?;
    Ok(match format {
        Format::Zspy => zarr::resume(place, scan, compression),
        f if f.is_hdf5() => h5::resume(f, place, scan, compression),
        f => flat::resume(f, place, scan)?,
    })
}

fn check(format: Format, name: &Path, scan: &NewScan, compression: Compression) -> Result<()> {
    super::limits::check(
        name,
        scan.nav.map(|n| n as u64),
        [scan.frame.height as u64, scan.frame.width as u64],
        scan.frame.pixel.bytes(),
    )?;
    let fits = match compression {
        Compression::None => true,
        Compression::Gzip(_) => format.is_hdf5() || format == Format::Zspy,
        Compression::Zstd(_) => format == Format::Zspy,
    };
    if fits {
        return Ok(());
    }
    let what = match format {
        f if f.is_hdf5() => "HDF5 files are compressed with gzip, which every program reads; zstd is for .zspy".to_owned(),
        f => format!("{} files are not compressed; .h5, .hspy, .emd and .zspy are", f.name()),
    };
    Err(Error::parameter("--compression", what))
}

/// How HDF5 files are packed that are made on the way.
fn packed() -> Compression {
    match hdf5::filters::deflate_available() {
        true => Compression::Gzip(1),
        false => Compression::None,
    }
}

/// Begins a scan file that is written frame by frame; the format follows from the ending (see [`Format::of`]; not `.zspy`). HDF5 files are
/// shuffled and compressed.
///
/// # Errors
/// [`Error::Io`] if the file exists and `overwrite` is not set, or cannot be created; [`Error::Parameter`] for another ending or
/// for frames that the format cannot hold.
pub fn create(path: &Path, nav: [usize; 2], frame: FrameShape, overwrite: bool) -> Result<FrameWriter> {
    let format = Format::of(path).filter(|f| !f.is_folder());
    let format = format.ok_or_else(|| {
        let what = format!(
            "{}: scans are written as .h5, .hspy, .emd, .npy, .tif or .blo",
            path.display()
        );
        Error::parameter("-o", what)
    })?;
    let compression = if format.is_hdf5() { packed() } else { Compression::None };
    FrameWriter::create(format, path, NewScan::new(nav, frame), compression, overwrite)
}
