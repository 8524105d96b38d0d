//! A template cut from a frame that shows the probe itself, such as a vacuum frame.

use crate::cubic;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2};

/// What lies below this share of the probe's maximum does not count for its centre.
const CLOSED: f64 = 0.1;
/// A window whose mean is nearer to its maximum than this share of it is filled by the probe.
const LEAST_CONTRAST: f64 = 0.05;
/// The centre moves less than this when it is found, in pixels.
const SETTLED: f64 = 1e-6;
const STEPS: usize = 50;

/// What `probe:FILE@Y,X,N` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec<'a> {
    /// The file, with `/dataset` where it needs one.
    pub file: &'a str,
    /// About where the probe is, (y, x) in pixels.
    pub at: [f64; 2],
    /// Rows and columns of the template.
    pub size: usize,
}

impl<'a> Spec<'a> {
    /// Reads what follows the colon.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no `@`, or not three numbers after it, or the size is not an odd number above 1.
    pub fn parse(text: &'a str) -> Result<Self> {
        let bad = |what: &str| Error::parameter("template", format!("`probe:{text}`: {what} (want probe:FILE@Y,X,N)"));
        let (file, numbers) = text.rsplit_once('@').ok_or_else(|| bad("no place in the frame"))?;
        let numbers: Vec<f64> = numbers.split(',').filter_map(|t| t.trim().parse().ok()).collect();
        let &[y, x, n] = numbers.as_slice() else {
            return Err(bad("not three numbers after the @"));
        };
        if file.is_empty() {
            return Err(bad("no file"));
        }
        if !(n >= 3.0 && n % 2.0 == 1.0 && n <= 4095.0) {
            return Err(bad("the size must be odd, 3 to 4095"));
        }
        Ok(Spec {
            file,
            at: [y, x],
            size: n as usize,
        })
    }
}

/// The template of `size` × `size` pixels around the probe near `at` in `frame`.
///
/// The level of the window's outermost pixels (their median) is taken off. The centre is the centre of mass of what lies at least
/// a tenth of the maximum above it, found again in a window around itself until it stays; the image is moved there by cubic
/// convolution. Its mean over the circle of radius size/2 is taken off, so that the sum is zero and closed parts are negative; the
/// maximum is 1, and beyond the circle the template is zero.
///
/// # Errors
/// [`Error::Parameter`] if the window leaves the frame, holds numbers that are not finite, no probe, or one that fills it.
pub fn cut(frame: ArrayView2<f64>, at: [f64; 2], size: usize) -> Result<Array2<f64>> {
    let bad = |what: String| Error::parameter("template", format!("no probe of {size}×{size} pixels: {what}"));
    let half = (size / 2) as f64;
    let (h, w) = frame.dim();
    let mut centre = at;
    for step in 0.. {
        let corner = centre.map(|c| c.round() - half);
        let inside = |c: f64, n: usize| c >= 0.0 && c + size as f64 <= n as f64;
        if !(inside(corner[0], h) && inside(corner[1], w)) {
            return Err(bad(format!(
                "the window around ({:.1}, {:.1}) leaves the {h}×{w} frame",
                centre[0], centre[1]
            )));
        }
        let [y0, x0] = corner.map(|c| c as usize);
        let window = frame.slice(ndarray::s![y0..y0 + size, x0..x0 + size]);
        if window.iter().any(|v| !v.is_finite()) {
            return Err(bad("a pixel is not a number".into()));
        }
        let level = border_level(window);
        let top = window.iter().fold(f64::MIN, |m, &v| m.max(v)) - level;
        if top <= 0.0 {
            return Err(bad("nothing is brighter than the border".into()));
        }
        let (mut mass, mut sums) = (0.0, [0.0; 2]);
        for ((y, x), v) in window.indexed_iter() {
            let v = v - level - CLOSED * top;
            if v > 0.0 {
                mass += v;
                sums = [sums[0] + v * y as f64, sums[1] + v * x as f64];
            }
        }
        let found = [corner[0] + sums[0] / mass, corner[1] + sums[1] / mass];
        let moved = (found[0] - centre[0]).abs().max((found[1] - centre[1]).abs());
        centre = found;
        // A centre between two pixels may go back and forth between two windows for ever.
        if moved < SETTLED || step == STEPS {
            return balanced(moved_to(frame, centre, size, level), half)
                .ok_or_else(|| bad("the probe fills it; use a larger size".into()));
        }
    }
    unreachable!("the loop returns")
}

/// The median of the outermost pixels.
fn border_level(window: ArrayView2<f64>) -> f64 {
    let (h, w) = window.dim();
    let edge = |(y, x): (usize, usize)| y == 0 || x == 0 || y + 1 == h || x + 1 == w;
    let mut values: Vec<f64> = window.indexed_iter().filter(|(at, _)| edge(*at)).map(|(_, &v)| v).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `size` × `size` pixels around `centre` with `level` taken off; the level beyond the frame.
fn moved_to(frame: ArrayView2<f64>, centre: [f64; 2], size: usize, level: f64) -> Array2<f64> {
    let corner = centre.map(|c| c - (size / 2) as f64);
    let [wy, wx] = corner.map(|c| cubic::weights(c - c.floor()));
    let first = corner.map(|c| c.floor() as i64 - 1);
    let at = |y: i64, x: i64| {
        let place = usize::try_from(y).ok().zip(usize::try_from(x).ok());
        place.and_then(|p| frame.get(p)).map_or(0.0, |v| v - level)
    };
    Array2::from_shape_fn((size, size), |(y, x)| {
        let (y, x) = (first[0] + y as i64, first[1] + x as i64);
        let row = |j: i64| (0..4).map(|i| wx[i as usize] * at(y + j, x + i)).sum::<f64>();
        (0..4).map(|j| wy[j as usize] * row(j)).sum()
    })
}

/// The same without its mean in the circle, divided by its maximum; zero beyond. `None` if it is flat.
fn balanced(mut image: Array2<f64>, half: f64) -> Option<Array2<f64>> {
    let within = |(y, x): (usize, usize)| (y as f64 - half).hypot(x as f64 - half) <= half;
    let inside = || image.indexed_iter().filter(|(at, _)| within(*at)).map(|(_, v)| *v);
    let mean = inside().sum::<f64>() / inside().count() as f64;
    let top = inside().fold(f64::MIN, f64::max);
    if top - mean < LEAST_CONTRAST * top {
        return None;
    }
    for (at, v) in image.indexed_iter_mut() {
        *v = if within(at) { (*v - mean) / (top - mean) } else { 0.0 };
    }
    Some(image)
}
