//! Whether the beam has left the place that the surface gives it.
//!
//! A layer along a line of the scan may show a disk that is brighter than the direct beam: all positions of the line move, and the beam does not.
//! Then a disk is still where the surface has it; where the beam itself moved, with all of the pattern, there is what is usual so far from the beam.

use super::lines::Line;
use crate::analysis::template::Template;
use crate::error::Result;
use ndarray::Array2;
use rayon::prelude::*;

/// Frames of a line that are looked at.
const LOOKED_AT: usize = 16;
/// There is a disk that does not belong to a moved pattern if it differs from that by this share of the brightness of the beam.
const STILL: f64 = 0.1;

/// Correlates frames with a template at single places.
struct Probe {
    /// The template about its centre pixel; its sum is zero, so that an even background does not count.
    window: Array2<f64>,
    offset: [f64; 2],
}

impl Probe {
    fn new(template: &Template) -> Self {
        let half = template.extent().into_iter().max().unwrap_or(1) / 2 + 1;
        let mut window = template.window(2 * half + 1, 2 * half + 1);
        let mean = window.sum() / window.len() as f64;
        window -= mean;
        Probe {
            window,
            offset: template.offset(),
        }
    }

    /// The correlation of a frame, whose pixels are interpolated, at a place.
    fn at(&self, frame: &Array2<f64>, place: [f64; 2]) -> f64 {
        let half = (self.window.nrows() / 2) as f64;
        let pixel = |y: f64, x: f64| {
            let inside = y >= 0.0 && x >= 0.0;
            let value = inside.then(|| frame.get([y as usize, x as usize])).flatten().copied();
            value.filter(|v| v.is_finite()).unwrap_or_default()
        };
        let [y, x] = [0, 1].map(|k| place[k] - self.offset[k] - half);
        let (v, u) = (y.floor(), x.floor());
        let (below, right) = (y - v, x - u);
        let at = |((i, j), w): ((usize, usize), &f64)| {
            let (v, u) = (v + i as f64, u + j as f64);
            let row = |v: f64| (1.0 - right) * pixel(v, u) + right * pixel(v, u + 1.0);
            w * ((1.0 - below) * row(v) + below * row(v + 1.0))
        };
        self.window.indexed_iter().map(at).sum()
    }

    /// Brightness at the distances `back` before the `places` of frames' beams as shares of that of the beams, some of the `frames` together.
    ///
    /// # Errors
    /// Those of `read`.
    fn shares(
        &self,
        frames: &[usize],
        places: &[[f64; 2]],
        back: &[[f64; 2]],
        read: impl Fn(usize) -> Result<Array2<f64>> + Sync,
    ) -> Result<Vec<f64>> {
        let step = frames.len().div_ceil(LOOKED_AT).max(1);
        let some: Vec<usize> = frames.iter().copied().step_by(step).collect();
        let look = |&i: &usize| {
            let (frame, [y, x]) = (read(i)?, places[i]);
            let before = back.iter().map(|[dy, dx]| self.at(&frame, [y - dy, x - dx]));
            Ok((self.at(&frame, [y, x]), before.collect()))
        };
        let seen: Vec<(f64, Vec<f64>)> = some.par_iter().map(look).collect::<Result<_>>()?;
        let beams = seen.iter().map(|s| s.0).sum::<f64>().max(f64::MIN_POSITIVE);
        Ok((0..back.len())
            .map(|k| seen.iter().map(|s| s.1[k]).sum::<f64>() / beams)
            .collect())
    }
}

