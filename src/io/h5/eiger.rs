//! EIGER, ARINA and other detectors of Dectris: a master file whose `/entry/data/data_000001` … are links to the files with the frames.
//!
//! Layout: Dectris' description of the NeXus files that its detectors write. Frames are compressed by bitshuffle and LZ4 or by LZ4.

use super::refused::{Told, there};
use super::{Opened, frames_of, text};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::joined::{Joined, MAX_PARTS};
use crate::io::limits;
use crate::io::open::OpenOptions;
use crate::io::readat::ReadAt;
use crate::io::reading::{Reading, ShapeFrom};
use crate::io::stack::Stack;
use crate::io::{Scan, ScanInfo};
use hdf5::{File, IndexType, IterationOrder, LinkType};

/// The group with the links.
const DATA: &str = "/entry/data";
/// What the detector was told.
const SPECIFIC: &str = "/entry/instrument/detector/detectorSpecific";

/// Numbers of `data_NNNNNN`, in order; empty if this is no master file.
pub(super) fn parts(file: &File) -> Vec<String> {
    let Some(group) = file.group(DATA).told() else {
        return Vec::new();
    };
    let (mut names, mut linked) = (Vec::new(), false);
    let visited = group.iter_visit(IndexType::Name, IterationOrder::Increasing, |name, info| {
        let digits = name
            .strip_prefix("data_")
            .is_some_and(|n| n.len() >= 6 && n.bytes().all(|b| b.is_ascii_digit()));
        if digits && names.len() <= MAX_PARTS {
            linked |= info.link_type == LinkType::External;
            names.push(name.to_owned());
        }
        Ok(())
    });
    // One dataset in the file itself is a scan like any other, unless a detector describes itself beside it.
    let described = there(file, "/entry/instrument");
    match visited.told() {
        Some(()) if linked || names.len() > 1 || (described && !names.is_empty()) => {
            names.sort_by_key(|n| (n.len(), n.clone()));
            names
        }
        _ => Vec::new(),
    }
}

/// Opens all files of a master file as one scan.
///
/// # Errors
/// [`Error::Format`] where a file is missing or differs from the first; else as [`super::open`].
pub(super) fn open(file: ReadAt, h5: &File, parts: &[String], options: &OpenOptions, control: &Control) -> Result<Box<dyn Scan>> {
    let path = file.path().to_owned();
    let path = path.as_path();
    if parts.len() > MAX_PARTS {
        return Err(Error::limit(path, format!("a scan of more than {MAX_PARTS} files")));
    }
    let mut opened = Vec::new();
    let mut first: Option<Opened> = None;
    for name in parts {
        let name = format!("{DATA}/{name}");
        // The library says no more than that it cannot open the object.
        let dataset = h5.dataset(&name).map_err(|_| {
            let what = "its file is missing or damaged: the files that a master file names must lie beside it";
            Error::format(path, format!("dataset {name}"), what)
        })?;
        let part = Opened::inspect(path, h5, name, dataset, options)?;
        let like = first.get_or_insert_with(|| part.clone());
        if part.dims.len() != 3 || (part.dims.get(1..), part.stored) != (like.dims.get(1..), like.stored) {
            let what = format!(
                "{} of {}, {} has {} of {}",
                limits::tuple(&part.dims),
                part.stored,
                like.name,
                limits::tuple(&like.dims),
                like.stored
            );
            return Err(Error::format(path, format!("dataset {}", part.name), what));
        }
        opened.push(part);
    }
    let Some(Opened { dims, stored, .. }) = first else {
        return Err(Error::Internal("a master file without links".into()));
    };
    let frames = opened
        .iter()
        .try_fold(0u64, |n, p| n.checked_add(p.dims[0]))
        .unwrap_or(u64::MAX);
    let (nav, from) = shape(h5, frames);
    let mut sizes = limits::check(path, nav, [dims[1], dims[2]], stored.bytes())?;
    limits::check_sig(options.sig_shape, &sizes)?;
    if let Some(nav) = options.nav_shape {
        sizes = limits::with_nav(path, &sizes, nav, stored.bytes())?;
    }
    let pixel = stored.deliver(options.wanted_pixel()?)?;
    let mut info = ScanInfo::new(&file, "eiger", &sizes, stored, pixel);
    info.reading = Reading::shape(options, from);
    info.costly = true;
    if opened.len() > 1 {
        info.notes.push(format!("{} files", opened.len()));
    }
    ignored(h5, &mut info);
    let mut joined = Joined::new();
    let share = opened.len() as u64;
    for part in opened {
        let count = part.dims[0];
        let lies_in = part.dataset.filename();
        if std::path::Path::new(&lies_in) != path {
            info.file_bytes += std::fs::metadata(&lies_in).map_or(0, |m| m.len());
        }
        // The shape of one file is its own.
        let mut its = info.clone();
        its.dataset = Some(part.name.clone());
        let own = limits::check(path, [1, count], [dims[1], dims[2]], stored.bytes())?;
        let stored = frames_of(&file, h5, part, &own, &mut its, control, share)?;
        for note in its.notes {
            if !info.notes.contains(&note) {
                info.notes.push(note);
            }
        }
        joined.push(path, count, stored)?;
    }
    Ok(Box::new(Stack::new(info, joined, options.sync_offset)?))
}

/// Triggers × images of each, where both say something and make the frames.
fn shape(h5: &File, frames: u64) -> ([u64; 2], ShapeFrom) {
    let number = |name: &str| text::number(h5, &format!("{SPECIFIC}/{name}")).map(|n| n as u64);
    match (number("ntrigger"), number("nimages")) {
        (Some(y), Some(x)) if y > 1 && x > 1 && y.checked_mul(x) == Some(frames) => {
            ([y, x], ShapeFrom::Stored("ntrigger, nimages".to_owned()))
        }
        _ => ([1, frames], ShapeFrom::Unknown),
    }
}

/// What the file says beyond the frames.
fn ignored(h5: &File, info: &mut ScanInfo) {
    if there(h5, "/entry/instrument/detector") {
        if there(h5, &format!("{SPECIFIC}/pixel_mask")) {
            let hint = "the detector's pixel mask: masked pixels hold the largest value unless --bad-pixels";
            info.reading
                .ignored
                .push(format!("{hint} {}:{SPECIFIC}/pixel_mask", info.path.display()));
        }
        info.reading
            .ignored
            .push("flat field, thresholds and times of the detector".to_owned());
    }
}
