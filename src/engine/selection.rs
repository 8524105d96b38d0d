//! Which frames of a scan a pass visits.

use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView2, s};
use std::ops::Range;

/// Frames of a scan in scan order, numbered 0, 1, …; stored as runs, so that regions of large scans stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    nav: [usize; 2],
    runs: Vec<Run>,
    len: u64,
}

/// `len` consecutive frames of the scan from `start`; the first of them has number `number` in the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u64,
    number: u64,
    len: u64,
}

impl Selection {
    /// Every frame of a scan of shape (ny, nx).
    pub fn all(nav: [usize; 2]) -> Self {
        let len = nav[0] as u64 * nav[1] as u64;
        let runs = if len == 0 {
            Vec::new()
        } else {
            vec![Run {
                start: 0,
                number: 0,
                len,
            }]
        };
        Selection { nav, runs, len }
    }

    /// The frames `range` of a scan, clipped to it.
    pub fn from_range(nav: [usize; 2], range: Range<u64>) -> Self {
        let end = range.end.min(nav[0] as u64 * nav[1] as u64);
        let len = end.saturating_sub(range.start);
        let run = Run {
            start: range.start,
            number: 0,
            len,
        };
        Selection {
            nav,
            runs: if len == 0 { Vec::new() } else { vec![run] },
            len,
        }
    }

    /// Those of the frames where a scan says that it has one: `present` (ny, nx) is true.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is none.
    pub fn and(self, present: &Array2<bool>) -> Result<Self> {
        if present.iter().all(|&on| on) {
            return Ok(self);
        }
        let both = self.mask() & present;
        if !both.iter().any(|&on| on) {
            return Err(match self.is_all() {
                true => Error::parameter("SCAN", "no point of the map has a pattern"),
                false => Error::parameter("--roi", "no point of the region of interest has a pattern"),
            });
        }
        Selection::from_mask(self.nav, both.view())
    }

    /// The frames where `mask` (ny, nx) is true.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the shape is not the scan's or nothing is selected.
    pub fn from_mask(nav: [usize; 2], mask: ArrayView2<'_, bool>) -> Result<Self> {
        if mask.dim() != (nav[0], nav[1]) {
            let (h, w) = mask.dim();
            return Err(Error::parameter(
                "--roi",
                format!("mask of {h}×{w} for a scan of {}×{}", nav[0], nav[1]),
            ));
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut len = 0;
        for (i, _) in mask.iter().enumerate().filter(|(_, on)| **on) {
            let i = i as u64;
            match runs.last_mut() {
                Some(r) if r.start + r.len == i => r.len += 1,
                _ => runs.push(Run {
                    start: i,
                    number: len,
                    len: 1,
                }),
            }
            len += 1;
        }
        if len == 0 {
            return Err(Error::parameter("--roi", "the region of interest is empty"));
        }
        Ok(Selection { nav, runs, len })
    }

    /// The rectangle of scan rows `y` and columns `x`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty or leaves the scan.
    pub fn from_rect(nav: [usize; 2], y: Range<usize>, x: Range<usize>) -> Result<Self> {
        if y.is_empty() || x.is_empty() {
            return Err(Error::parameter("--roi", "the region of interest is empty"));
        }
        if y.end > nav[0] || x.end > nav[1] {
            let what = format!(
                "{}:{},{}:{} leaves the scan of {}×{}",
                y.start, y.end, x.start, x.end, nav[0], nav[1]
            );
            return Err(Error::parameter("--roi", what));
        }
        let mask = Array2::from_shape_fn((nav[0], nav[1]), |(j, i)| y.contains(&j) && x.contains(&i));
        Self::from_mask(nav, mask.view())
    }

    /// Number of selected frames.
    pub fn len(&self) -> u64 {
        self.len
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Scan shape (ny, nx).
    pub fn nav(&self) -> [usize; 2] {
        self.nav
    }
    /// True if every frame of the scan is selected.
    pub fn is_all(&self) -> bool {
        self.len == self.nav[0] as u64 * self.nav[1] as u64
    }

    /// Puts the scan's frame numbers of the selected frames `range` into `out`.
    pub fn frames(&self, range: Range<u64>, out: &mut Vec<u64>) {
        out.clear();
        let mut n = range.start;
        let end = range.end.min(self.len);
        let mut at = self.runs.partition_point(|r| r.number + r.len <= n);
        while n < end && at < self.runs.len() {
            let r = self.runs[at];
            let upto = end.min(r.number + r.len);
            out.extend((n..upto).map(|k| r.start + (k - r.number)));
            n = upto;
            at += 1;
        }
    }

    /// All selected frames as numbers in the scan.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().flat_map(|r| r.start..r.start + r.len)
    }

    /// Scan position (y, x) of frame number `frame` of the scan.
    pub fn place(&self, frame: u64) -> [usize; 2] {
        let nx = self.nav[1].max(1);
        [frame as usize / nx, frame as usize % nx]
    }

    /// Scan positions (y, x) of all selected frames.
    pub fn places(&self) -> impl Iterator<Item = [usize; 2]> + '_ {
        self.iter().map(|frame| self.place(frame))
    }

