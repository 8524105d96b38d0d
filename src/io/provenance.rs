//! How results came about: parameters, timings, inputs; what a result file says about it.

use super::fingerprint::{fingerprint, of_folder};
use super::folder::members;
use super::h5::refused::Told;
use crate::error::{Error, Result};
use crate::io::Axis;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a result came about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// `cluster`, `stats`, …
    pub command: String,
    /// `cpu` or `gpu`.
    pub backend: String,
    /// Name of the GPU, or the instruction set of the CPU kernels.
    pub adapter: String,
    /// Effective parameters as TOML.
    pub parameters: String,
    pub timings: Vec<Timing>,
    pub inputs: Vec<Input>,
    /// Axes `scan_y`, `scan_x`, `y`, `x` of the input, those with a known step; written to `/calibration`.
    pub calibration: Vec<(String, Axis)>,
}

/// What a result file says in `/calibration` about axes, by their names; empty where it says nothing.
pub(super) fn calibration(at: &hdf5::Location) -> Vec<(String, Axis)> {
    let Some(axes) = at.file().and_then(|f| f.group("calibration")).told() else {
        return Vec::new();
    };
    let names = axes.member_names().told().unwrap_or_default();
    let axis = |name: String| {
        let group = axes.group(&name).told()?;
        let scale = group.attr("scale").told()?.read_scalar().told()?;
        let unit = super::h5::text::attribute_of(&group, "unit").unwrap_or_default();
        Some((
            name,
            Axis {
                scale: Some(scale),
                unit,
            },
        ))
    };
    names.into_iter().filter_map(axis).collect()
}

/// Wall time of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timing {
    pub step: String,
    pub seconds: f64,
    /// Frames and bytes of pixels that went through; 0 for steps on the host.
    pub frames: u64,
    pub bytes: u64,
    /// Seconds of reading, upload, device, read-back and host, which overlap; 0 for steps on the host.
    pub split: [f64; 5],
    /// Bytes of pixels that were uploaded to a device.
    pub uploaded: u64,
}

/// A file that was read, or a folder of files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Input {
    /// File name without folders.
    pub name: String,
    pub bytes: u64,
    /// Last change, UTC, `2026-11-21T03:30:00Z`; empty if the system does not tell.
    pub modified: String,
    /// See [`fingerprint`].
    pub fingerprint: String,
}

impl Input {
    /// Looks at a file, or at all files in a folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, "cannot read", e))?;
        let (bytes, modified, fingerprint) = if metadata.is_dir() {
            let members = members(path)?;
            let bytes = members.iter().map(|m| m.bytes).sum();
            let modified = members.iter().filter_map(|m| m.modified).max();
            (bytes, modified, of_folder(path, &members)?)
        } else {
            (metadata.len(), metadata.modified().ok(), fingerprint(path)?)
        };
        Ok(Input {
            name: crate::io::file_name(path),
            bytes,
            modified: modified.map(iso_time).unwrap_or_default(),
            fingerprint,
        })
    }
}

/// A time as `YYYY-MM-DDThh:mm:ssZ`.
pub fn iso_time(time: SystemTime) -> String {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(d) => d.as_secs() as i64,
        Err(e) => -(e.duration().as_secs() as i64),
    };
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Gregorian calendar in 400-year eras that begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{of_month:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}
