//! `defects track`: defects followed from frame to frame, and how fast they wander.

mod common;
mod figures;
mod params;
mod write;

pub use figures::figures;
pub use params::{Params, Square};
pub use write::{put, write};

use self::common::{COMMON, common};
use super::detected::Detected;
use super::output::named;
use crate::analysis::Recipe;
use crate::analysis::diffusion::{self, Diffusion, Ellipse};
use crate::analysis::tracks::{Gate, Linked, Point, link};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::workflows::Timings;
use ndarray::Array2;
use std::collections::BTreeMap;

/// Longest step where neither the user nor a lattice says one, in pixels, and in units of a lattice's spacing.
const GATE: f64 = 14.0;
const STEPS: f64 = 4.0 / 3.0;
/// Pixels are square if their sides differ by less than this share.
const SQUARE: f64 = 1e-3;
/// Lags of the mean square displacement.
pub const LAGS: usize = 10;

/// What positions and times are measured in.
#[derive(Debug, Clone, PartialEq)]
pub struct Units {
    /// Size of a pixel and its unit; 1 and `px` without calibration.
    pub pixel: f64,
    pub length: String,
    /// Time between frames and its unit; 1 and `frame`.
    pub frame: f64,
    pub time: String,
}

impl Units {
    /// Unit of a diffusion coefficient.
    pub fn diffusion(&self) -> String {
        format!("{}^2/{}", self.length, self.time)
    }
}

/// How fast tracks of one kind wander.
#[derive(Debug, Clone)]
pub struct Group {
    /// `all`, or the class.
    pub name: String,
    pub class: Option<i32>,
    pub tracks: usize,
    /// In units of length² a time.
    pub diffusion: Diffusion,
    /// Mean square displacement at lags of 1, 2 … frames in units of length², and the number of displacements.
    pub msd: Vec<(f64, usize)>,
}

/// The points of one class within a square, as the published notebook looks at them.
#[derive(Debug, Clone)]
pub struct Region {
    pub square: Square,
    pub class: Option<i32>,
    /// Detections in order of their frames.
    pub points: Vec<usize>,
    /// In units of length²; NaN with fewer than two points.
    pub covariance: [[f64; 2]; 2],
    pub ellipse: Ellipse,
    /// The notebook's coefficient: 6 to 11 times too small.
    pub published: f64,
    /// From the first point of each frame.
    pub estimate: Diffusion,
}

/// Defects followed. `n` detections.
pub struct Tracked {
    pub params: Params,
    pub gate: f64,
    pub units: Units,
    /// Position (y, x) of each detection in pixels, drift taken out.
    pub at: Vec<[f64; 2]>,
    /// What was still common to all links after that, summed over frames, in pixels.
    pub residual: Vec<[f64; 2]>,
    pub linked: Linked,
    /// Class that most detections of a track have, −1 without one.
    pub class: Vec<i32>,
    pub classes: usize,
    pub groups: Vec<Group>,
    /// Links from class (row) to class (column).
    pub switching: Array2<i64>,
    pub regions: Vec<Region>,
    pub warnings: Vec<String>,
    pub timings: Timings,
}

