//! Opening a scan: the format is told by what a file holds; its name matters only where that says nothing.

use super::dtype::Stored;
use super::readat::ReadAt;
use super::repair::{self, BadPixels};
use super::{Scan, blo, dm, ebsd, empad, h5, mib, mrc, npy, raw, ser, tiff, tvips, zarr};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::Pixel;
use std::path::Path;

/// What a user may say about a scan beyond its path; the defaults say nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// `--dataset`: path of the dataset in an HDF5 file.
    pub dataset: Option<String>,
    /// `--nav-shape`: scan shape (ny, nx).
    pub nav_shape: Option<[usize; 2]>,
    /// `--sig-shape`: frame shape (height, width).
    pub sig_shape: Option<[usize; 2]>,
    /// `--dtype`: for raw files the stored type (`u16`, `>u2`, `float32`, …), also `STORED:DELIVERED`; for others the type to deliver.
    pub dtype: Option<String>,
    /// `--offset`: byte at which the frames of a raw file begin.
    pub offset: Option<u64>,
    /// `--sync-offset`: n > 0 skips the first n stored frames, n < 0 puts -n blank frames before the first.
    pub sync_offset: i64,
    /// `--names`: how names of single images tell row and column, e.g. `{row}_{col}`.
    pub names: Option<String>,
    /// `--bad-pixels`.
    pub bad_pixels: BadPixels,
    /// Arrays of three dimensions are (ny, nx, channels), a spectrum at each position, not (n, height, width).
    pub spectra: bool,
}

impl OpenOptions {
    /// The type in which pixels should be delivered, for formats that know their own.
    pub(crate) fn wanted_pixel(&self) -> Result<Option<Pixel>> {
        self.dtype.as_deref().map(pixel_named).transpose()
    }
    /// Stored and wanted type of a raw file.
    pub(crate) fn raw_type(&self, name: &str) -> Result<(Stored, Option<Pixel>)> {
        let (stored, wanted) = match name.split_once(':') {
            Some((s, w)) => (s, Some(pixel_named(w)?)),
            None => (name, None),
        };
        let stored = Stored::parse(stored).ok_or_else(|| {
            Error::parameter(
                "--dtype",
                format!("{stored} is no pixel type; use u8 i8 u16 i16 u32 i32 u64 i64 f32 f64, or >u2 for big-endian"),
            )
        })?;
        Ok((stored, wanted))
    }
}

fn pixel_named(name: &str) -> Result<Pixel> {
    let pixel = Stored::parse(name).filter(|s| s.bytes() <= 4).map(|s| s.kind.default_pixel());
    pixel.ok_or_else(|| Error::parameter("--dtype", format!("{name} is none of u8 i8 u16 i16 u32 i32 f32")))
}

/// Formats by content and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Blo,
    Dm,
    Empad,
    Hdf5,
    Mib,
    Mrc,
    Npy,
    Raw,
    Ser,
    Tiff,
    Tvips,
}

/// Opens the scan at `path`. Only headers are read, except with `--bad-pixels auto`, which looks at up to 64 frames.
/// `control.memory` bounds the cache of decoded HDF5 chunks.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`], [`Error::Unsupported`], [`Error::Limit`] and [`Error::Parameter`] with file and place.
pub fn open(path: &Path, options: &OpenOptions, control: &Control) -> Result<Box<dyn Scan>> {
    if zarr::is_store(path)? {
        return repair::wrap(zarr::open(path, options, control)?, &options.bad_pixels, control);
    }
    if let Some(map) = ebsd::open_patterns(path, options)? {
        return repair::wrap(map.scan, &options.bad_pixels, control);
    }
    let file = ReadAt::open(path)?;
    let format = tell(&file, options)?;
    if options.dataset.is_some() && !matches!(format, Format::Hdf5 | Format::Dm) {
        return Err(Error::parameter("--dataset", format!("{} is no HDF5 file", path.display())));
    }
    if options.offset.is_some() && format != Format::Raw {
        return Err(Error::parameter(
            "--offset",
            format!("{} has a header of its own; only raw files take an offset", path.display()),
        ));
    }
    let scan = match format {
        Format::Blo => blo::open(file, options)?,
        Format::Dm => dm::open(file, options)?,
        Format::Empad => empad::open(file, options)?,
        Format::Mib => mib::open(file, options)?,
        Format::Mrc => mrc::open(file, options)?,
        Format::Npy => npy::open(file, options)?,
        Format::Raw => raw::open(file, options)?,
        Format::Ser => ser::open(file, options)?,
        Format::Tiff => tiff::open(file, options)?,
        Format::Tvips => tvips::open(file, options)?,
        Format::Hdf5 => match ebsd::open_scan(&file, options, control)? {
            Some(map) => map,
            None => h5::open(file, options, control)?,
        },
    };
    repair::wrap(scan, &options.bad_pixels, control)
}

