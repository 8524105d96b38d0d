//! The scan in a stream, by the beam positions that version 2 writes into the frames' headers. Recorders start before the scan and stop
//! after it, so a stream is ordinarily longer than its scan.

use super::HEADER;
use crate::error::{Error, Result};
use crate::io::fields::Fields;
use crate::io::readat::ReadAt;

/// Bytes of a frame's header that are looked at: up to the scan positions.
pub(super) const FRAME: usize = 76;
/// Frames that are looked at for the first row.
const LOOK: u64 = 1 << 16;
/// Frames that may come first without one that stands at the origin.
const LEAD: u64 = 1 << 12;

/// A scan: which frames of the stream it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Positions {
    pub nav: [u64; 2],
    /// First frame of the scan in the stream.
    pub begin: u64,
    /// Frame from which on positions go on, but not in order.
    pub broken: Option<u64>,
}

impl Positions {
    pub fn frames(&self) -> u64 {
        self.nav[0] * self.nav[1]
    }
    /// What of a stream of `all` frames the scan leaves out, if anything.
    pub fn left_out(&self, all: u64) -> Option<String> {
        let after = all.saturating_sub(self.begin + self.frames());
        let parts = [(self.begin, "before the scan"), (after, "after the scan's last whole row")];
        let parts = parts.iter().filter(|p| p.0 > 0).map(|(n, place)| format!("{n} {place}"));
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| format!("of {all} frames, {} are left out", parts.join(" and ")))
    }
}

/// The headers of all frames of a stream: its files with their numbers of frames, and the bytes from frame to frame.
pub(super) struct Headers<'a> {
    pub parts: &'a [(ReadAt, u64)],
    pub step: u64,
}

impl Headers<'_> {
    /// Beam position (y, x) of a frame.
    fn position(&self, frame: u64) -> Result<[f32; 2]> {
        let (mut at, mut start) = (frame, HEADER as u64);
        for (file, count) in self.parts {
            if at < *count {
                let mut bytes = [0; FRAME];
                file.read(start + at * self.step, &mut bytes)?;
                let f = Fields::little(&bytes);
                return Ok([f.f32(72), f.f32(68)]);
            }
            (at, start) = (at - count, 0);
        }
        Err(Error::Internal(format!("frame {frame} of a stream that has fewer")))
    }

    /// First frame, length and step in y of the first row: x counts up from (0, 0) and falls at the row's end, where y grows.
    fn first_row(&self, frames: u64) -> Result<Option<(u64, u64, f32)>> {
        let mut start = None;
        for frame in 0..frames.min(LOOK) {
            let at = self.position(frame)?;
            match start {
                // The last frame that stands at the origin begins the scan.
                _ if at == [0.0, 0.0] => start = Some(frame),
                Some(begin) if at == [0.0, (frame - begin) as f32] => {}
                Some(begin) if at[0] > 0.0 && at[0].is_finite() && at[1] == 0.0 && frame - begin > 1 => {
                    return Ok(Some((begin, frame - begin, at[0])));
                }
                // The beam may rest anywhere before the scan.
                _ if frame < LEAD => start = None,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Finds the scan. The end is searched for by halves, since a stream may have millions of headers, each on another page of the disk.
    ///
    /// # Errors
    /// Those of reading.
    pub fn scan(&self) -> Result<Option<Positions>> {
        let frames = self.parts.iter().map(|p| p.1).sum::<u64>();
        let Some((begin, row, step)) = self.first_row(frames)? else {
            return Ok(None);
        };
        // Number in the scan of the frame that stands at a position.
        let number = |[y, x]: [f32; 2]| {
            let y = (f64::from(y) / f64::from(step)).round();
            let inside = y >= 0.0 && (0.0..row as f64).contains(&f64::from(x));
            inside.then(|| y * row as f64 + f64::from(x))
        };
        let follows = |i: u64| Ok::<bool, Error>(number(self.position(begin + i)?) == Some(i as f64));
        // The first frame of the second row follows.
        let (mut end, mut beyond) = (row, frames - begin);
        while beyond - end > 1 {
            let middle = end + (beyond - end) / 2;
            match follows(middle)? {
                true => end = middle,
                false => beyond = middle,
            }
        }
        let mut positions = Positions {
            nav: [beyond / row, row],
            begin,
            broken: None,
        };
        // Behind the scan the beam rests. Where it moves on, frames were lost or doubled, and numbers say nothing about the scan's end.
        let last = begin + beyond;
        let mut further = None;
        for frame in (last..frames.min(last + row)).chain([frames - 1]) {
            let at = number(self.position(frame)?).filter(|&n| n > (beyond - 1) as f64);
            if at.is_some() && further.is_some() && at != further {
                positions.nav[0] = (frames - begin) / row;
                positions.broken = Some(last);
                break;
            }
            further = further.or(at);
        }
        Ok(Some(positions))
    }
}
