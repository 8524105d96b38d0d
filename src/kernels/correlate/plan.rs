//! Parameters checked and turned into what both backends work with.

use super::{Method, Params, Recipe};
use crate::backend::cpu::fft::{Fft, is_smooth, smooth_from};
use crate::backend::cpu::ln;
use crate::backend::stage::Work;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;
use ndarray::Array2;
use rustfft::num_complex::Complex64;

/// Template values below this share of the largest are zero: what a float32 sum over the window cannot see.
const NOTHING: f64 = 1e-12;

/// Cost of one output of a direct sum per template value, and of an operation of an FFT, on vector units.
const DIRECT_COST: f64 = 2.0;
const FFT_COST: f64 = 1.6;

/// One axis of a circular correlation.
#[derive(Debug)]
pub struct Axis {
    /// Period of the sum.
    pub n: usize,
    /// Length of the transform, n or more.
    pub m: usize,
    pub fft: Fft,
    /// Which of the n values stands at each place of the transform's input, [`NONE`] for zero: the period, continued at both
    /// ends (its start wraps to the end of the input) by as much as the template reaches.
    pub source: Vec<u32>,
}

/// No value.
pub const NONE: u32 = u32::MAX;

impl Axis {
    fn new(n: usize, low: isize, high: isize) -> Result<Self> {
        let m = if is_smooth(n) {
            n
        } else {
            smooth_from(n + (high - low) as usize)
        };
        let place = |i: isize| {
            if i < n as isize + if m > n { high } else { 0 } {
                i.rem_euclid(n as isize) as u32
            } else if i >= m as isize + low {
                (i - m as isize).rem_euclid(n as isize) as u32
            } else {
                NONE
            }
        };
        Ok(Axis {
            n,
            m,
            fft: Fft::new(m)?,
            source: (0..m as isize).map(place).collect(),
        })
    }
}

/// How C is computed from L.
#[derive(Debug)]
pub enum Sums {
    /// Direct sums over an extended region.
    Direct(Direct),
    /// Products of transforms.
    Spectral(Spectral),
}

/// Direct sums: out(y, x) = Σ taps value · region(y, x + offset), rows of the region being `width` apart.
#[derive(Debug)]
pub struct Direct {
    /// Edge of the (square) output.
    pub out: usize,
    /// Columns and rows of the region.
    pub width: usize,
    pub height: usize,
    /// Pixel of the window (C order) that each place of the region shows.
    pub source: Vec<u32>,
    /// Offset in the region and value, ascending.
    pub taps: Vec<(u32, f32)>,
}

/// Transforms of both axes and the template's spectrum.
#[derive(Debug)]
pub struct Spectral {
    pub y: Axis,
    pub x: Axis,
    /// Conjugate spectrum of S over my·mx, `spectrum[kx * my + ky]` as [re, im].
    pub spectrum: Vec<[f32; 2]>,
}

/// Checked parameters for frames of one shape; made once, read by all workers.
#[derive(Debug)]
pub struct Plan {
    pub(crate) shape: FrameShape,
    pub(crate) params: Params,
    /// Expected positions as integers, by label.
    pub(crate) expected: Vec<Vec<[i32; 2]>>,
    pub(crate) sums: Sums,
}

impl Plan {
    /// Checks `params` against frames of `shape` and prepares the template.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a template of the wrong size, not finite or zero, a crop below 2, no steps or fewer than 2, labels without
    /// positions, positions outside the frame or not finite, upsampling below 2 or with the sparse form, frames above 32767 pixels.
    pub fn new(shape: FrameShape, params: Params) -> Result<Self> {
        let (h, w) = (shape.height, shape.width);
        if h.max(w) > i16::MAX as usize / 2 {
            return Err(Error::parameter(
                "correlation",
                format!("frames of {h}×{w} pixels (at most 16383 in a row)"),
            ));
        }
        let c = params.crop;
        if !(2..=2048).contains(&c) {
            return Err(Error::parameter(
                "search range",
                format!("{c} px after rounding up (want 2 to 2048)"),
            ));
        }
        let wanted = match params.method {
            Method::Fast => (2 * c, 2 * c),
            Method::Full => (h, w),
            Method::Sparse { .. } => (2 * c + 1, 2 * c + 1),
        };
        if params.template.dim() != wanted {
            return Err(Error::parameter(
                "template",
                format!("window of {:?} pixels, want {wanted:?}", params.template.dim()),
            ));
        }
        if params.template.iter().any(|v| !v.is_finite()) || params.template.iter().all(|&v| v == 0.0) {
            return Err(Error::parameter("template", "zero everywhere, or not finite"));
        }
        match (params.method, params.upsample) {
            (Method::Sparse { steps }, _) if !(2..=64).contains(&steps) => {
                return Err(Error::parameter("steps", format!("{steps} (want 2 to 64)")));
            }
            (Method::Sparse { .. }, Some(_)) => {
                return Err(Error::parameter(
                    "--upsample",
                    "not with the sparse form, which has no spectrum",
                ));
            }
            (_, Some(u)) if !(2..=1000).contains(&u) => {
                return Err(Error::parameter("--upsample", format!("{u} (want 2 to 1000)")));
            }
            _ => {}
        }
        if let Some(l) = params.labels.iter().find(|&&l| l >= params.positions.len() as i32) {
            return Err(Error::parameter(
                "labels",
                format!("label {l}, but positions for {} labels", params.positions.len()),
            ));
        }
        let expected = params
            .positions
            .iter()
            .map(|p| integers(p, params.recipe, h, w))
            .collect::<Result<_>>()?;
        let displaced = displacements(&params);
        let sums = match params.method {
            Method::Fast => fast(2 * c, &displaced)?,
            Method::Full => Sums::Spectral(Spectral::new(h, w, &displaced)?),
            Method::Sparse { steps } => Sums::Direct(stamp(c, steps, &displaced)),
        };
        Ok(Plan {
            shape,
            params,
            expected,
            sums,
        })
    }

