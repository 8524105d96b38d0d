//! TVIPS EMMENU streams (`.tvips`): frames behind binary headers, in files numbered from `_000` on.
//!
//! Layout: TVIPS' description of its stream format as RosettaSciIO and LiberTEM (MIT) document it. Little-endian: 256 bytes of header in the first
//! file only, then in every file frames behind headers of 12 bytes (version 1) or of the length that the header says (version 2).

use super::dtype::{Kind, Stored as StoredType};
use super::fields::Fields;
use super::flat::{Flat, Marker};
use super::joined::{Joined, MAX_PARTS};
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::reading::{Reading, ShapeFrom};
use super::stack::Stack;
use super::{Axis, Scan, ScanInfo, siblings};
use crate::error::{Error, Result};

/// Bytes of the header.
const HEADER: usize = 256;
/// Longest header of a frame.
const MAX_FRAME_HEADER: u64 = 1 << 20;
/// Bytes of a version 2 frame header that are looked at: up to the scan positions.
const FRAME: usize = 76;
/// End of the field that tells images from diffraction patterns.
const MODE_END: u64 = 28;
/// Frames whose scan positions are looked at for the first row.
const LOOK: u64 = 1 << 16;

/// True for files that begin like a stream: length and version of the header, and numbers that make sense.
pub(crate) fn has_signature(file: &ReadAt) -> Result<bool> {
    if file.len() < HEADER as u64 {
        return Ok(false);
    }
    let mut bytes = [0; 52];
    file.read(0, &mut bytes)?;
    let h = Fields::little(&bytes);
    let edges = [h.i32(8), h.i32(12)].iter().all(|n| (1..=65_536).contains(n));
    Ok(h.i32(0) == HEADER as i32 && matches!(h.i32(4), 1 | 2) && edges && matches!(h.i32(16), 8 | 16))
}

/// True for a part of a stream that is not the first and so has no header: its name says so, and the first part is there.
pub(crate) fn is_later_part(file: &ReadAt) -> bool {
    let tvips = file.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("tvips"));
    tvips && first_part(file).is_ok_and(|p| p.is_some())
}

/// The part numbered 0, if this is not it.
fn first_part(file: &ReadAt) -> Result<Option<ReadAt>> {
    let parts = siblings::parts(file.path())?;
    let Some((0, path)) = parts.first().filter(|(_, p)| p != file.path()) else {
        return Ok(None);
    };
    let first = ReadAt::open(path)?;
    Ok(has_signature(&first)?.then_some(first))
}

/// Opens a stream by any of its files.
///
/// # Errors
/// [`Error::Format`] for a broken header, files of other than whole frames and missing parts.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let file = match has_signature(&file)? {
        true => file,
        false => first_part(&file)?.unwrap_or(file),
    };
    let path = file.path().to_owned();
    let path = path.as_path();
    let mut bytes = [0; HEADER];
    file.read(0, &mut bytes)?;
    let h = Fields::little(&bytes);
    let wrong = |place: &str, what: String| Error::format(path, place, what);
    if h.i32(0) != HEADER as i32 {
        return Err(wrong("byte 0", format!("a header of {} bytes instead of {HEADER}", h.i32(0))));
    }
    let before = match h.i32(4) {
        1 => 12,
        2 => h.size(48),
        v => return Err(wrong("byte 4", format!("version {v} instead of 1 or 2"))),
    };
    if !(12..=MAX_FRAME_HEADER).contains(&before) {
        return Err(wrong("byte 48", format!("frame headers of {before} bytes")));
    }
    let kind = match h.i32(16) {
        8 => Kind::U8,
        16 => Kind::U16,
        n => return Err(wrong("byte 16", format!("{n} bits a pixel instead of 8 or 16"))),
    };
    let stored = StoredType { kind, big_endian: false };
    let sig = [h.size(12), h.size(8)];
    let one = limits::check(path, [1, 1], sig, stored.bytes())?;
    let step = before + one.frame_bytes;
    let parts = parts(file, step)?;
    let frames = parts.iter().map(|p| p.1).sum::<u64>();
    let version = h.i32(4);
    let found = match version {
        2 if before >= FRAME as u64 => scan_shape(&parts, step, frames)?,
        _ => None,
    };
    let mut notes = Vec::new();
    let (nav, from, sync) = match found {
        Some((nav, 0)) => (nav, ShapeFrom::Derived("the scan positions in the frame headers".into()), 0),
        Some((nav, skip)) if nav[0] * nav[1] == frames => {
            notes.push(format!(
                "the scan begins with frame {skip}: --sync-offset {skip} puts it first"
            ));
            (
                nav,
                ShapeFrom::Derived("the scan positions in the frame headers".into()),
                skip,
            )
        }
        _ => ([1, frames], ShapeFrom::Unknown, 0),
    };
    let mut sizes = limits::check(path, nav, sig, stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let Some((first, _)) = parts.first() else {
        return Err(Error::Internal("a stream without files".into()));
    };
    let mut info = ScanInfo::new(first, "tvips", &sizes, stored, pixel);
    info.file_bytes = parts.iter().map(|p| p.0.len()).sum();
    info.reading = Reading::shape(options, from);
    info.reading
        .ignored
        .push("times, stage and lens settings in the header of every frame".to_owned());
    if sync > 0 {
        info.reading
            .otherwise
            .push((format!("--sync-offset {sync}"), "the scan from its first position on".into()));
    }
    info.notes.append(&mut notes);
    calibrate(first, h, before, &mut info)?;
    if parts.len() > 1 {
        info.notes.push(format!("{} files", parts.len()));
    }
    let mut joined = Joined::new();
    let marker = Marker::Skip {
        before: before as usize,
        after: 0,
    };
    for (i, (file, frames)) in parts.into_iter().enumerate() {
        let start = if i == 0 { HEADER as u64 } else { 0 };
        joined.push(path, frames, Box::new(Flat::new(file, start, marker, &sizes, stored, pixel)))?;
    }
    Ok(Box::new(Stack::new(info, joined, options.sync_offset)?))
}