    /// Rows and columns of the selection if it is a rectangle of the scan, else (1, frames).
    pub fn shape(&self) -> [usize; 2] {
        let nx = self.nav[1] as u64;
        if self.is_all() {
            return self.nav;
        }
        let (Some(first), rows) = (self.runs.first(), self.runs.len()) else {
            return [0, 0];
        };
        let below = |i: usize, r: &Run| r.len == first.len && r.start == first.start + i as u64 * nx;
        if first.len <= nx && self.runs.iter().enumerate().all(|(i, r)| below(i, r)) {
            return [rows, first.len as usize];
        }
        // Whole rows of the scan are one run.
        if rows == 1 && first.start % nx == 0 && first.len % nx == 0 {
            return [(first.len / nx) as usize, self.nav[1]];
        }
        [1, self.len as usize]
    }

    /// Where frames are selected, (ny, nx).
    pub fn mask(&self) -> Array2<bool> {
        let mut mask = Array2::from_elem((self.nav[0], self.nav[1]), false);
        if let Some(flat) = mask.as_slice_mut() {
            self.iter().for_each(|i| flat[i as usize] = true);
        }
        mask
    }

    /// Spreads one value per selected frame over the scan; `fill` elsewhere.
    pub fn scatter<T: Clone>(&self, values: &[T], fill: T) -> Array2<T> {
        let mut map = Array2::from_elem((self.nav[0], self.nav[1]), fill);
        if let Some(flat) = map.as_slice_mut() {
            for (i, v) in self.iter().zip(values) {
                flat[i as usize] = v.clone();
            }
        }
        map
    }

    /// Spreads one row of `values` per selected frame over the scan, (ny, nx, columns); `fill` elsewhere.
    pub fn scatter_rows<T: Clone>(&self, values: ArrayView2<'_, T>, fill: T) -> Array3<T> {
        let mut maps = Array3::from_elem((self.nav[0], self.nav[1], values.ncols()), fill);
        for ([y, x], row) in self.places().zip(values.rows()) {
            maps.slice_mut(s![y, x, ..]).assign(&row);
        }
        maps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_number_frames_in_scan_order() {
        let s = Selection::from_rect([4, 5], 1..3, 2..5).unwrap();
        assert_eq!(s.len(), 6);
        let mut v = Vec::new();
        s.frames(1..5, &mut v);
        assert_eq!(v, [8, 9, 12, 13]);
        assert_eq!(s.iter().collect::<Vec<_>>(), [7, 8, 9, 12, 13, 14]);
        assert_eq!(s.shape(), [2, 3]);
        assert_eq!(Selection::from_rect([4, 5], 1..3, 0..5).unwrap().shape(), [2, 5]);
        assert_eq!(Selection::from_rect([4, 5], 1..2, 3..5).unwrap().shape(), [1, 2]);
        let corner = Array2::from_shape_fn((4, 5), |(y, x)| y + x < 2);
        assert_eq!(Selection::from_mask([4, 5], corner.view()).unwrap().shape(), [1, 3]);
        assert_eq!(s.scatter(&[1, 2, 3, 4, 5, 6], -1)[[2, 2]], 4);
        assert_eq!(s.places().nth(3), Some([2, 2]));
        let pairs = Array2::from_shape_fn((6, 2), |(i, k)| 10 * i + k);
        let maps = s.scatter_rows(pairs.view(), 99);
        assert_eq!((maps[[2, 2, 0]], maps[[2, 2, 1]], maps[[3, 2, 0]]), (30, 31, 99));
        let middle = Selection::from_range([4, 5], 7..30);
        assert_eq!(
            (middle.len(), middle.iter().next(), middle.iter().last()),
            (13, Some(7), Some(19))
        );
        assert!(Selection::from_range([4, 5], 20..30).is_empty());
        assert_eq!(s.scatter(&[1, 2, 3, 4, 5, 6], -1)[[0, 0]], -1);
    }

    #[test]
    fn all_is_one_run_and_empty_is_an_error() {
        assert_eq!(
            Selection::all([3, 3]),
            Selection::from_mask([3, 3], Array2::from_elem((3, 3), true).view()).unwrap()
        );
        let e = Selection::from_mask([2, 2], Array2::from_elem((2, 2), false).view()).unwrap_err();
        assert_eq!(e.to_string(), "--roi: the region of interest is empty");
        assert!(
            Selection::from_rect([2, 2], 0..3, 0..1)
                .unwrap_err()
                .to_string()
                .contains("leaves the scan")
        );
    }
}