    /// Checked parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
    /// Frames it was made for.
    pub fn shape(&self) -> FrameShape {
        self.shape
    }
    /// Integer positions (y, x) expected in selected frame `n`; none if its label is negative or missing.
    pub fn expected(&self, n: u64) -> &[[i32; 2]] {
        let label = usize::try_from(n)
            .ok()
            .and_then(|n| self.params.labels.get(n))
            .copied()
            .unwrap_or(-1);
        usize::try_from(label)
            .ok()
            .and_then(|l| self.expected.get(l))
            .map_or(&[], Vec::as_slice)
    }
    /// Most positions of any label.
    pub fn most(&self) -> usize {
        self.expected.iter().map(Vec::len).max().unwrap_or(0)
    }
    /// Work on a frame with `peaks` expected positions, as counted in the description of [this module](super).
    pub fn work(&self, peaks: usize) -> Work {
        let area = |edge: usize| (edge * edge) as u64;
        let (crop, window, peaks) = (area(self.reach().0), area(self.window()), peaks as u64);
        let image = match self.params.method {
            Method::Full => self.shape.pixels() as u64,
            _ => crop,
        };
        let sums = match &self.sums {
            Sums::Direct(d) => 2 * (d.taps.len() * d.out * d.out) as u64,
            // Transforms of rows and columns, forwards and back, and the product of spectra; two images share them.
            Sums::Spectral(s) => {
                let (my, mx) = (s.y.m, s.x.m);
                (my * s.x.fft.operations() + mx * s.y.fft.operations() + 3 * my * mx) as u64
            }
        };
        let images = match self.params.method {
            Method::Full => 1,
            _ => peaks,
        };
        // The trigonometric interpolation: one axis after the other.
        let finer = self.params.upsample.map_or(0, |u| {
            let points = (1.5 * f64::from(u)).ceil() as usize;
            let (h, w) = self.period();
            2 * (points * h * w + points * points * w) as u64
        });
        Work {
            read: images * image * self.shape.pixel.bytes() as u64,
            written: peaks * size_of::<super::Peak>() as u64,
            operations: images * (image * (ln::OPERATIONS + 3) + sums) + peaks * (8 * window + finer),
        }
    }
    /// Edge of the window that is evaluated.
    pub(crate) fn window(&self) -> usize {
        match self.params.method {
            Method::Fast | Method::Full => 2 * self.params.crop,
            Method::Sparse { steps } => 2 * steps + 1,
        }
    }
    /// Periods (y, x) of the circular sum.
    pub(crate) fn period(&self) -> (usize, usize) {
        match self.params.method {
            Method::Full => (self.shape.height, self.shape.width),
            _ => (self.window(), self.window()),
        }
    }
    /// Edge of the square of pixels that a crop reads (fast, sparse), and how far before the position it starts.
    pub(crate) fn reach(&self) -> (usize, usize) {
        match self.params.method {
            Method::Fast | Method::Full => (2 * self.params.crop, self.params.crop),
            Method::Sparse { steps } => (2 * (self.params.crop + steps) + 1, self.params.crop + steps),
        }
    }
}

/// Positions as integers: rounded, or truncated as published.
fn integers(positions: &[[f64; 2]], recipe: Recipe, h: usize, w: usize) -> Result<Vec<[i32; 2]>> {
    let whole = |v: f64| match recipe {
        Recipe::Default => (v + 0.5).floor(),
        Recipe::Published => v.trunc(),
    };
    let inside = |p: &[f64; 2]| (0.0..h as f64).contains(&p[0]) && (0.0..w as f64).contains(&p[1]);
    positions
        .iter()
        .map(|p| {
            let at = p.map(whole);
            if inside(&at) {
                Ok(at.map(|v| v as i32))
            } else {
                Err(Error::parameter(
                    "positions",
                    format!("({}, {}) lies outside the {h}×{w} frame", p[0], p[1]),
                ))
            }
        })
        .collect()
}