/// Follows the defects of `found`.
///
/// # Errors
/// [`Error::Parameter`] for parameters that make no sense; [`Error::Cancelled`].
pub fn run(found: &Detected, params: &Params, control: &Control) -> Result<Tracked> {
    params.check()?;
    let (mut warnings, mut timings) = (Vec::new(), Timings::default());
    let units = units(found, params);
    let gate = params.gate.unwrap_or_else(|| found.spacing.map_or(GATE, |s| STEPS * s));
    let classes = found.class.iter().map(|c| c + 1).max().unwrap_or(0).max(0) as usize;
    if let Some(c) = params.class.filter(|c| *c < 0 || *c as usize >= classes) {
        let what = match classes {
            0 => format!("{c}, but the detections have no classes: run `emstream defects classify` first"),
            _ => format!("{c} of {classes} classes, counted from 0"),
        };
        return Err(Error::parameter("--class", what));
    }
    let n = found.frame.len();
    if n == 0 {
        warnings.push("there are no detections to follow".into());
    }
    if found.frames == 1 {
        warnings.push("a movie of one frame: nothing can be followed, every detection is a track of its own".into());
    }
    let published = params.recipe == Recipe::Published;
    let mut at: Vec<[f64; 2]> = match published {
        true => (0..n).map(|i| [found.y[i], found.x[i]]).collect(),
        false => (0..n).map(|i| found.still(i)).collect(),
    };
    let gate_of = Gate {
        distance: gate,
        gap: params.gap,
        class_change: params.class_change,
    };
    let classes_of: &[i32] = if params.class_change > 0.0 { &found.class } else { &[] };
    let mut residual = vec![[0.0; 2]; found.frames];
    let linked = timings.time("link", || {
        let first = connect(found, &at, classes_of, gate_of)?;
        control.check()?;
        if published {
            return Ok(first);
        }
        let unlinked;
        (residual, unlinked) = common(found, &at, &first, params.gap, control)?;
        if !unlinked.is_empty() {
            warnings.push(format!(
                "fewer than {COMMON} links lead to {}: what moves all defects alike is not known there beyond the measured drift (--gap, --gate)",
                named(&unlinked)
            ));
        }
        for i in 0..n {
            let moved = residual[found.index(i)];
            at[i] = [at[i][0] - moved[0], at[i][1] - moved[1]];
        }
        connect(found, &at, classes_of, gate_of)
    })?;
    let class: Vec<i32> = linked.members.iter().map(|m| majority(m, &found.class)).collect();
    let mut switching = Array2::zeros((classes, classes));
    for pair in linked.members.iter().flat_map(|m| m.windows(2)) {
        if let (Some(&a), Some(&b)) = (found.class.get(pair[0]), found.class.get(pair[1]))
            && a.min(b) >= 0
        {
            switching[[a as usize, b as usize]] += 1;
        }
    }
    let tracks: Vec<Vec<(u32, [f64; 2])>> = linked
        .members
        .iter()
        .map(|m| m.iter().map(|&i| (found.frame[i], at[i].map(|v| v * units.pixel))).collect())
        .collect();
    let groups = timings.time("diffusion", || {
        let kinds = std::iter::once(None).chain((0..classes as i32).map(Some));
        kinds
            .map(|kind| group(kind, &tracks, &class, &units, (params.seed, control)))
            .collect::<Result<_>>()
    })?;
    let regions = params
        .region
        .iter()
        .map(|&s| region(found, s, params, &units, control))
        .collect::<Result<Vec<_>>>()?;
    for r in regions.iter().filter(|r| r.points.len() < 3) {
        let [y, x, half] = r.square.0;
        warnings.push(format!(
            "{} points in region {y},{x},{half}: no ellipse or diffusion can be told",
            r.points.len()
        ));
    }
    if units.length == "px" {
        warnings.push("pixels have no known size: lengths are in pixels (--pixel-size)".into());
    }
    if let (Some(x), Some(y)) = (found.pixel.scale, found.pixel_y.scale)
        && params.pixel_size.is_none()
        && (found.pixel.unit != found.pixel_y.unit || (x - y).abs() > SQUARE * x.abs())
    {
        warnings.push(format!(
            "pixels are {x} {} wide and {y} {} high: the width is taken for both (--pixel-size)",
            found.pixel.unit, found.pixel_y.unit
        ));
    }
    if units.time == "frame" {
        warnings.push("the time between frames is not known: times are in frames (--frame-time)".into());
    }
    Ok(Tracked {
        params: params.clone(),
        gate,
        units,
        at,
        residual,
        linked,
        class,
        classes,
        groups,
        switching,
        regions,
        warnings,
        timings,
    })
}