/// The first bytes, zero behind the end.
fn head(file: &ReadAt) -> Result<[u8; 8]> {
    let mut head = [0; 8];
    let n = head.len().min(usize::try_from(file.len()).unwrap_or(usize::MAX));
    file.read(0, &mut head[..n])?;
    Ok(head)
}

/// The ending of the name in small letters.
fn ending(file: &ReadAt) -> String {
    let ending = file.path().extension().and_then(|e| e.to_str());
    ending.unwrap_or("").to_ascii_lowercase()
}

/// True for DigitalMicrograph files.
pub(super) fn is_dm(file: &ReadAt) -> Result<bool> {
    Ok(dm::has_signature(&head(file)?, matches!(&*ending(file), "dm3" | "dm4")))
}

fn tell(file: &ReadAt, options: &OpenOptions) -> Result<Format> {
    let (head, ending) = (head(file)?, ending(file));
    let described = options.sig_shape.is_some() && options.dtype.is_some();
    // Only raw files have an offset: whoever says all three means so, whatever the file looks like.
    if described && options.offset.is_some() {
        return Ok(Format::Raw);
    }
    if is_dm(file)? {
        return Ok(Format::Dm);
    }
    if tiff::has_signature(&head) && options.dtype.as_deref().is_none_or(|_| options.sig_shape.is_none()) {
        return Ok(Format::Tiff);
    }
    if head.starts_with(blo::MAGIC) {
        return Ok(Format::Blo);
    }
    if head.starts_with(npy::MAGIC) {
        return Ok(Format::Npy);
    }
    if h5::has_signature(file)? {
        return Ok(Format::Hdf5);
    }
    if mib::has_signature(&head) {
        return Ok(Format::Mib);
    }
    if ser::has_signature(&head) {
        return Ok(Format::Ser);
    }
    if mrc::has_signature(file)? {
        return Ok(Format::Mrc);
    }
    if tvips::has_signature(file)? || tvips::is_later_part(file) {
        return Ok(Format::Tvips);
    }
    if !described && (ending == "xml" || empad::is_description(file)? || (ending == "raw" && empad::owns(file)?)) {
        return Ok(Format::Empad);
    }
    let wrong = |name: &str| {
        Error::format(
            file.path(),
            "byte 0",
            format!("the name says {name}, but the file does not begin like one"),
        )
    };
    match ending.as_str() {
        "raw" | "bin" | "dat" => Ok(Format::Raw),
        "blo" => Err(wrong("a NanoMEGAS block file")),
        "dm3" | "dm4" => Err(wrong("a DigitalMicrograph file of version 3 or 4")),
        "npy" => Err(wrong("a NumPy array")),
        "mib" | "hdr" => Err(wrong("a file of a Merlin detector")),
        "ser" => Err(wrong("a TIA series")),
        "mrc" | "mrcs" | "map" => Err(wrong("an MRC file (MAP at byte 208)")),
        "tvips" => Err(wrong("a TVIPS stream")),
        "tif" | "tiff" => Err(wrong("a TIFF file")),
        "h5" | "hdf5" | "hspy" | "emd" | "nxs" => Err(wrong("an HDF5 file")),
        _ if described => Ok(Format::Raw),
        _ => Err(Error::unsupported(
            file.path(),
            "the format is none of .blo, .dm3, .dm4, EMPAD, HDF5, .mib, .mrc, .npy, .ser, .tif, .tvips; for raw binary give --sig-shape and --dtype",
        )),
    }
}