/// Template values that are not zero, as (dy, dx, value) of C(k) = Σ value · L(k + d), ascending. A convolution is the correlation
/// with the template mirrored about its centre.
fn displacements(params: &Params) -> Vec<(isize, isize, f64)> {
    let (h, w) = params.template.dim();
    let (cy, cx) = ((h / 2) as isize, (w / 2) as isize);
    let mirrored = params.recipe == Recipe::Published && !matches!(params.method, Method::Sparse { .. });
    let least = NOTHING * params.template.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let mut all: Vec<_> = params
        .template
        .indexed_iter()
        .filter(|(_, v)| v.abs() > least)
        .map(|((y, x), &v)| {
            let (dy, dx) = (y as isize - cy, x as isize - cx);
            if mirrored { (-dy, -dx, v) } else { (dy, dx, v) }
        })
        .collect();
    all.sort_by_key(|d| (d.0, d.1));
    all
}

fn bounds(displaced: &[(isize, isize, f64)]) -> [(isize, isize); 2] {
    let range = |f: fn(&(isize, isize, f64)) -> isize| {
        let v = || displaced.iter().map(f);
        (v().min().unwrap_or(0), v().max().unwrap_or(0))
    };
    [range(|d| d.0), range(|d| d.1)]
}

/// Circular sums in a window of n × n: directly or by transforms, whichever takes fewer operations.
fn fast(n: usize, displaced: &[(isize, isize, f64)]) -> Result<Sums> {
    let spectral = Spectral::new(n, n, displaced)?;
    let m = spectral.y.m as f64;
    // Two transforms of rows and two of columns; a pair of windows shares them.
    let by_fft = FFT_COST * (4.0 * m * spectral.y.fft.operations() as f64 + 6.0 * m * m) / 2.0;
    let by_sums = DIRECT_COST * (n * n * displaced.len()) as f64;
    if by_fft < by_sums {
        return Ok(Sums::Spectral(spectral));
    }
    let [(y0, y1), (x0, x1)] = bounds(displaced);
    let (height, width) = (n + (y1 - y0) as usize, n + (x1 - x0) as usize);
    let wrap = |i: usize, low: isize| (i as isize + low).rem_euclid(n as isize) as usize;
    let source = (0..height * width)
        .map(|i| (wrap(i / width, y0) * n + wrap(i % width, x0)) as u32)
        .collect();
    let taps = displaced
        .iter()
        .map(|&(y, x, v)| ((y - y0) as usize * width + (x - x0) as usize, v));
    Ok(Sums::Direct(Direct {
        out: n,
        width,
        height,
        source,
        taps: taps.map(|(o, v)| (o as u32, v as f32)).collect(),
    }))
}

/// Sums over a stamp at displacements −s … s: the region is the crop itself.
fn stamp(c: usize, steps: usize, displaced: &[(isize, isize, f64)]) -> Direct {
    let width = 2 * (c + steps) + 1;
    let taps = displaced
        .iter()
        .map(|&(y, x, v)| ((y + c as isize) as usize * width + (x + c as isize) as usize, v));
    Direct {
        out: 2 * steps + 1,
        width,
        height: width,
        source: (0..(width * width) as u32).collect(),
        taps: taps.map(|(o, v)| (o as u32, v as f32)).collect(),
    }
}

impl Spectral {
    fn new(h: usize, w: usize, displaced: &[(isize, isize, f64)]) -> Result<Self> {
        let [(y0, y1), (x0, x1)] = bounds(displaced);
        let (y, x) = (Axis::new(h, y0, y1)?, Axis::new(w, x0, x1)?);
        let mut image = Array2::<Complex64>::zeros((x.m, y.m));
        for &(dy, dx, v) in displaced {
            let at = (dx.rem_euclid(x.m as isize) as usize, dy.rem_euclid(y.m as isize) as usize);
            image[at] += v;
        }
        // The scalar planner gives the same bits on every CPU.
        let mut planner = rustfft::FftPlannerScalar::new();
        let along_y = planner.plan_fft_forward(y.m);
        for mut row in image.rows_mut() {
            if let Some(row) = row.as_slice_mut() {
                along_y.process(row);
            }
        }
        let along_x = planner.plan_fft_forward(x.m);
        let mut column = vec![Complex64::default(); x.m];
        for mut c in image.columns_mut() {
            column.iter_mut().zip(&c).for_each(|(a, b)| *a = *b);
            along_x.process(&mut column);
            c.iter_mut().zip(&column).for_each(|(a, b)| *a = *b);
        }
        let scale = 1.0 / (y.m * x.m) as f64;
        let spectrum = image
            .iter()
            .map(|z| [(z.re * scale) as f32, (-z.im * scale) as f32])
            .collect();
        Ok(Spectral { y, x, spectrum })
    }
}