fn units(found: &Detected, params: &Params) -> Units {
    let pick = |given: Option<f64>, axis: &crate::io::Axis, given_unit: &str, none: &str| match (given, axis.scale) {
        (Some(v), _) if axis.unit.is_empty() || axis.scale.is_none() => (v, given_unit.to_owned()),
        (Some(v), _) => (v, axis.unit.clone()),
        (None, Some(v)) if v > 0.0 && v.is_finite() && !axis.unit.is_empty() => (v, axis.unit.clone()),
        _ => (1.0, none.to_owned()),
    };
    let (pixel, length) = pick(params.pixel_size, &found.pixel, "nm", "px");
    let (frame, time) = pick(params.frame_time, &found.time, "s", "frame");
    Units {
        pixel,
        length,
        frame,
        time,
    }
}

fn connect(found: &Detected, at: &[[f64; 2]], class: &[i32], gate: Gate) -> Result<Linked> {
    let points: Vec<Point> = at.iter().zip(&found.frame).map(|(&at, &frame)| Point { frame, at }).collect();
    link(&points, class, gate)
}

/// The most frequent class of a track, the smallest of equals; −1 without classes.
fn majority(members: &[usize], class: &[i32]) -> i32 {
    let mut seen = BTreeMap::<i32, usize>::new();
    for c in members.iter().filter_map(|&i| class.get(i)).filter(|c| **c >= 0) {
        *seen.entry(*c).or_default() += 1;
    }
    let most = seen.values().copied().max().unwrap_or(0);
    seen.into_iter().find(|(_, n)| *n == most).map_or(-1, |(c, _)| c)
}

fn group(
    kind: Option<i32>,
    tracks: &[Vec<(u32, [f64; 2])>],
    class: &[i32],
    units: &Units,
    (seed, control): (u64, &Control),
) -> Result<Group> {
    let of: Vec<&[(u32, [f64; 2])]> = tracks
        .iter()
        .zip(class)
        .filter(|(_, c)| kind.is_none_or(|k| k == **c))
        .map(|(t, _)| t.as_slice())
        .collect();
    Ok(Group {
        name: kind.map_or("all".into(), |k| format!("class {k}")),
        class: kind,
        tracks: of.len(),
        diffusion: diffusion::diffusion(&of, units.frame, seed, control)?,
        msd: diffusion::mean_square_displacement(&of, LAGS),
    })
}

/// Points of a class in a square: positions as they were seen, the drift left in.
fn region(found: &Detected, square: Square, params: &Params, units: &Units, control: &Control) -> Result<Region> {
    let [y, x, half] = square.0;
    let points: Vec<usize> = (0..found.frame.len())
        .filter(|&i| (found.y[i] - y).abs() <= half && (found.x[i] - x).abs() <= half)
        // The notebook knows detections with a window only.
        .filter(|&i| params.class.is_none_or(|c| found.class.get(i) == Some(&c)) && found.kept[i])
        .collect();
    let at: Vec<[f64; 2]> = points
        .iter()
        .map(|&i| [found.y[i] * units.pixel, found.x[i] * units.pixel])
        .collect();
    let covariance = match at.len() {
        0 | 1 => [[f64::NAN; 2]; 2],
        _ => diffusion::covariance(&at),
    };
    let mut first: Vec<(u32, [f64; 2])> = Vec::new();
    for (&i, &at) in points.iter().zip(&at) {
        if first.last().is_none_or(|f| f.0 != found.frame[i]) {
            first.push((found.frame[i], at));
        }
    }
    Ok(Region {
        square,
        class: params.class,
        published: if at.len() > 1 {
            diffusion::published(&at, units.frame)
        } else {
            f64::NAN
        },
        estimate: diffusion::diffusion(&[&first], units.frame, params.seed, control)?,
        ellipse: diffusion::ellipse(covariance, params.deviations),
        covariance,
        points,
    })
}
