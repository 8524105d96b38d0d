//! Patterns in map order over patterns in the file's order.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::stack::check_request;
use crate::io::{Axis, Scan, ScanInfo, ShapeFrom};
use ndarray::Array2;
use std::path::Path;

/// No pattern at this position of the map.
const NONE: u32 = u32::MAX;

/// Which stored pattern belongs to which position of a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Places {
    /// Map shape (rows, columns).
    pub nav: [usize; 2],
    /// Stored pattern of every position, row by row.
    stored: Vec<u32>,
}

impl Places {
    /// Stored pattern i belongs to position i, row by row; positions beyond the last one have none.
    pub fn in_order(nav: [usize; 2], count: usize) -> Places {
        let stored = (0..nav[0] * nav[1]).map(|i| if i < count { i as u32 } else { NONE });
        Places {
            nav,
            stored: stored.collect(),
        }
    }

    /// Stored pattern i belongs to position `at[i]` (row, column).
    ///
    /// # Errors
    /// [`Error::Format`] if a position lies outside the map or two patterns claim the same one; `what` names the positions.
    pub fn new(path: &Path, what: &str, nav: [usize; 2], at: impl Iterator<Item = [usize; 2]>) -> Result<Places> {
        let mut stored = vec![NONE; nav[0] * nav[1]];
        for (i, [row, column]) in at.enumerate() {
            let wrong = |why: String| Error::format(path, format!("{what}, pattern {i}"), why);
            if row >= nav[0] || column >= nav[1] {
                return Err(wrong(format!(
                    "row {row}, column {column} lies outside the map of {} × {}",
                    nav[0], nav[1]
                )));
            }
            let place = &mut stored[row * nav[1] + column];
            if *place != NONE {
                return Err(wrong(format!(
                    "row {row}, column {column} belongs to pattern {} already",
                    *place
                )));
            }
            *place = i as u32;
        }
        Ok(Places { nav, stored })
    }

    /// Takes the pattern away from every position where `measured`, row by row, is false.
    pub fn keep(&mut self, measured: impl Iterator<Item = bool>) {
        let without = self.stored.iter_mut().zip(measured).filter(|(_, m)| !m);
        without.for_each(|(stored, _)| *stored = NONE);
    }
    /// Where there are patterns.
    pub fn present(&self) -> Array2<bool> {
        Array2::from_shape_fn((self.nav[0], self.nav[1]), |(y, x)| self.stored[y * self.nav[1] + x] != NONE)
    }
    /// The stored pattern of a position.
    pub fn stored(&self, position: u64) -> Option<u32> {
        let i = usize::try_from(position).ok()?;
        self.stored.get(i).copied().filter(|&s| s != NONE)
    }
    /// Stored patterns in map order, for those positions that have one.
    pub fn order(&self) -> Vec<u32> {
        self.stored.iter().copied().filter(|&s| s != NONE).collect()
    }
    /// Positions without a pattern.
    pub fn missing(&self) -> usize {
        self.stored.iter().filter(|&&s| s == NONE).count()
    }
}

/// A scan of stored patterns, shown in map order.
pub(crate) struct Mapped {
    info: ScanInfo,
    inner: Box<dyn Scan>,
    places: Places,
}

impl Mapped {
    /// Shows the patterns of `inner` at `places`; `steps` (y, x) are in µm.
    ///
    /// # Errors
    /// [`Error::Internal`] if a place names a pattern that `inner` does not have.
    pub fn new(inner: Box<dyn Scan>, places: Places, steps: [Option<f64>; 2]) -> Result<Mapped> {
        let mut info = inner.info().clone();
        if places.stored.iter().any(|&s| s != NONE && u64::from(s) >= info.frames()) {
            return Err(Error::Internal("a map names a pattern that the file does not have".into()));
        }
        info.nav = places.nav;
        info.reading.shape = ShapeFrom::Derived("the positions of the patterns".into());
        info.reading.places = Some(places.present());
        info.nav_axes = steps.map(|scale| match scale {
            Some(s) if s.is_finite() && s > 0.0 => Axis {
                scale: Some(s),
                unit: "µm".into(),
            },
            _ => Axis::default(),
        });
        match places.missing() {
            0 => {}
            1 => info
                .notes
                .push("one point of the map has no pattern; it reads as zeros".into()),
            n => info
                .notes
                .push(format!("{n} points of the map have no pattern; they read as zeros")),
        }
        Ok(Mapped { info, inner, places })
    }

    /// Adds something that a user should know.
    pub fn note(&mut self, note: String) {
        self.info.notes.push(note);
    }
}

impl Scan for Mapped {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        check_request(&self.info, frames, stride, out.len())?;
        let bytes = self.info.frame.bytes();
        let stored: Vec<Option<u64>> = frames.iter().map(|&p| self.places.stored(p).map(u64::from)).collect();
        // Runs of positions with patterns go to the file's reader together, the others become zero.
        let mut at = 0;
        let mut wanted = Vec::with_capacity(stored.len());
        for run in stored.chunk_by(|a, b| a.is_some() == b.is_some()) {
            let place = &mut out[at * stride..][..(run.len() - 1) * stride + bytes];
            wanted.clear();
            wanted.extend(run.iter().flatten());
            if wanted.is_empty() {
                place.chunks_mut(stride).for_each(|frame| frame[..bytes].fill(0));
            } else {
                self.inner.read(&wanted, stride, place, control)?;
            }
            at += run.len();
        }
        Ok(())
    }
    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }
    fn replaced(&self) -> Vec<u32> {
        self.inner.replaced()
    }
    fn prefetch(&self, frames: std::ops::Range<u64>) {
        let (Some(first), Some(last)) = (
            self.places.stored(frames.start),
            self.places.stored(frames.end.saturating_sub(1)),
        ) else {
            return;
        };
        // Only where the file has the map's order are the patterns in between wanted soon.
        if u64::from(last).checked_sub(u64::from(first)) == Some(frames.end - frames.start - 1) {
            self.inner.prefetch(u64::from(first)..u64::from(last) + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_checked() {
        let path = Path::new("map.h5");
        let by_column = [[0, 0], [1, 0], [0, 1], [1, 2]];
        let p = Places::new(path, "X BEAM", [2, 3], by_column.into_iter()).unwrap();
        assert_eq!(p.order(), [0, 2, 1, 3]);
        assert_eq!(p.missing(), 2);
        assert_eq!((p.stored(1), p.stored(2), p.stored(5)), (Some(2), None, Some(3)));
        assert!(!p.present()[[0, 2]]);
        let e = Places::new(path, "X BEAM", [2, 3], [[0, 3]].into_iter()).unwrap_err();
        assert_eq!(
            e.to_string(),
            "map.h5: X BEAM, pattern 0: row 0, column 3 lies outside the map of 2 × 3"
        );
        let e = Places::new(path, "X BEAM", [2, 3], [[0, 1], [0, 1]].into_iter()).unwrap_err();
        assert!(e.to_string().contains("belongs to pattern 0 already"), "{e}");
        assert_eq!(Places::in_order([2, 2], 3).missing(), 1);
    }
}
