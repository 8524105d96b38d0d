//! What an earlier step found, read from its result file.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{self, Axis};
use ndarray::{Array1, Array2, Array3};
use std::path::{Path, PathBuf};

/// Detections of a movie, as `defects detect` and `defects classify` write them. All vectors without note have one entry for each detection, sorted by frame.
#[derive(Debug, Clone, Default)]
pub struct Detected {
    /// The file they come from.
    pub path: PathBuf,
    pub frame: Vec<u32>,
    /// Centre in pixels.
    pub y: Vec<f64>,
    pub x: Vec<f64>,
    /// Pixels above the threshold.
    pub area: Vec<i32>,
    /// Those that have a window.
    pub kept: Vec<bool>,
    /// First row and column of each window, in order of the detections that have one.
    pub corner: Vec<[usize; 2]>,
    /// The windows (kept, s, s), if they were asked for.
    pub windows: Array3<f32>,
    /// Class of each detection, −1 without one; empty before `classify`.
    pub class: Vec<i32>,
    /// Displacement (y, x) of each frame against the first in pixels; empty where it was not measured.
    pub drift: Vec<[f64; 2]>,
    /// First frame that was looked at, and how many.
    pub first: u32,
    pub frames: usize,
    /// Height and width of a frame.
    pub size: [usize; 2],
    /// Divisor of raw values, and what then became 0 and 1.
    pub scale: [f64; 3],
    /// Distance of the lattice's nearest points in pixels, where it is known.
    pub spacing: Option<f64>,
    /// Step of pixels and of frames.
    pub pixel: Axis,
    pub time: Axis,
}

/// The result file that `path` means: itself, or `result.h5` in a folder.
pub fn result_file(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.join("result.h5")
    } else {
        path.to_owned()
    }
}

impl Detected {
    /// Reads detections from a result file or its folder; windows only if `windows`.
    ///
    /// # Errors
    /// [`Error::Format`] for a file that holds no detections or ones that do not fit together, [`Error::Limit`] for windows that do not fit a quarter of the memory.
    pub fn read(path: &Path, windows: bool, control: &Control) -> Result<Self> {
        let path = result_file(path);
        let most = control.memory / 4;
        let wrong = |place: &str, what: String| Err(Error::format(&path, place, what));
        let column = |name: &str| -> Result<Vec<f64>> {
            let values: Array1<f64> = io::read_stored(&path, name, most)?;
            Ok(values.to_vec())
        };
        let whole = |name: &str| -> Result<Vec<i32>> {
            let values: Array1<i32> = io::read_stored(&path, name, most)?;
            Ok(values.to_vec())
        };
        let frame = whole("detections/frame")?;
        let n = frame.len();
        if let Some(f) = frame.iter().find(|f| **f < 0) {
            return wrong("detections/frame", format!("frame {f}"));
        }
        if frame.windows(2).any(|w| w[0] > w[1]) {
            return wrong("detections/frame", "frames are not in order".into());
        }
        let kept: Array1<u8> = io::read_stored(&path, "detections/kept", most)?;
        let kept: Vec<bool> = kept.iter().map(|k| *k != 0).collect();
        let corner: Array2<i32> = io::read_stored(&path, "detections/corner", most)?;
        let mut found = Detected {
            y: column("detections/y")?,
            x: column("detections/x")?,
            area: whole("detections/area")?,
            frame: frame.into_iter().map(|f| f as u32).collect(),
            kept,
            ..Detected::default()
        };
        let with = found.kept.iter().filter(|k| **k).count();
        for (name, length) in [
            ("y", found.y.len()),
            ("x", found.x.len()),
            ("area", found.area.len()),
            ("kept", found.kept.len()),
        ] {
            if length != n {
                return wrong(&format!("detections/{name}"), format!("{length} values for {n} detections"));
            }
        }
        if found.y.iter().chain(&found.x).any(|v| !v.is_finite()) {
            return wrong("detections/y", "positions must be finite".into());
        }
        if corner.dim() != (with, 2) || corner.iter().any(|c| *c < 0) {
            return wrong("detections/corner", format!("{:?} for {with} windows", corner.shape()));
        }
        found.corner = corner.rows().into_iter().map(|c| [c[0] as usize, c[1] as usize]).collect();
        if windows {
            found.windows = io::read_stored(&path, "detections/windows", most)?;
            let (m, h, w) = found.windows.dim();
            if m != with || h != w {
                return wrong(
                    "detections/windows",
                    format!("{m} × {h} × {w} for {with} detections with a window"),
                );
            }
        }
        if io::has_stored(&path, "classes/labels")? {
            let labels = whole("classes/labels")?;
            if labels.len() != with {
                return wrong("classes/labels", format!("{} labels for {with} windows", labels.len()));
            }
            let mut labels = labels.into_iter();
            found.class = found
                .kept
                .iter()
                .map(|k| if *k { labels.next().unwrap_or(-1) } else { -1 })
                .collect();
        }
        found.about_the_movie(&path, most)?;
        found.path = path;
        Ok(found)
    }

