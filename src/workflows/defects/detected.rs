//! What an earlier step found, read from its result file.

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{self, Axis, ScanInfo};
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
    /// Step of pixels along x and along y.
    pub pixel: Axis,
    pub pixel_y: Axis,
    /// Step of frames; nothing where it is not known.
    pub time: Axis,
}

/// Whether a unit is one of time.
fn is_time(unit: &str) -> bool {
    const SHORT: [&str; 9] = ["s", "ms", "us", "µs", "μs", "ns", "ps", "h", "d"];
    const LONG: [&str; 8] = ["sec", "min", "hr", "hour", "day", "second", "minute", "msec"];
    const PARTS: [&str; 5] = ["", "milli", "micro", "nano", "pico"];
    let unit = unit.trim();
    let word = unit.to_lowercase();
    let one = word.strip_suffix('s').filter(|w| w.len() > 1).unwrap_or(&word);
    SHORT.contains(&unit) || LONG.contains(&one) || PARTS.iter().any(|p| one.strip_prefix(p) == Some("second"))
}

/// The axis along which frames follow each other in time: the one that is longer than 1, if it counts time. A movie may be a row of frames or a column, and
/// steps of a scan in space are no times.
fn time_axis(nav: Option<[usize; 2]>, [y, x]: [&Axis; 2]) -> Axis {
    let counts = |axis: &Axis| is_time(&axis.unit) && axis.scale.is_some_and(|s| s.is_finite() && s > 0.0);
    let axis = match nav {
        Some([ny, 1]) if ny > 1 => Some(y),
        Some([1, nx]) if nx > 1 => Some(x),
        // Frames of a scan follow each other along its rows. Of a single frame, or where the shape is not known, whatever counts time.
        Some([ny, nx]) if ny > 1 && nx > 1 => Some(x),
        _ => [x, y].into_iter().find(|a| counts(a)),
    };
    axis.filter(|a| counts(a)).cloned().unwrap_or_default()
}

/// The step of frames of a movie; empty where the file does not tell a time.
pub(super) fn frame_axis(info: &ScanInfo) -> Axis {
    let [y, x] = &info.nav_axes;
    time_axis(Some(info.nav), [y, x])
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
        // A movie, perhaps, or a result of something else.
        const GIVE: &str = "give the result file or folder of `emstream defects detect` or `classify` (a movie goes to `detect`)";
        match io::has_stored(&path, "detections/frame") {
            Ok(true) => {}
            Ok(false) => return wrong("detections/frame", format!("is missing: {GIVE}")),
            Err(Error::Format { place, what, .. }) => return wrong(&place, format!("{what}: {GIVE}")),
            Err(e) => return Err(e),
        }
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
        let (mut scan_y, mut scan_x) = (Axis::default(), Axis::default());
        for (name, axis) in io::stored_calibration(path)? {
            match name.as_str() {
                "x" => self.pixel = axis,
                "y" => self.pixel_y = axis,
                "scan_y" => scan_y = axis,
                "scan_x" => scan_x = axis,
                _ => {}
            }
        }
        let mut nav = None;
        if io::has_stored(path, "movie/nav")? {
            let stored: Array1<i64> = io::read_stored(path, "movie/nav", most)?;
            nav = match stored.as_slice() {
                Some(&[y, x]) if y > 0 && x > 0 => Some([y as usize, x as usize]),
                _ => return wrong("movie/nav", format!("{stored} is no number of rows and columns")),
            };
        }
        self.time = time_axis(nav, [&scan_y, &scan_x]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_by_its_unit_and_goes_along_the_longer_axis() {
        for unit in ["s", "ms", "µs", "μs", "us", "ns", "min", "h", "sec", "Seconds", "hrs", " s "] {
            assert!(is_time(unit), "{unit}");
        }
        for unit in ["", "nm", "m", "px", "S", "mS", "1/nm", "frame", "Å", "eV"] {
            assert!(!is_time(unit), "{unit}");
        }
        let axis = |scale, unit: &str| Axis {
            scale: Some(scale),
            unit: unit.into(),
        };
        let (time, other, space) = (axis(2.25, "s"), axis(7.0, "s"), axis(0.5, "nm"));
        let nothing = Axis::default();
        let case = |nav, y: &Axis, x: &Axis, want: &Axis| assert_eq!(&time_axis(nav, [y, x]), want, "{nav:?}");
        case(Some([1, 20]), &other, &time, &time);
        case(Some([20, 1]), &time, &other, &time);
        case(Some([20, 1]), &time, &nothing, &time);
        case(Some([20, 1]), &nothing, &other, &nothing);
        case(Some([4, 5]), &other, &time, &time);
        case(Some([4, 5]), &space, &space, &nothing);
        case(Some([1, 1]), &time, &nothing, &time);
        case(None, &time, &nothing, &time);
        case(None, &nothing, &time, &time);
        case(Some([1, 20]), &nothing, &space, &nothing);
        case(Some([1, 20]), &nothing, &axis(-1.0, "s"), &nothing);
        case(Some([1, 20]), &nothing, &axis(f64::NAN, "s"), &nothing);
    }
}
