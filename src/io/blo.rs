//! NanoMEGAS block files (`.blo`): scans of square 8-bit diffraction patterns.
//!
//! A little-endian header of 240 bytes, a note up to `Data_offset_1`, a virtual bright-field image of one byte a scan position, and from
//! `Data_offset_2` on the frames, each behind a marker of 6 bytes: AA 55 and the frame's number.

use super::dtype::{Kind, Stored};
use super::flat::{Flat, Marker};
use super::limits::{self, Sizes};
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::stack::Stack;
use super::{Axis, Reading, Scan, ScanInfo, ShapeFrom};
use crate::error::{Error, Result};
use std::path::Path;

/// Bytes of the fixed part of the header.
pub(crate) const HEADER: usize = 240;
/// First bytes of every block file.
pub(crate) const MAGIC: &[u8] = b"IMGBLO";

/// What emstream notes behind the header where it knows no step of the scan, since the fields must hold numbers that one can divide by.
pub(crate) const NO_STEP: &[u8] = b"[emstream: the step of the scan is not known]";
/// The same for the detector.
pub(crate) const NO_SCALE: &[u8] = b"[emstream: the scale of the detector is not known]";

/// The fields of the header that emstream reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Header {
    /// Byte of the first frame's marker.
    pub frames_at: u32,
    /// Rows, and columns, of a frame.
    pub edge: u16,
    /// Scan shape (ny, nx).
    pub nav: [u16; 2],
    /// Step of the scan (y, x) in nm.
    pub step: [f64; 2],
    /// Acceleration voltage in V.
    pub voltage: u32,
    /// Detector pixels per centimetre, times 100.
    pub pixels_per_cm: u16,
    /// Camera length in tenths of a millimetre.
    pub camera_length: u32,
}

/// The `N` bytes at `at`; the header's length was checked.
fn field<const N: usize>(bytes: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Header {
    /// Reads the fields.
    ///
    /// # Errors
    /// [`Error::Format`] for another magic number.
    pub fn parse(path: &Path, bytes: &[u8; HEADER]) -> Result<Header> {
        let u16_at = |at| u16::from_le_bytes(field(bytes, at));
        let u32_at = |at| u32::from_le_bytes(field(bytes, at));
        let f64_at = |at| f64::from_le_bytes(field(bytes, at));
        if &bytes[..6] != MAGIC {
            return Err(Error::format(path, "byte 0", "a block file begins with IMGBLO"));
        }
        match u16_at(6) {
            0x0102 | 0x0103 => {}
            0x0201 | 0x0301 => return Err(Error::unsupported(path, "a big-endian block file")),
            other => {
                return Err(Error::format(
                    path,
                    "byte 6",
                    format!("magic number 0x{other:04x} instead of 0x0102 or 0x0103"),
                ));
            }
        }
        Ok(Header {
            frames_at: u32_at(12),
            edge: u16_at(20),
            nav: [u16_at(26), u16_at(24)],
            step: [f64_at(38), f64_at(30)],
            voltage: u32_at(46),
            pixels_per_cm: u16_at(50),
            camera_length: u32_at(52),
        })
    }
}

/// A calibration that a header may leave out or fill with nonsense.
fn axis(scale: f64, unit: &str) -> Axis {
    let scale = Some(scale).filter(|s| s.is_finite() && *s > 0.0);
    Axis {
        unit: if scale.is_some() { unit.to_owned() } else { String::new() },
        scale,
    }
}

/// Opens a block file.
///
/// # Errors
/// [`Error::Format`] where the header is wrong or the file's size is not what it claims.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let path = path.as_path();
    let mut bytes = [0; HEADER];
    file.read(0, &mut bytes)?;
    let h = Header::parse(path, &bytes)?;
    let edge = u64::from(h.edge);
    let mut sizes = limits::check(path, h.nav.map(u64::from), [edge, edge], 1)?;
    check_size(&file, &h, &sizes)?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, 1)?;
    }
    let stored = Stored::native(Kind::U8);
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let base = numbering(&file, &h, &sizes)?;
    let mut notes = Vec::new();
    if base.is_none() && sizes.frames > 1 {
        notes.push("the frames of this block file are not numbered".to_owned());
    }
    if h.camera_length > 0 {
        notes.push(format!(
            "camera length {} mm, {} V",
            f64::from(h.camera_length) / 10.0,
            h.voltage
        ));
    }
    let mut note = vec![0; usize::try_from(h.frames_at).unwrap_or(HEADER).clamp(HEADER, HEADER + 128) - HEADER];
    file.read(HEADER as u64, &mut note)?;
    let known = |what: &[u8], scale: f64| match note.windows(what.len()).any(|w| w == what) {
        true => f64::NAN,
        false => scale,
    };
    let sig_axis = axis(known(NO_SCALE, 100.0 / f64::from(h.pixels_per_cm)), "cm");
    let mut info = ScanInfo {
        path: path.to_owned(),
        format: "blo",
        dataset: None,
        nav: sizes.nav,
        frame: sizes.frame(pixel),
        stored: stored.to_string(),
        nav_axes: h.step.map(|s| axis(known(NO_STEP, s), "nm")),
        sig_axes: [sig_axis.clone(), sig_axis],
        together: 1,
        costly: false,
        file_bytes: file.len(),
        notes,
        reading: Reading::shape(options, ShapeFrom::Stored("the header".into())),
    };
    info.reading
        .ignored
        .push("the bright-field image and the note in the header".to_owned());
    let flat = Flat::new(file, u64::from(h.frames_at), Marker::Blo { base }, &sizes, stored, pixel);
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}

/// The file must hold exactly what the header claims.
fn check_size(file: &ReadAt, h: &Header, sizes: &Sizes) -> Result<()> {
    let bright_field = sizes.frames;
    if u64::from(h.frames_at) < HEADER as u64 + bright_field {
        let what = format!(
            "the frames cannot begin at byte {}, inside the header or the bright-field image",
            h.frames_at
        );
        return Err(Error::format(file.path(), "byte 12 (Data_offset_2)", what));
    }
    let want = u64::from(h.frames_at) + sizes.frames * (sizes.frame_bytes + 6);
    if file.len() != want {
        let what = format!(
            "{}x{} frames of {}x{} pixels from byte {} on make {want} bytes, but the file has {}",
            h.nav[0],
            h.nav[1],
            h.edge,
            h.edge,
            h.frames_at,
            file.len()
        );
        let place = if file.len() < want {
            "end of file (truncated)"
        } else {
            "end of file (too long)"
        };
        return Err(Error::format(file.path(), place, what));
    }
    Ok(())
}

/// The first frame's number, or `None` for programs that write the same number everywhere.
fn numbering(file: &ReadAt, h: &Header, sizes: &Sizes) -> Result<Option<u32>> {
    let number = |frame: u64| {
        let mut head = [0; 6];
        file.read(u64::from(h.frames_at) + frame * (sizes.frame_bytes + 6), &mut head)?;
        Ok::<_, Error>(u32::from_le_bytes([head[2], head[3], head[4], head[5]]))
    };
    let first = number(0)?;
    Ok((sizes.frames == 1 || number(sizes.frames - 1)? != first).then_some(first))
}
