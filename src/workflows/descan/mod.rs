//! Descan: where the direct beam is in every frame, and how far each frame's pattern is displaced.

mod left;
mod lines;
mod parts;

pub(in crate::workflows) use parts::Parts;

use super::Timings;
use crate::analysis::descan::Surface;
use crate::analysis::template::Template;
use crate::control::Control;
use crate::engine::{Backend, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::{Meta, ResultFile};
use crate::kernels::correlate::{self, Method};
use crate::ops::Correlate;
use crate::pixel::FrameShape;
use crate::report::{ColourMap, Figure, Limits, Panel, Tile};
use crate::workflows::{read_frame, scatter_rows};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far the direct beam may be from where it is looked for, beyond the template itself, in pixels.
const REACH: usize = 6;
/// Positions are found on a grid this many times finer than the pixels: centres of mass are drawn towards whole pixels.
const UPSAMPLE: u32 = 20;
/// Measured positions farther than this many standard deviations from the fit, also with what the beam does in the whole row and column, are
/// not believed.
const OUTLIER: f64 = 5.0;

/// What is taken out of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Descan {
    /// Nothing.
    #[default]
    None,
    /// A smooth surface through the positions of the direct beam.
    Fit,
    /// The positions themselves; the surface where they are outliers.
    Measured,
}

/// The direct beam, frame by frame in the order of the selection; (y, x) in detector pixels.
#[derive(Debug, Clone)]
pub struct Track {
    /// As found by correlation with the template.
    pub measured: Vec<[f64; 2]>,
    /// On the surface.
    pub fitted: Vec<[f64; 2]>,
    /// How far each frame's pattern is displaced from its mean place.
    pub shifts: Arc<[[f64; 2]]>,
    /// The mean place.
    pub mean: [f64; 2],
    /// Standard deviation of measured around fitted positions along one axis.
    pub spread: f64,
    /// Frames whose measured position is too far from the fit.
    pub outliers: usize,
    /// Frames as far from it that do what their whole row or column does; `Measured` believes them where the beam has left the fit.
    pub in_lines: usize,
}

impl Track {
    /// The largest shift along each axis, rounded up.
    pub fn margin(&self) -> [usize; 2] {
        [0, 1].map(|k| self.shifts.iter().fold(0.0f64, |m, s| m.max(s[k].abs())).ceil() as usize)
    }

    /// What a user of the surface should know.
    pub(in crate::workflows) fn warning(&self, how: Descan) -> Option<String> {
        (how == Descan::Fit && self.in_lines > 0).then(|| {
            format!(
                "in {} frames the direct beam is far from the surface as in their whole row or column of the scan: --descan measured follows it where it flies back or jumps",
                self.in_lines
            )
        })
    }

    /// The shifts in whole pixels, which leave values and their noise as they are.
    pub fn whole(&self) -> Arc<[[f64; 2]]> {
        self.shifts.iter().map(|s| s.map(f64::round)).collect()
    }

    /// A map of moved frames (h, w) in which pixels that not all of these cover have the mean of the outermost pixels that they do
    /// cover: the edges of moved frames look like changes of the pattern.
    pub(in crate::workflows) fn covered(&self, mut map: Array2<f64>) -> Array2<f64> {
        let (h, w) = map.dim();
        // Interpolation reaches two pixels farther than the shift.
        let [my, mx] = self.margin().map(|m| m + 2);
        if 2 * my >= h || 2 * mx >= w {
            return map;
        }
        let inside = |y: usize, x: usize| (my..h - my).contains(&y) && (mx..w - mx).contains(&x);
        let edge = |y: usize, x: usize| inside(y, x) && (y == my || x == mx || y + 1 == h - my || x + 1 == w - mx);
        let ring: Vec<f64> = map
            .indexed_iter()
            .filter(|((y, x), _)| edge(*y, *x))
            .map(|(_, v)| *v)
            .collect();
        let mean = ring.iter().sum::<f64>() / ring.len() as f64;
        for ((y, x), v) in map.indexed_iter_mut() {
            if !inside(y, x) {
                *v = mean;
            }
        }
        map
    }
}