/// The files of a stream, each with its number of frames of `step` bytes.
fn parts(first: ReadAt, step: u64) -> Result<Vec<(ReadAt, u64)>> {
    let mut files = Vec::new();
    let given = first.path().to_owned();
    let found = siblings::parts(&given)?;
    // A file whose name ends in another number stands alone.
    let numbered = found.first().is_some_and(|(n, p)| *n == 0 && *p == given);
    files.push(first);
    if numbered {
        for (i, (n, path)) in found.iter().enumerate().skip(1) {
            if *n != i as u64 {
                let what = format!("part {i} is missing: the next one is {}", path.display());
                return Err(Error::format(&given, "parts of the stream", what));
            }
            if i >= MAX_PARTS {
                return Err(Error::limit(&given, format!("a scan of more than {MAX_PARTS} files")));
            }
            files.push(ReadAt::open(path)?);
        }
    }
    let count = |(i, file): (usize, ReadAt)| {
        let start = if i == 0 { HEADER as u64 } else { 0 };
        let bytes = file.len().saturating_sub(start);
        if bytes == 0 || !bytes.is_multiple_of(step) {
            let what = format!("{} frames of {step} bytes and {} bytes more", bytes / step, bytes % step);
            return Err(Error::format(file.path(), "end of file (truncated)", what));
        }
        Ok((file, bytes / step))
    };
    files.into_iter().enumerate().map(count).collect()
}

/// Scan shape and first frame of the scan, by the positions in the frames' headers: x counts up from (0, 0) and falls at the end of the first
/// row.
fn scan_shape(parts: &[(ReadAt, u64)], step: u64, frames: u64) -> Result<Option<([u64; 2], u64)>> {
    let Some((first, count)) = parts.first() else {
        return Ok(None);
    };
    let position = |frame: u64| -> Result<[f32; 2]> {
        let mut bytes = [0; FRAME];
        first.read(HEADER as u64 + frame * step, &mut bytes)?;
        let f = Fields::little(&bytes);
        Ok([f.f32(72), f.f32(68)])
    };
    let mut start = None;
    for frame in 0..(*count).min(LOOK) {
        let at = position(frame)?;
        match start {
            // The last frame that stands at the origin begins the scan.
            _ if at == [0.0, 0.0] => start = Some(frame),
            None => return Ok(None),
            Some(begin) if at == [0.0, (frame - begin) as f32] => {}
            Some(begin) if at[0] > 0.0 && at[1] == 0.0 && frame - begin > 1 => {
                let row = frame - begin;
                return Ok(Some(([(frames / row).max(1), row], begin)));
            }
            Some(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The pixel size: nm for images, 1/nm for diffraction patterns, as the first frame's mode says.
fn calibrate(first: &ReadAt, h: Fields, before: u64, info: &mut ScanInfo) -> Result<()> {
    let size = f64::from(h.i32(36));
    let voltage = h.i32(40);
    if voltage > 0 {
        info.notes.push(format!("{voltage} kV, total magnification {}", h.i32(44)));
    }
    if before < MODE_END || size <= 0.0 {
        return Ok(());
    }
    let mut frame = [0; MODE_END as usize];
    first.read(HEADER as u64, &mut frame)?;
    let diffraction = Fields::little(&frame).u32(24) == 2;
    let unit = if diffraction { "1/nm" } else { "nm" };
    info.sig_axes = [0, 1].map(|_| Axis {
        scale: Some(size),
        unit: unit.to_owned(),
    });
    Ok(())
}
