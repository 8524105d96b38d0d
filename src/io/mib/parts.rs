//! The files of one acquisition: the one that was asked for, and its neighbours by the numbers at the end of their names.

use super::header::{self, Header};
use crate::error::{Error, Result};
use crate::io::joined::MAX_PARTS;
use crate::io::readat::ReadAt;
use crate::io::{file_name, siblings};
use std::collections::VecDeque;
use std::path::Path;

/// A file of the acquisition, its first header and its number of frames.
pub(super) struct Part {
    pub file: ReadAt,
    pub header: Header,
    pub frames: u64,
}

impl Part {
    fn open(file: ReadAt) -> Result<Part> {
        let header = Header::read(&file)?;
        Part::new(file, header)
    }
    fn new(file: ReadAt, header: Header) -> Result<Part> {
        let step = header.bytes as u64 + header.frame_bytes;
        let frames = file.len() / step;
        if frames == 0 || !file.len().is_multiple_of(step) {
            let what = format!("{frames} frames of {step} bytes and {} bytes more", file.len() % step);
            return Err(Error::format(file.path(), "end of file (truncated)", what));
        }
        Ok(Part { file, header, frames })
    }
    /// The number that follows this file's last frame. A header may claim any number.
    fn next(&self) -> u64 {
        self.header.number.saturating_add(self.frames)
    }
}

/// The side of the chain on which a neighbour lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// What a neighbour turned out to be.
enum Neighbour {
    /// The next file of the acquisition.
    Part(Box<Part>),
    /// Not of this acquisition, and why.
    Other(String),
}

/// The file that was asked for and those that continue it or that it continues, by the frame numbers in their headers: a folder may hold
/// several acquisitions with the same name but for a number. Also notes on the neighbours at which the acquisition ends.
///
/// # Errors
/// Those of the given file; and those of a neighbour that continues the acquisition but cannot be read, since a scan without it would
/// pass for the whole.
pub(super) fn parts(given: ReadAt) -> Result<(Vec<Part>, Vec<String>)> {
    let path = given.path().to_owned();
    let found = siblings::parts(&path)?;
    let one = Part::open(given)?;
    let mut notes = Vec::new();
    // By names: the folder's list may write the same path in another way.
    let here = found.iter().position(|(_, p)| p.file_name() == path.file_name());
    let Some((before, after)) = here.and_then(|i| Some((found.get(..i)?, found.get(i + 1..)?))) else {
        return Ok((vec![one], notes));
    };
    let mut chain = VecDeque::from([one]);
    let sides = [
        (Side::Before, before.iter().rev().collect::<Vec<_>>()),
        (Side::After, after.iter().collect()),
    ];
    for (side, files) in sides {
        for (_, file) in files {
            let edge = match side {
                Side::Before => chain.front(),
                Side::After => chain.back(),
            };
            let Some(edge) = edge else { break };
            match (neighbour(file, edge, side)?, side) {
                (Neighbour::Part(part), Side::Before) => chain.push_front(*part),
                (Neighbour::Part(part), Side::After) => chain.push_back(*part),
                (Neighbour::Other(why), _) => {
                    notes.push(format!(
                        "{} is not read as a part of this acquisition: {why}",
                        file_name(file)
                    ));
                    break;
                }
            }
            if chain.len() > MAX_PARTS {
                return Err(Error::limit(&path, format!("a scan of more than {MAX_PARTS} files")));
            }
        }
    }
    Ok((chain.into(), notes))
}

/// Looks at the file next to `edge`, the first or last file found so far.
///
/// # Errors
/// Those of a file that continues `edge` (or may, where not even its first bytes can be read).
fn neighbour(path: &Path, edge: &Part, side: Side) -> Result<Neighbour> {
    let other = |why: String| Ok(Neighbour::Other(why));
    if path.is_dir() {
        return other("it is a folder".into());
    }
    let (own, edge_name) = (edge.header.number, file_name(edge.file.path()));
    let opened = ReadAt::open(path).and_then(|file| Ok((header::number(&file)?, file)));
    let (number, file) = match opened {
        Ok((Some(number), file)) => (number, file),
        Ok((None, file)) => return other(format!("its {} bytes begin with no header of a frame", file.len())),
        // Acquisitions are numbered from 1 on: before that frame nothing can be missing.
        Err(e) if side == Side::Before && own <= 1 => return other(e.to_string()),
        Err(e) => return Err(with_hint(e, &format!("it may continue {edge_name}"))),
    };
    let fits = match side {
        Side::Before => number < own,
        Side::After => number == edge.next(),
    };
    if !fits {
        return other(match side {
            Side::Before => format!("its first frame has number {number}, that of {edge_name} {own}"),
            Side::After => format!("its first frame has number {number} instead of {}", edge.next()),
        });
    }
    let damaged = |e| with_hint(e, &format!("its frame number says that it belongs to {edge_name}"));
    let header = Header::read(&file).map_err(damaged)?;
    if (header.bytes, header.layout, header.sig) != (edge.header.bytes, edge.header.layout, edge.header.sig) {
        let size = |h: &Header| format!("{}×{}, {}", h.sig[0], h.sig[1], h.layout);
        let (its, ours) = (size(&header), size(&edge.header));
        return other(match its == ours {
            true => format!(
                "headers of {} bytes, those of {edge_name} have {}",
                header.bytes, edge.header.bytes
            ),
            false => format!("frames of {its}, those of {edge_name} are {ours}"),
        });
    }
    // What is left of a file that was cut must leave room for what is missing.
    let whole = file.len() / (header.bytes as u64 + header.frame_bytes);
    let end = number.saturating_add(whole);
    match (Part::new(file, header), side) {
        (Ok(part), Side::Before) if end != own => {
            let last = part.next().saturating_sub(1);
            other(format!("its last frame has number {last}, the first of {edge_name} {own}"))
        }
        (Ok(part), _) => Ok(Neighbour::Part(Box::new(part))),
        (Err(_), Side::Before) if end >= own => other(format!("its frames go on to number {end}, {edge_name} begins with {own}")),
        (Err(e), _) => Err(damaged(e)),
    }
}

/// The error of a neighbour with the reason why it matters and the way around it.
fn with_hint(e: Error, why: &str) -> Error {
    let more = |what: String| format!("{what}; {why}: move it elsewhere to read the others without it");
    match e {
        Error::Io { path, action, source } => {
            Error::io(path, action, std::io::Error::new(source.kind(), more(source.to_string())))
        }
        Error::Format { path, place, what } => Error::format(path, place, more(what)),
        Error::Unsupported { path, what } => Error::unsupported(path, more(what)),
        Error::Limit { path, what } => Error::limit(path, more(what)),
        other => other,
    }
}