/// Scan position (y, x) of each selected frame.
fn scan_positions(selection: &Selection) -> Vec<[f64; 2]> {
    selection.places().map(|place| place.map(|v| v as f64)).collect()
}

/// The correlation that follows the direct beam, checked before any pass; one place for each frame, about where the beam is.
fn correlation(template: &Template, frame: FrameShape, places: impl IntoIterator<Item = [f64; 2]>) -> Result<Correlate> {
    let half = template.extent().into_iter().max().unwrap_or(1) / 2;
    let crop = template.crop().max(half + REACH);
    let offset = template.offset();
    let inside = |k: usize, n: usize, place: f64| (place - offset[k]).clamp(0.0, n as f64 - 1.0);
    let (mut labels, mut positions) = (Vec::new(), Vec::new());
    let mut known: BTreeMap<[u64; 2], i32> = BTreeMap::new();
    for [y, x] in places {
        let at = [inside(0, frame.height, y), inside(1, frame.width, x)];
        let label = known.entry(at.map(f64::to_bits)).or_insert_with(|| {
            positions.push(vec![at]);
            positions.len() as i32 - 1
        });
        labels.push(*label);
    }
    Correlate::new(
        frame,
        correlate::Params {
            method: Method::Fast,
            recipe: correlate::Recipe::Default,
            template: template.window(2 * crop, 2 * crop),
            crop,
            labels: labels.into(),
            positions: positions.into(),
            upsample: Some(UPSAMPLE),
        },
    )
}

/// Follows the direct beam through the selected frames: about at `zero`, or in each frame about at its entry of `windows`, to the whole pixel.
///
/// # Errors
/// Whatever the pass reports; [`Error::Parameter`] for a template that is too large.
#[allow(clippy::too_many_arguments)]
pub fn track(
    scan: &dyn Scan,
    selection: &Selection,
    template: &Template,
    zero: [f64; 2],
    windows: Option<&[[f64; 2]]>,
    how: Descan,
    backend: &Backend,
    resident: &Resident,
    control: &Control,
    timings: &mut Timings,
) -> Result<Track> {
    let frame = scan.info().frame;
    let correlation = match windows {
        Some(windows) => correlation(template, frame, windows.iter().map(|w| w.map(f64::round)))?,
        None => correlation(template, frame, std::iter::repeat_n(zero, selection.len() as usize))?,
    };
    let mut pass = Pass::new("descan", scan, selection);
    let found = pass.add(correlation);
    let mut done = timings.pass("descan", scan, selection, || pass.run(backend, resident, control))?;
    let found = done.take(found)?;
    let offset = template.offset();
    let measured: Vec<[f64; 2]> = found
        .peaks()
        .iter()
        .map(|p| [0, 1].map(|k| f64::from(p.refined[k]) + offset[k]))
        .collect();
    if measured.len() as u64 != selection.len() {
        return Err(Error::Internal("a frame without a direct beam".into()));
    }
    let at = scan_positions(selection);
    let surface = Surface::fit(&at, &measured)?;
    let fitted: Vec<[f64; 2]> = at.iter().map(|a| surface.position(*a)).collect();
    let residuals: Vec<[f64; 2]> = measured
        .iter()
        .zip(&fitted)
        .map(|(m, f)| [m[0] - f[0], m[1] - f[1]])
        .collect();
    let far = |[y, x]: [f64; 2]| y.hypot(x) > OUTLIER * surface.spread.max(1e-6);
    let of_lines = |lines: &[lines::Line]| -> Vec<bool> {
        let parts = residuals.iter().zip(lines::of_frames(lines, residuals.len()));
        parts.map(|(r, l)| far(*r) && !far([r[0] - l[0], r[1] - l[1]])).collect()
    };
    let lines = lines::shared(&at, &residuals);
    let all = of_lines(&lines);
    let in_lines = match how {
        // Who takes the surface takes it everywhere; it should be known where that is wrong.
        Descan::Fit | Descan::None => all,
        Descan::Measured if !all.contains(&true) => all,
        Descan::Measured => {
            let numbers: Vec<u64> = selection.iter().collect();
            let read = |i: usize| read_frame(scan, numbers[i], control);
            let moved = || left::moved(lines, far, template, &measured, &fitted, read);
            of_lines(&timings.time("descan of lines", moved)?)
        }
    };
    let believed: Vec<bool> = residuals.iter().zip(&in_lines).map(|(r, l)| !far(*r) || *l).collect();
    let used: Vec<[f64; 2]> = measured
        .iter()
        .zip(&fitted)
        .zip(&believed)
        .map(|((m, f), &b)| if how == Descan::Measured && b { *m } else { *f })
        .collect();
    let mean = [0, 1].map(|k| used.iter().map(|p| p[k]).sum::<f64>() / used.len() as f64);
    Ok(Track {
        shifts: used.iter().map(|p| [p[0] - mean[0], p[1] - mean[1]]).collect(),
        outliers: believed.iter().filter(|b| !**b).count(),
        in_lines: in_lines.iter().filter(|b| **b).count(),
        measured,
        fitted,
        mean,
        spread: surface.spread,
    })
}

