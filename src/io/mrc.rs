//! MRC files (`.mrc`, `.mrcs`, `.map`): image stacks and volumes of electron microscopy, uncompressed.
//!
//! Specification: MRC2014 (A. Cheng et al., Journal of Structural Biology 192 (2015) 146, and <https://www.ccpem.ac.uk/mrc_format>): 1024 bytes of
//! header, NSYMBT bytes of extended header, and NZ sections of NY rows of NX pixels, x fastest. FEI's extended headers as their manual and the
//! package mrcfile describe them.

use super::dtype::{Kind, Stored};
use super::fields::Fields;
use super::flat::{Flat, Marker};
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::reading::{Reading, ShapeFrom};
use super::stack::Stack;
use super::{Axis, Scan, ScanInfo};
use crate::error::{Error, Result};
use std::path::Path;

/// Bytes of the header.
const HEADER: usize = 1024;
/// Bytes of an FEI extended header's record that are looked at.
const FEI: usize = 309;

/// True for files with the word MAP at its place.
pub(crate) fn has_signature(file: &ReadAt) -> Result<bool> {
    if file.len() < HEADER as u64 {
        return Ok(false);
    }
    let mut word = [0; 4];
    file.read(208, &mut word)?;
    Ok(word == *b"MAP " || word == *b"MAP\0")
}

/// The header's byte order, by its machine stamp or else by the mode, which is a small number.
fn header<'a>(path: &Path, bytes: &'a [u8; HEADER]) -> Result<Fields<'a>> {
    let fields = |big_endian| Fields { bytes, big_endian };
    let sensible = |f: Fields| (0..=101).contains(&f.i32(12));
    let stamped = match bytes[212] {
        0x44 => Some(false),
        0x11 => Some(true),
        _ => None,
    };
    let candidates = match stamped {
        // Some writers stamp wrongly; the mode decides.
        Some(big) => [big, !big],
        None => [false, true],
    };
    let found = candidates.into_iter().map(fields).find(|f| sensible(*f));
    found.ok_or_else(|| {
        Error::format(
            path,
            "byte 12 (MODE)",
            format!("mode {} in neither byte order", fields(false).i32(12)),
        )
    })
}

/// The type of the pixels and what to say about it.
fn stored(path: &Path, h: Fields) -> Result<(Stored, Option<String>)> {
    // IMOD writes whether bytes have a sign; before 2014 they had none.
    let imod = h.u32(152) == 1_146_047_817;
    let mut note = None;
    let kind = match h.i32(12) {
        0 if imod && h.u32(156) & 1 == 0 => Kind::U8,
        0 => {
            note = Some("bytes have a sign since MRC2014; older programs mean none".to_owned());
            Kind::I8
        }
        1 => Kind::I16,
        2 => Kind::F32,
        6 => Kind::U16,
        12 => Kind::F16,
        mode => {
            let what = match mode {
                3 | 4 => format!("mode {mode}: complex numbers"),
                101 => "mode 101: pixels of 4 bits".to_owned(),
                _ => format!("mode {mode}; modes 0, 1, 2, 6 and 12 are read"),
            };
            return Err(Error::unsupported(path, what));
        }
    };
    let big_endian = h.big_endian && kind.bytes() > 1;
    Ok((Stored { kind, big_endian }, note))
}

/// Opens a stack or volume as the scan (1, NZ).
///
/// # Errors
/// [`Error::Format`] for a header that contradicts itself or the file's size, [`Error::Unsupported`] for complex and packed pixels.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let path = path.as_path();
    let mut bytes = [0; HEADER];
    file.read(0, &mut bytes)?;
    let h = header(path, &bytes)?;
    let (stored, sign) = stored(path, h)?;
    let [nx, ny, nz] = [0, 4, 8].map(|at| h.size(at));
    let mut sizes = limits::check(path, [1, nz], [ny, nx], stored.bytes())?;
    let start = HEADER as u64 + h.size(92);
    let want = start + sizes.total;
    if file.len() < want {
        let what = format!(
            "{nz} sections of {ny}×{nx} {stored} from byte {start} on make {want} bytes, but the file has {}",
            file.len()
        );
        return Err(Error::format(path, "end of file (truncated)", what));
    }
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let mut info = ScanInfo::new(&file, "mrc", &sizes, stored, pixel);
    info.reading = Reading::shape(options, ShapeFrom::Unknown);
    if file.len() > want {
        let more = file.len() - want;
        info.reading.ignored.push(format!("{more} bytes behind the last section"));
    }
    if let Some(note) = sign {
        let flags = format!("--sig-shape {ny},{nx} --dtype u8 --offset {start}");
        info.reading.otherwise.push((flags, "bytes without a sign".to_owned()));
        info.notes.push(note);
    }
    calibrate(&file, h, &mut info)?;
    let flat = Flat::new(file, start, Marker::None, &sizes, stored, pixel);
    Ok(Box::new(Stack::new(info, flat, options.sync_offset)?))
}

/// Pixel sizes of the header in Å, or those of FEI's extended header, and what the latter says about the microscope.
fn calibrate(file: &ReadAt, h: Fields, info: &mut ScanInfo) -> Result<()> {
    let step = |cell: usize, samples: usize| {
        let step = f64::from(h.f32(cell)) / h.i32(samples) as f64;
        Some(step).filter(|s| s.is_finite() && *s > 0.0)
    };
    let angstrom = |scale: f64| Axis {
        scale: Some(scale),
        unit: "Å".to_owned(),
    };
    let [x, y, z] = [(40, 28), (44, 32), (48, 36)].map(|(cell, samples)| step(cell, samples));
    // A cell of one Å a pixel is what programs write that know nothing.
    if x != Some(1.0) || y != Some(1.0) {
        info.sig_axes = [y, x].map(|s| s.map(angstrom).unwrap_or_default());
    }
    let volume = h.i32(88) == 1;
    if volume && info.nav[1] > 1 {
        info.notes.push("a volume: its sections are the frames".to_owned());
        if info.nav[0] == 1 && z != Some(1.0) {
            info.nav_axes[1] = z.map(angstrom).unwrap_or_default();
        }
    }
    let kind = &h.bytes[104..108];
    let extended = h.size(92);
    if extended == 0 {
        return Ok(());
    }
    if !(matches!(kind, b"FEI1" | b"FEI2") && extended >= FEI as u64) {
        let kind: String = kind.iter().filter(|b| b.is_ascii_graphic()).map(|&b| char::from(b)).collect();
        let kind = if kind.is_empty() { "unknown" } else { &kind };
        info.reading
            .ignored
            .push(format!("an extended header of {extended} bytes, type {kind}"));
        return Ok(());
    }
    let mut record = [0; FEI];
    file.read(HEADER as u64, &mut record)?;
    let record = Fields {
        bytes: &record,
        big_endian: h.big_endian,
    };
    let positive = |at: usize| Some(record.f64(at)).filter(|v| v.is_finite() && *v > 0.0);
    if info.sig_axes.iter().all(|a| a.scale.is_none()) {
        info.sig_axes = [164, 156].map(|at| positive(at).map(|m| angstrom(m * 1e10)).unwrap_or_default());
    }
    let said = [(84, "V"), (289, "times"), (301, "m camera length")];
    let said: Vec<String> = said
        .iter()
        .filter_map(|(at, unit)| Some(format!("{} {unit}", positive(*at)?)))
        .collect();
    if !said.is_empty() {
        info.notes.push(format!("extended header of FEI: {}", said.join(", ")));
    }
    info.reading
        .ignored
        .push("stage positions, tilts and times of the extended header".to_owned());
    Ok(())
}
