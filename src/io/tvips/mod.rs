//! TVIPS EMMENU streams (`.tvips`): frames behind binary headers, in files numbered from `_000` on.
//!
//! Layout: TVIPS' description of its stream format as RosettaSciIO and LiberTEM (MIT) document it. Little-endian: 256 bytes of header in the first
//! file only, then in every file frames behind headers of 12 bytes (version 1) or of the length that the header says (version 2).

mod positions;

use self::positions::{FRAME, Headers, Positions};
use crate::error::{Error, Result};
use crate::io::dtype::{Kind, Stored as StoredType};
use crate::io::fields::Fields;
use crate::io::flat::{Flat, Marker};
use crate::io::joined::{Joined, MAX_PARTS};
use crate::io::limits::{self, Sizes};
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::reading::{Reading, ShapeFrom};
use crate::io::stack::Stack;
use crate::io::{Axis, Scan, ScanInfo, siblings};
use std::path::Path;

/// Bytes of the header.
const HEADER: usize = 256;
/// Longest header of a frame.
const MAX_FRAME_HEADER: u64 = 1 << 20;
/// End of the field that tells images from diffraction patterns.
const MODE_END: u64 = 28;

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
    // By names: the folder's list may write the same path in another way.
    let own = file.path().file_name();
    let Some((0, path)) = parts.first().filter(|(_, p)| p.file_name() != own) else {
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
    let found = match h.i32(4) {
        2 if before >= FRAME as u64 => Headers { parts: &parts, step }.scan()?,
        _ => None,
    };
    let all = limits::check(path, [1, frames], sig, stored.bytes())?;
    limits::check_sig(options.sig_shape, &all)?;
    let (sizes, begin) = choose(path, found.as_ref(), &all, options, stored.bytes())?;
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let Some((first, _)) = parts.first() else {
        return Err(Error::Internal("a stream without files".into()));
    };
    let mut info = ScanInfo::new(first, "tvips", &sizes, stored, pixel);
    info.file_bytes = parts.iter().map(|p| p.0.len()).sum();
    info.reading = Reading::shape(
        options,
        match found {
            Some(_) => ShapeFrom::Derived("the scan positions in the frame headers".into()),
            None => ShapeFrom::Unknown,
        },
    );
    info.reading
        .ignored
        .push("times, stage and lens settings in the header of every frame".to_owned());
    if let Some(scan) = &found {
        describe(scan, frames, sizes.frames, &mut info);
    }
    calibrate(first, h, before, &mut info)?;
    if parts.len() > 1 {
        info.notes.push(format!("{} files", parts.len()));
    }
    let mut joined = Joined::new();
    let marker = Marker::Skip {
        before: before as usize,
        after: 0,
    };
    let (mut start, mut skip, mut left) = (HEADER as u64, begin, sizes.frames);
    for (file, frames) in parts {
        // Of each file the frames between the scan's first and last.
        let before = skip.min(frames);
        let count = (frames - before).min(left);
        if count > 0 {
            let first = start + before * step;
            joined.push(path, count, Box::new(Flat::new(file, first, marker, &sizes, stored, pixel)))?;
        }
        (start, skip, left) = (0, skip - before, left - count);
    }
    Ok(Box::new(Stack::new(info, joined, options.sync_offset)?))
}

/// Sizes of what is read, and the stream's frame with which it begins: the scan's frames, or all of them where no scan is known or the user's
/// shape counts them all.
fn choose(path: &Path, scan: Option<&Positions>, all: &Sizes, options: &OpenOptions, pixel_bytes: usize) -> Result<(Sizes, u64)> {
    let sig = all.sig.map(|n| n as u64);
    let Some(scan) = scan else {
        let sizes = options.nav_shape.map(|nav| limits::with_nav(path, all, nav, pixel_bytes));
        return Ok((sizes.transpose()?.unwrap_or(*all), 0));
    };
    let Some([y, x]) = options.nav_shape else {
        return Ok((limits::check(path, scan.nav, sig, pixel_bytes)?, scan.begin));
    };
    let begin = match (y as u64).checked_mul(x as u64) {
        Some(n) if n == scan.frames() => scan.begin,
        Some(n) if n == all.frames => 0,
        _ if scan.frames() == all.frames => return Ok((limits::with_nav(path, all, [y, x], pixel_bytes)?, 0)),
        _ => {
            let (of_scan, all, name) = (scan.frames(), all.frames, path.display());
            let what = format!("{y},{x} makes neither the {of_scan} frames of the scan nor all {all} frames that {name} holds");
            return Err(Error::parameter("--nav-shape", what));
        }
    };
    Ok((limits::check(path, [y as u64, x as u64], sig, pixel_bytes)?, begin))
}

/// Says what the scan positions leave out of the stream's frames (or would, where all `read` frames are wanted), and what is odd about them.
fn describe(scan: &Positions, frames: u64, read: u64, info: &mut ScanInfo) {
    let [ny, nx] = scan.nav;
    if let Some(n) = scan.broken {
        info.notes.push(format!(
            "the scan positions do not follow each other from frame {n} on: frames may be missing or doubled there"
        ));
    }
    let Some(left_out) = scan.left_out(frames) else { return };
    if read == frames {
        info.notes.push(format!(
            "all {frames} frames are read; by the scan positions {ny}×{nx} of them, from frame {} on, are the scan",
            scan.begin
        ));
        return;
    }
    info.notes.push(left_out);
    let all = (
        format!("--nav-shape 1,{frames}"),
        "all frames, also those that are not of the scan".into(),
    );
    info.reading.otherwise.push(all);
}

/// The files of a stream, each with its number of frames of `step` bytes.
fn parts(first: ReadAt, step: u64) -> Result<Vec<(ReadAt, u64)>> {
    let mut files = Vec::new();
    let given = first.path().to_owned();
    let found = siblings::parts(&given)?;
    // A file whose name ends in another number stands alone.
    let numbered = found
        .first()
        .is_some_and(|(n, p)| *n == 0 && p.file_name() == given.file_name());
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
