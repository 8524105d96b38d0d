//! Merlin and Medipix (`.mib`, `.hdr`): frames behind headers of text, in one file or several, as counts or as the chips deliver them.
//!
//! Sources: Quantum Detectors' Merlin manual (header fields), LiberTEM's description of its reader (MIT) for raw and quad arrangements. Counts are
//! big-endian.

mod header;
mod parts;
mod raw;

use self::header::Layout;
use self::parts::Part;
use self::raw::RawFrames;
use super::dtype::{Kind, Stored as StoredType};
use super::flat::{Flat, Marker};
use super::joined::Joined;
use super::limits;
use super::open::OpenOptions;
use super::readat::ReadAt;
use super::reading::{Reading, ShapeFrom};
use super::stack::{Stack, Stored};
use super::{Scan, ScanInfo, siblings};
use crate::error::{Error, Result};
use std::path::Path;

/// True for the first bytes of a `.mib` file or its `.hdr` file.
pub(crate) fn has_signature(head: &[u8]) -> bool {
    head.starts_with(b"MQ1,") || header::is_hdr(head)
}

/// The first `.mib` file of an `.hdr` file.
fn first_mib(hdr: &Path) -> Result<ReadAt> {
    if let Some(mib) = siblings::beside(hdr, "mib") {
        return ReadAt::open(&mib);
    }
    let stem = hdr.file_stem().and_then(|s| s.to_str()).unwrap_or("");
    for begin in [stem.to_owned(), format!("{stem}_"), format!("{stem}-")] {
        if let Some((_, mib)) = siblings::numbered(hdr, &begin, "mib")?.first() {
            return ReadAt::open(mib);
        }
    }
    Err(Error::format(hdr, "frames", format!("there is no {stem}.mib beside it")))
}

/// Opens an acquisition by one of its `.mib` files or its `.hdr` file.
///
/// # Errors
/// [`Error::Format`] where a header is wrong or a file has not whole frames, also where a neighbour continues the acquisition;
/// [`Error::Unsupported`] for other arrangements of chips.
pub(crate) fn open(file: ReadAt, options: &OpenOptions) -> Result<Box<dyn Scan>> {
    let mut head = [0; 4];
    if file.len() >= 4 {
        file.read(0, &mut head)?;
    }
    let (hdr, file) = if header::is_hdr(&head) {
        (Some(file.path().to_owned()), first_mib(file.path())?)
    } else {
        (header::find_hdr(file.path()), file)
    };
    let path = file.path().to_owned();
    let path = path.as_path();
    let (parts, mut others) = parts::parts(file)?;
    let Some(Part {
        header: h, file: first, ..
    }) = parts.first()
    else {
        return Err(Error::Internal("an acquisition without files".into()));
    };
    let frames = parts.iter().map(|p| p.frames).sum::<u64>();
    let scan = hdr.map(|p| header::Scan::read(&p)).transpose()?;
    let stored = match h.layout {
        Layout::Plain(bytes) => {
            let kind = match bytes {
                1 => Kind::U8,
                2 => Kind::U16,
                4 => Kind::U32,
                _ => Kind::U64,
            };
            StoredType {
                kind,
                big_endian: bytes > 1,
            }
        }
        Layout::Raw { bits, .. } => StoredType::native(raw::kind(bits)),
    };
    let mut notes = Vec::new();
    let (nav, from) = shape(scan.as_ref(), frames, &mut notes);
    let mut sizes = limits::check(path, nav, h.sig, stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let mut info = ScanInfo::new(first, "mib", &sizes, stored, pixel);
    info.file_bytes = parts.iter().map(|p| p.file.len()).sum();
    info.reading = Reading::shape(options, from);
    info.reading
        .ignored
        .push("times, thresholds and settings in the header of every frame".to_owned());
    info.notes.append(&mut notes);
    if let Layout::Raw { .. } = h.layout {
        info.stored = h.layout.to_string();
    }
    if let Some(s) = h.exposure {
        info.notes.push(format!("exposure {s} s"));
    }
    if parts.len() > 1 {
        info.notes.push(format!(
            "{} files, numbered frames {} to {}",
            parts.len(),
            h.number,
            h.number.saturating_add(frames - 1)
        ));
    }
    info.notes.append(&mut others);
    let mut joined = Joined::new();
    for part in parts {
        let frames = part.frames;
        let stored: Box<dyn Stored> = match part.header.layout {
            Layout::Plain(_) => {
                let marker = Marker::Mib(part.header.bytes);
                Box::new(Flat::new(part.file, 0, marker, &sizes, stored, pixel))
            }
            Layout::Raw { bits, quad } => Box::new(RawFrames {
                file: part.file,
                header: part.header.bytes,
                frame_bytes: part.header.frame_bytes as usize,
                sig: sizes.sig,
                bits,
                quad,
                pixel,
            }),
        };
        joined.push(path, frames, stored)?;
    }
    Ok(Box::new(Stack::new(info, joined, options.sync_offset)?))
}

/// The scan shape that an `.hdr` file makes of so many frames.
fn shape(scan: Option<&header::Scan>, frames: u64, notes: &mut Vec<String>) -> ([u64; 2], ShapeFrom) {
    let unknown = ([1, frames], ShapeFrom::Unknown);
    let Some(s) = scan else { return unknown };
    if let Some(shape) = s.shape {
        if shape[0].checked_mul(shape[1]) == Some(frames) {
            return (shape, ShapeFrom::Stored(format!("ScanY, ScanX in {}", s.name)));
        }
        notes.push(format!(
            "{} says {}×{} positions, but there are {frames} frames",
            s.name, shape[0], shape[1]
        ));
    }
    let Some(row) = s.per_trigger.filter(|&n| n > 1) else {
        return unknown;
    };
    match s.frames {
        Some(all) if all == frames && all.is_multiple_of(row) => (
            [frames / row, row],
            ShapeFrom::Stored(format!("frames per trigger in {}", s.name)),
        ),
        Some(all) if frames < all && frames.is_multiple_of(row) => {
            let how = format!("{} says {row} frames a trigger; {frames} of {all} frames were taken", s.name);
            ([frames / row, row], ShapeFrom::Derived(how))
        }
        _ => {
            let all = s.frames.map_or("no number of".to_owned(), |n| n.to_string());
            notes.push(format!(
                "{} says {all} frames, {row} a trigger, but there are {frames}",
                s.name
            ));
            unknown
        }
    }
}