/// Writes `/descan`.
pub(in crate::workflows) fn write(file: &ResultFile, track: &Track, selection: &Selection) -> Result<()> {
    let axes = ["scan_y", "scan_x", "yx"];
    for (name, values, meaning) in [
        (
            "measured",
            &track.measured[..],
            "direct beam (y, x) by correlation with the template",
        ),
        (
            "fitted",
            &track.fitted[..],
            "smooth surface through the measured positions, outliers weighed down",
        ),
        ("shift", &track.shifts[..], "displacement of the pattern that was taken out"),
    ] {
        let rows = values.iter().flatten().map(|v| *v as f32).collect();
        let map = scatter_rows(selection, 2, rows, f32::NAN)?;
        file.put(&format!("descan/{name}"), map.view(), Meta::new("pixels", &axes, meaning))?;
    }
    Ok(())
}

/// Measured positions, the surface, and what is left between them, for both axes.
pub(in crate::workflows) fn figure(track: &Track, selection: &Selection) -> Figure {
    let map = |k: usize, value: &dyn Fn(usize) -> [f64; 2]| -> Array2<f64> {
        let values: Vec<f64> = (0..track.measured.len()).map(|i| value(i)[k]).collect();
        selection.scatter(&values, f64::NAN)
    };
    let residual = |i: usize| [0, 1].map(|k| track.measured[i][k] - track.fitted[i][k]);
    // Outliers would hide the rest.
    let reach = 4.0 * track.spread.max(1e-3);
    let mut maps = Vec::new();
    for (k, axis) in ["y", "x"].into_iter().enumerate() {
        let range = track
            .fitted
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p[k]), h.max(p[k])));
        let limits = Limits::Fixed(range.0 - reach, range.1 + reach);
        maps.push((format!("{axis} measured (px)"), map(k, &|i| track.measured[i]), limits));
        maps.push((format!("{axis} fitted (px)"), map(k, &|i| track.fitted[i]), limits));
        let limits = Limits::Fixed(-reach, reach);
        maps.push((format!("{axis} measured − fitted (px)"), map(k, &residual), limits));
    }
    let tiles = maps.iter().enumerate().map(|(i, (caption, map, limits))| {
        let mut tile = Tile::new(map.view(), caption.clone());
        tile.limits = *limits;
        if i % 3 == 2 {
            tile.colours = ColourMap::Diverging;
        }
        tile
    });
    let mut panel = Panel::new("Descan: the direct beam in every frame", tiles.collect());
    panel.columns = 3;
    panel.draw()
}