    /// Frames, size, scale, drift and calibration.
    fn about_the_movie(&mut self, path: &Path, most: u64) -> Result<()> {
        let wrong = |place: &str, what: String| Err(Error::format(path, place, what));
        let last = self.frame.last().map_or(0, |f| f + 1);
        if io::has_stored(path, "movie/frames")? {
            let frames: Array1<i64> = io::read_stored(path, "movie/frames", most)?;
            match frames.as_slice() {
                Some(&[first, count]) if first >= 0 && (1..1 << 31).contains(&count) && first + count >= i64::from(last) => {
                    (self.first, self.frames) = (first as u32, count as usize);
                }
                _ => return wrong("movie/frames", format!("{frames} for detections up to frame {last}")),
            }
        } else {
            (self.first, self.frames) = (0, last.max(1) as usize);
        }
        if self.frame.first().is_some_and(|f| *f < self.first) {
            return wrong("movie/frames", format!("starts behind frame {}", self.frame[0]));
        }
        if io::has_stored(path, "movie/size")? {
            let size: Array1<i64> = io::read_stored(path, "movie/size", most)?;
            match size.as_slice() {
                Some(&[h, w]) if (1..1 << 20).contains(&h) && (1..1 << 20).contains(&w) => self.size = [h as usize, w as usize],
                _ => return wrong("movie/size", format!("{size} is no frame")),
            }
        } else {
            // Files of other programs: as large as what was found.
            let side = self.windows.dim().1 as f64;
            let reach = |at: &[f64]| at.iter().copied().fold(0.0, f64::max).clamp(0.0, 1e6);
            self.size = [reach(&self.y), reach(&self.x)].map(|m| (m + side / 2.0).ceil() as usize + 1);
        }
        if io::has_stored(path, "movie/scale")? {
            let scale: Array1<f64> = io::read_stored(path, "movie/scale", most)?;
            match scale.as_slice() {
                Some(&[a, b, c]) => self.scale = [a, b, c],
                _ => return wrong("movie/scale", format!("{scale}")),
            }
        } else {
            self.scale = [1.0, 0.0, 1.0];
        }
        if io::has_stored(path, "drift")? {
            let drift: Array2<f64> = io::read_stored(path, "drift", most)?;
            if drift.dim() != (self.frames, 2) || drift.iter().any(|v| !v.is_finite()) {
                return wrong("drift", format!("{:?} for {} frames", drift.shape(), self.frames));
            }
            self.drift = drift.rows().into_iter().map(|d| [d[0], d[1]]).collect();
        }
        if io::has_stored(path, "registration/reciprocal")? {
            let g: Array2<f64> = io::read_stored(path, "registration/reciprocal", most)?;
            if g.dim() == (2, 2) {
                let reciprocal = [[g[[0, 0]], g[[0, 1]]], [g[[1, 0]], g[[1, 1]]]];
                let spacing = crate::analysis::register::Lattice { reciprocal }.spacing();
                self.spacing = Some(spacing).filter(|s| s.is_finite() && *s > 0.0);
            }
        }
        for (name, axis) in io::stored_calibration(path)? {
            match name.as_str() {
                "x" => self.pixel = axis,
                "scan_x" => self.time = axis,
                _ => {}
            }
        }
        Ok(())
    }

    /// Index of a detection's frame among those looked at.
    pub fn index(&self, detection: usize) -> usize {
        (self.frame[detection] - self.first) as usize
    }

    /// Position (y, x) with the drift of its frame taken out.
    pub fn still(&self, detection: usize) -> [f64; 2] {
        let drift = self.drift.get(self.index(detection)).copied().unwrap_or_default();
        [self.y[detection] - drift[0], self.x[detection] - drift[1]]
    }

    /// Labels of windows as labels of detections, −1 for those without a window.
    pub fn spread(&self, labels: &[i32]) -> Vec<i32> {
        let mut labels = labels.iter();
        let next = |kept: &bool| if *kept { labels.next().copied().unwrap_or(-1) } else { -1 };
        self.kept.iter().map(next).collect()
    }

    /// Detections that have a window, in order.
    pub fn with_window(&self) -> Vec<usize> {
        (0..self.kept.len()).filter(|&i| self.kept[i]).collect()
    }
}