/// Those of `lines` along which the beam itself moved: where it should be without, there is no more than at the same distance from the beam in frames
/// that are not `far` from the surface.
///
/// # Errors
/// Those of `read`.
pub(super) fn moved(
    lines: Vec<Line>,
    far: impl Fn([f64; 2]) -> bool,
    template: &Template,
    measured: &[[f64; 2]],
    fitted: &[[f64; 2]],
    read: impl Fn(usize) -> Result<Array2<f64>> + Sync,
) -> Result<Vec<Line>> {
    let probe = Probe::new(template);
    let residual = |i: usize| [0, 1].map(|k| measured[i][k] - fitted[i][k]);
    let usual: Vec<usize> = (0..measured.len()).filter(|&i| !far(residual(i))).collect();
    let doubtful = lines.iter().filter(|line| far(line.shift));
    let shifts: Vec<[f64; 2]> = doubtful.map(|line| line.shift).collect();
    // One reading tells of all lines what is usual.
    let mut elsewhere = probe.shares(&usual, measured, &shifts, &read)?.into_iter();
    let mut kept = Vec::with_capacity(lines.len());
    for line in lines {
        if !far(line.shift) {
            kept.push(line);
            continue;
        }
        let usual = elsewhere.next().unwrap_or_default();
        let [dy, dx] = line.shift;
        let follows = |&i: &usize| {
            let [y, x] = residual(i);
            far([y, x]) && !far([y - dy, x - dx])
        };
        let frames: Vec<usize> = line.frames.iter().copied().filter(follows).collect();
        if frames.is_empty() {
            // It decides about none by itself, perhaps with a line that crosses it.
            kept.push(line);
            continue;
        }
        let here = probe.shares(&frames, measured, &[line.shift], &read)?;
        log::debug!(
            "{} frames moved by {:?}: {here:?}, elsewhere {usual:.2}",
            frames.len(),
            line.shift
        );
        if here.iter().all(|h| (h - usual).abs() <= STILL) {
            kept.push(line);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::template::Pattern;

    /// Disks of radius 3 at places (y, x) of some height, over an even background.
    fn frame(disks: &[([f64; 2], f64)]) -> Array2<f64> {
        Array2::from_shape_fn((48, 52), |(y, x)| {
            let disk = |&([v, u], height): &([f64; 2], f64)| height * (3.5 - (y as f64 - v).hypot(x as f64 - u)).clamp(0.0, 1.0);
            2.0 + disks.iter().map(disk).sum::<f64>()
        })
    }

    #[test]
    fn a_disk_that_is_still_there_is_told_from_one_that_left() {
        let beam = [20.2, 24.7];
        let share = |shift: [f64; 2], disks: &[([f64; 2], f64)]| {
            let found = [beam[0] + shift[0], beam[1] + shift[1]];
            let seen = |t: Template| Probe::new(&t).shares(&[0], &[found], &[shift], |_| Ok(frame(disks)));
            let background = Template::named("background", 3.4, Some(5.0)).unwrap();
            [background, Template::new(Pattern::Disk { radius: 3.0 }).unwrap()].map(|t| seen(t).unwrap()[0])
        };
        for shift in [[7.5, 0.0], [-5.0, 6.0], [0.0, 15.0]] {
            let other = [beam[0] + shift[0], beam[1] + shift[1]];
            // A quarter as bright as the disk that was taken for it.
            let [still, left] = [20.0, 0.0].map(|h| share(shift, &[(other, 80.0), (beam, h)]));
            for (still, left) in still.into_iter().zip(left) {
                assert!((still - left - 0.25).abs() < 0.03 && left < 0.05, "{shift:?}: {still} {left}");
            }
        }
        // It moved by less than its radius, or to the edge of the frame; where the found disk is in the way is the same elsewhere.
        for shift in [[2.0, 1.0], [0.0, 4.2], [26.4, 3.0]] {
            let at = [beam[0] + shift[0], beam[1] + shift[1]];
            let elsewhere = [beam[0] - 6.7, beam[1] + 2.8];
            let probe = Probe::new(&Template::named("background", 3.0, Some(4.5)).unwrap());
            let share = |at| {
                let shares = probe.shares(&[0], &[at], &[[shift[0].min(9.0), shift[1]]], |_| Ok(frame(&[(at, 80.0)])));
                shares.unwrap()[0]
            };
            assert!(
                (share(at) - share(elsewhere)).abs() < STILL,
                "{shift:?}: {} {}",
                share(at),
                share(elsewhere)
            );
        }
    }
}
