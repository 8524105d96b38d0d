//! Roughly where a direct beam is that wanders far: the strongest disk in the log-sums of parts of the scan.

use crate::analysis::correlate::correlation_map;
use crate::analysis::descan::Surface;
use crate::analysis::peaks::find_peaks;
use crate::analysis::template::Template;
use crate::engine::Selection;
use crate::error::Result;
use crate::kernels::logsum;
use crate::pixel::FrameShape;
use crate::workflows::frame_array;
use std::sync::Arc;

/// Parts along each axis of the scan: at most, and at least where the scan has as many positions.
const PARTS: [usize; 2] = [8, 3];
/// Share of the memory that the log-sums may take, one in so many.
const MEMORY: u64 = 8;
/// Nearer to its mean place than this in pixels the beam does not leave its window.
const NEAR: f64 = super::REACH as f64 / 2.0;

/// Parts of a scan, some eight along each axis.
pub(in crate::workflows) struct Parts {
    /// Part of each selected frame.
    pub labels: Arc<[i32]>,
    /// Scan position (y, x) of each selected frame.
    at: Vec<[f64; 2]>,
    /// Mean scan position of each part.
    centres: Vec<[f64; 2]>,
}

impl Parts {
    /// `None` where the log-sums of enough parts would not fit the memory.
    pub fn of(selection: &Selection, frame: FrameShape, memory: u64) -> Option<Parts> {
        let at: Vec<[f64; 2]> = super::scan_positions(selection);
        let range = |k: usize| {
            let fold = |(low, high): (f64, f64), p: &[f64; 2]| (low.min(p[k]), high.max(p[k]));
            at.iter().fold((f64::INFINITY, f64::NEG_INFINITY), fold)
        };
        let ranges = [range(0), range(1)];
        let extent = ranges.map(|(low, high)| (high - low + 1.0).max(1.0));
        let along = |most: usize| extent.map(|e| (most as f64).min(e) as usize);
        // A sum of float64 for each part, and another while they are put together.
        let bytes = |n: [usize; 2]| (n[0] * n[1] * frame.pixels()) as u64 * 16;
        let [ny, nx] = (PARTS[1]..=PARTS[0])
            .rev()
            .map(along)
            .find(|n| bytes(*n) <= memory / MEMORY)?;
        let part = |p: &[f64; 2]| {
            let index = |k: usize, n: usize| (((p[k] - ranges[k].0) / extent[k] * n as f64) as usize).min(n - 1);
            index(0, ny) * nx + index(1, nx)
        };
        let mut sums = vec![([0.0; 2], 0.0); ny * nx];
        for p in &at {
            let (sum, count) = &mut sums[part(p)];
            (*sum, *count) = ([sum[0] + p[0], sum[1] + p[1]], *count + 1.0);
        }
        Some(Parts {
            labels: at.iter().map(|p| part(p) as i32).collect(),
            at,
            centres: sums.into_iter().map(|(sum, count)| sum.map(|s| s / count)).collect(),
        })
    }

    /// Where to look for the direct beam in each selected frame, if it wanders farther than a window from `zero` reaches safely and
    /// the parts agree on a surface; else `None`.
    ///
    /// # Errors
    /// Those of the correlation.
    pub fn windows(
        &self,
        sums: logsum::Part,
        frame: FrameShape,
        template: &Template,
        zero: [f64; 2],
    ) -> Result<Option<Vec<[f64; 2]>>> {
        let offset = template.offset();
        let (mut centres, mut places) = (Vec::new(), Vec::new());
        for (part, sum) in sums.sums {
            let map = correlation_map(
                frame_array(frame, sum.values)?.view(),
                template,
                crate::analysis::Recipe::Default,
            )?;
            if let (Some(p), Some(centre)) = (find_peaks(map.view(), 1).first(), self.centres.get(part as usize)) {
                places.push([p.y as f64 + offset[0], p.x as f64 + offset[1]]);
                centres.push(*centre);
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let surface = Surface::fit(&centres, &places)?;
        let windows: Vec<[f64; 2]> = self.at.iter().map(|a| surface.position(*a)).collect();
        let far = |p: &[f64; 2]| (p[0] - zero[0]).hypot(p[1] - zero[1]) > NEAR;
        Ok((surface.spread <= NEAR && windows.iter().any(far)).then_some(windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_scans_of_any_shape() {
        let frame = FrameShape::new(crate::pixel::Pixel::U8, [32, 32]);
        let of = |nav: [usize; 2]| Parts::of(&Selection::all(nav), frame, 1 << 30).unwrap();
        let square = of([40, 50]);
        assert_eq!(square.centres.len(), 64);
        assert_eq!((square.labels[0], square.labels[1999]), (0, 63));
        assert_eq!(square.centres[0], [2.0, 3.0]);
        assert_eq!(of([1, 3]).centres, [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]);
        assert_eq!(of([100, 2]).centres.len(), 16);
        // A part of frames of 16 million pixels takes 256 MiB.
        let large = FrameShape::new(crate::pixel::Pixel::U8, [4096, 4096]);
        assert!(Parts::of(&Selection::all([9, 9]), large, 1 << 30).is_none());
        assert_eq!(Parts::of(&Selection::all([9, 9]), large, 20 << 30).unwrap().centres.len(), 9);
    }
}
