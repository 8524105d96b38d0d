//! Frames of the movie with what was found in class colours.

use super::super::animation::Animation;
use super::super::detected::Detected;
use super::super::movie::Movie;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::OutputDir;
use crate::report::colour::label_colour;
use crate::report::{self, Marker};
use ndarray::Array2;
use rayon::prelude::*;

/// Frames shown unless others are asked for.
const SHOWN: usize = 4;
/// Frames shown at most.
const MOST_SHOWN: usize = 64;

/// A frame for figures.
pub struct Picture {
    pub frame: u32,
    pub image: Array2<f64>,
    pub markers: Vec<Marker>,
    /// Detections in the frame.
    pub found: usize,
}

/// Frames of the movie with marks.
#[derive(Default)]
pub struct Pictures(pub Vec<Picture>);

/// Circles in class colours; grey without a class.
fn markers(found: &Detected, class: &[i32], members: std::ops::Range<usize>) -> Vec<Marker> {
    members
        .map(|i| {
            let radius = (f64::from(found.area[i].max(0)) / std::f64::consts::PI).sqrt() + 3.0;
            Marker::circle(found.y[i], found.x[i], radius).coloured(label_colour(class[i]))
        })
        .collect()
}

/// Chosen frames of a `scan` with all detections, in the colours of `class` (one number for each detection), and the movie `figures/NAME` in `dir`. Two frames a thread are in memory beside those
/// chosen.
///
/// # Errors
/// [`Error::Parameter`] for frames that were not looked at, and a scan of other frames than those the detections come from; what reading and the disk report.
pub fn pictures(
    scan: &dyn Scan,
    found: &Detected,
    class: &[i32],
    show: &[u64],
    (dir, name): (&OutputDir, &str),
    control: &Control,
) -> Result<Pictures> {
    let shape = scan.info().frame;
    let path = &scan.info().path;
    let last = u64::from(found.first) + found.frames as u64;
    if [shape.height, shape.width] != found.size || scan.info().frames() < last {
        let what = format!(
            "{} has {} frames of {} × {} pixels; the detections come from {last} of {} × {}",
            path.display(),
            scan.info().frames(),
            shape.height,
            shape.width,
            found.size[0],
            found.size[1]
        );
        return Err(Error::parameter("--movie", what));
    }
    if show.len() > MOST_SHOWN {
        return Err(Error::parameter(
            "--show-frames",
            format!("{} frames; at most {MOST_SHOWN} fit", show.len()),
        ));
    }
    let show: Vec<u32> = match show.is_empty() {
        true => (0..SHOWN.min(found.frames))
            .map(|i| found.first + (i * (found.frames - 1) / (SHOWN.min(found.frames) - 1).max(1)) as u32)
            .collect(),
        false => show.iter().map(|&f| u32::try_from(f).unwrap_or(u32::MAX)).collect(),
    };
    let range = found.first..found.first + found.frames as u32;
    if let Some(f) = show.iter().find(|f| !range.contains(f)) {
        let what = format!("{f} is not among frames {} to {}", range.start, range.end - 1);
        return Err(Error::parameter("--show-frames", what));
    }
    let movie = Movie {
        scan,
        scale: found.scale[0],
        low: found.scale[1],
        high: found.scale[2],
        warnings: Vec::new(),
    };
    let first = movie.frame_f64(u64::from(found.first), control)?;
    let time = found.time.scale.map(|s| (s, found.time.unit.clone()));
    let animation = Animation::new(u64::from(range.start)..u64::from(range.end), first.view(), time);
    let mut animated = animation.create(&dir.path().join(format!("figures/{name}")))?;
    let frames = u64::from(range.start)..u64::from(range.end);
    let wanted: Vec<u64> = frames
        .filter(|f| animation.shows(*f) || show.iter().any(|s| u64::from(*s) == *f))
        .collect();
    let draw = |&number: &u64| -> Result<Drawn> {
        control.check()?;
        let frame = number as u32;
        let members = found.frame.partition_point(|f| *f < frame)..found.frame.partition_point(|f| *f <= frame);
        let image = movie.frame_f64(number, control)?;
        let markers = markers(found, class, members.clone());
        let animated = match animation.shows(number) {
            true => Some(animation.draw(number, image.view(), &markers, members.len())?),
            false => None,
        };
        let shown = show.contains(&frame).then_some(Picture {
            frame,
            image,
            markers,
            found: members.len(),
        });
        control.progress.advance(1);
        Ok(Drawn { animated, shown })
    };
    let mut out = Vec::new();
    control.progress.begin("pictures", wanted.len() as u64, 0);
    let mut work = || -> Result<()> {
        for some in wanted.chunks(2 * rayon::current_num_threads()) {
            let drawn: Vec<Drawn> = some.par_iter().map(draw).collect::<Result<_>>()?;
            for one in drawn {
                if let Some(picture) = &one.animated {
                    animated.add(picture)?;
                }
                out.extend(one.shown);
            }
        }
        Ok(())
    };
    let done = work();
    control.progress.end();
    done?;
    animated.finish()?;
    out.sort_by_key(|p| show.iter().position(|&f| f == p.frame));
    Ok(Pictures(out))
}

/// What one frame becomes.
struct Drawn {
    animated: Option<report::Picture>,
    shown: Option<Picture>,
}
