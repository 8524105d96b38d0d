//! Frames of the movie with what was found in class colours.

use super::super::detected::Detected;
use super::super::movie::Movie;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::OutputDir;
use crate::report::colour::label_colour;
use crate::report::{self, Limits, Marker, MovieFrame};
use ndarray::Array2;
use std::path::Path;

/// Frames of the movie of results, and frames shown unless others are asked for.
const MOVIE: usize = 120;
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

/// Chosen frames of a `scan` with all detections, in the colours of `class` (one number for each detection), and the movie `figures/NAME` in `dir`. One frame at a time is in memory beside those
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
    let step = found.frames.div_ceil(MOVIE);
    let of_movie = found.frames.div_ceil(step);
    let path = dir.path().join(format!("figures/{name}"));
    let mut animated: Option<report::Movie<_>> = None;
    let mut limits = None;
    let mut out = Vec::new();
    control.progress.begin("pictures", found.frames as u64, 0);
    let mut at = 0;
    let mut work = || -> Result<()> {
        for frame in range.clone() {
            control.check()?;
            let members = at..at + found.frame[at..].iter().take_while(|f| **f == frame).count();
            at = members.end;
            let in_movie = (frame - found.first).is_multiple_of(step as u32);
            let shown = show.contains(&frame);
            if in_movie || shown {
                let image = movie.frame_f64(u64::from(frame), control)?;
                let marks = markers(found, class, members.clone());
                if in_movie {
                    let limits = *limits.get_or_insert_with(|| {
                        let (low, high) = Limits::Auto.resolve(image.view(), false);
                        Limits::Fixed(low, high)
                    });
                    let time = found.time.scale.map_or(String::new(), |s| {
                        format!(", {:.1} {}", f64::from(frame) * s, found.time.unit)
                    });
                    let picture = MovieFrame {
                        data: image.view(),
                        limits,
                        markers: &marks,
                        caption: format!("frame {frame}{time}: {} defects", members.len()),
                    };
                    let picture = picture.draw();
                    if animated.is_none() {
                        let seconds = if of_movie > 40 { 0.1 } else { 0.25 };
                        animated = Some(report::Movie::begin(
                            create(&path)?,
                            &path,
                            &picture,
                            of_movie as u32,
                            seconds,
                        )?);
                    }
                    if let Some(movie) = &mut animated {
                        movie.add(&picture)?;
                    }
                }
                if shown {
                    out.push(Picture {
                        frame,
                        image,
                        markers: marks,
                        found: members.len(),
                    });
                }
            }
            control.progress.advance(1);
        }
        Ok(())
    };
    let done = work();
    control.progress.end();
    done?;
    if let Some(movie) = animated {
        movie.finish()?;
    }
    out.sort_by_key(|p| show.iter().position(|&f| f == p.frame));
    Ok(Pictures(out))
}

fn create(path: &Path) -> Result<std::io::BufWriter<std::fs::File>> {
    let failed = |e| Error::io(path, "cannot write", e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    Ok(std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?))
}
