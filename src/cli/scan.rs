//! Flags that say how a scan is read; every SCAN argument takes them.

use super::roi;
use super::session::Session;
use clap::Args;
use emstream::engine::Selection;
use emstream::io::{self, BadPixels, OpenOptions, Scan};
use emstream::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How to read a scan. The same names as keys of `[scan]` in a parameter file.
#[derive(Args, Clone, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "How the scan is read")]
pub struct ScanArgs {
    /// Dataset inside an HDF5 file
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Scan shape, where the file does not say it or says it wrong
    #[arg(long, value_name = "Y,X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nav_shape: Option<String>,
    /// Frame shape of raw files
    #[arg(long, value_name = "H,W")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig_shape: Option<String>,
    /// Pixel type of raw files (u8, i16, >u2, f32, …); `f32` also rounds 64-bit integers
    #[arg(long, value_name = "T")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Bytes before the first frame of raw files
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Frames to skip at the start (positive) or to insert as blank (negative)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_offset: Option<i64>,
    /// Region of interest of the scan: a mask (.npy, .png) or rows and columns
    #[arg(long, value_name = "FILE|Y0:Y1,X0:X1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roi: Option<String>,
    /// How names of single images tell row and column, e.g. '{row}_{col}' or '*_x{col}y{row}' [default: the last two numbers]
    #[arg(long, value_name = "TEMPLATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// Replace bad pixels by the local median: a mask (.npy, .png, HDF5FILE:/DATASET) or `auto`
    #[arg(long, value_name = "FILE|auto")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_pixels: Option<String>,
}

impl ScanArgs {
    /// What was typed, with gaps filled from a parameter file.
    pub fn or(self, file: ScanArgs) -> ScanArgs {
        ScanArgs {
            dataset: self.dataset.or(file.dataset),
            nav_shape: self.nav_shape.or(file.nav_shape),
            sig_shape: self.sig_shape.or(file.sig_shape),
            dtype: self.dtype.or(file.dtype),
            offset: self.offset.or(file.offset),
            sync_offset: self.sync_offset.or(file.sync_offset),
            roi: self.roi.or(file.roi),
            names: self.names.or(file.names),
            bad_pixels: self.bad_pixels.or(file.bad_pixels),
        }
    }

    /// What the reader understands.
    ///
    /// # Errors
    /// [`Error::Parameter`] for shapes that are not two numbers.
    pub fn options(&self) -> Result<OpenOptions> {
        let pair = |name: &str, text: &Option<String>| text.as_deref().map(|t| pair(name, t)).transpose();
        Ok(OpenOptions {
            dataset: self.dataset.clone(),
            nav_shape: pair("--nav-shape", &self.nav_shape)?,
            sig_shape: pair("--sig-shape", &self.sig_shape)?,
            dtype: self.dtype.clone(),
            offset: self.offset,
            sync_offset: self.sync_offset.unwrap_or(0),
            names: self.names.clone(),
            spectra: false,
            bad_pixels: match self.bad_pixels.as_deref() {
                None => BadPixels::None,
                Some("auto") => BadPixels::Auto,
                Some(file) => BadPixels::File(PathBuf::from(file)),
            },
        })
    }

    /// Opens the scan and the region of interest, without positions that have no frame (points of an EBSD map that were not measured).
    pub fn open(&self, path: &Path, session: &Session) -> Result<(Box<dyn Scan>, Selection)> {
        let (scan, selection) = self.open_whole(path, session)?;
        let selection = match &scan.info().reading.places {
            Some(present) => selection.and(present)?,
            None => selection,
        };
        Ok((scan, selection))
    }

    /// Opens the scan and the region of interest; positions without a frame read as zeros.
    pub fn open_whole(&self, path: &Path, session: &Session) -> Result<(Box<dyn Scan>, Selection)> {
        let scan = io::open(path, &self.options()?, &session.control)?;
        for note in &scan.info().notes {
            log::warn!("{}: {note}", path.display());
        }
        let nav = scan.info().nav;
        let selection = match self.roi.as_deref() {
            None => Selection::all(nav),
            Some(text) => roi::parse(text, nav)?,
        };
        Ok((scan, selection))
    }
}

/// `Y,X` as two numbers.
pub fn pair(name: &str, text: &str) -> Result<[usize; 2]> {
    let wrong = || Error::parameter(name, format!("'{text}' is not two numbers like 40,50"));
    let (y, x) = text.split_once(',').ok_or_else(wrong)?;
    let number = |t: &str| t.trim().parse::<usize>().map_err(|_| wrong());
    Ok([number(y)?, number(x)?])
}

/// Says on stderr what the reader had to do to the frames.
pub fn report_warnings(path: &Path, scan: &dyn Scan) {
    for warning in scan.warnings() {
        log::warn!("{}: {warning}", path.display());
    }
}
