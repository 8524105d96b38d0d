//! Slow, obvious float64 versions of the correlations, and a way to run the fast ones on frames in memory.
#![allow(dead_code)]

use emstream::control::Control;
use emstream::engine::{Backend, Pass, Resident, Selection};
use emstream::io::Scan;
use emstream::io::memory::MemoryScan;
use emstream::kernels::correlate::{Method, Params, Recipe};
use emstream::ops::{Correlate, Correlations};
use emstream::pixel::Sample;
use ndarray::Array2;
use std::f64::consts::TAU;

/// What the oracle finds in one window.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub center: [i64; 2],
    pub refined: [f64; 2],
    pub height: f64,
    pub elevation: f64,
    /// The window and the position of its first value.
    pub window: Array2<f64>,
    pub origin: [i64; 2],
    /// Largest value of the interpolated grid, and a way to evaluate it anywhere (upsampling).
    pub finest: f64,
    pub period: Option<(Array2<f64>, [i64; 2])>,
}

/// ln(f − min + 1) of a window from `origin` on. Outside the frame: pixels of 0 that count, or nothing.
fn logs(frame: &Array2<f64>, origin: [i64; 2], n: usize, zero_outside: bool, min: Option<f64>) -> Array2<f64> {
    let at = |y: usize, x: usize| {
        let (y, x) = (origin[0] + y as i64, origin[1] + x as i64);
        let inside = y >= 0 && x >= 0 && y < frame.nrows() as i64 && x < frame.ncols() as i64;
        if inside {
            Some(frame[(y as usize, x as usize)])
        } else if zero_outside {
            Some(0.0)
        } else {
            None
        }
    };
    let pixels = Array2::from_shape_fn((n, n), |(y, x)| at(y, x));
    let min = min.unwrap_or_else(|| pixels.iter().flatten().fold(f64::INFINITY, |m, &v| m.min(v)));
    pixels.mapv(|p| p.map_or(0.0, |v| (v - min + 1.0).ln()))
}

/// Circular correlation (or convolution) of `image` with `template`, whose centre is at (h/2, w/2), by the definition.
fn circular(image: &Array2<f64>, template: &Array2<f64>, convolve: bool) -> Array2<f64> {
    let (h, w) = image.dim();
    let taps: Vec<_> = template.indexed_iter().filter(|(_, v)| **v != 0.0).collect();
    let sign = if convolve { -1 } else { 1 };
    Array2::from_shape_fn((h, w), |(y, x)| {
        taps.iter()
            .map(|((ty, tx), v)| {
                let dy = sign * (*ty as i64 - (h / 2) as i64);
                let dx = sign * (*tx as i64 - (w / 2) as i64);
                let at = (
                    (y as i64 + dy).rem_euclid(h as i64) as usize,
                    (x as i64 + dx).rem_euclid(w as i64) as usize,
                );
                *v * image[at]
            })
            .sum()
    })
}

fn evaluate(window: Array2<f64>, origin: [i64; 2]) -> Wanted {
    let n = window.nrows();
    let (mut at, mut height) = ((0, 0), f64::NEG_INFINITY);
    for (i, &v) in window.indexed_iter() {
        if v > height {
            (at, height) = (i, v);
        }
    }
    let r = 2.min(at.0).min(at.1).min(n - 1 - at.0).min(n - 1 - at.1);
    let mut refined = [at.0 as f64, at.1 as f64];
    if r > 0 {
        let near = window.slice(ndarray::s![at.0 - r..=at.0 + r, at.1 - r..=at.1 + r]);
        let min = near.iter().fold(f64::INFINITY, |m, &v| m.min(v));
        let mass: f64 = near.iter().map(|v| v - min).sum();
        let moment = |f: fn((usize, usize)) -> usize| near.indexed_iter().map(|(i, v)| (v - min) * f(i) as f64).sum::<f64>();
        if mass > 0.0 {
            refined = [
                (at.0 - r) as f64 + moment(|i| i.0) / mass,
                (at.1 - r) as f64 + moment(|i| i.1) / mass,
            ];
        }
    }
    let elevation = window
        .indexed_iter()
        .map(|((y, x), v)| (((y as f64 - refined[0]).powi(2) + (x as f64 - refined[1]).powi(2)).sqrt(), v))
        .filter(|(d, _)| *d >= 1.5)
        .map(|(d, v)| (height - v) / d)
        .fold(f64::INFINITY, f64::min);
    Wanted {
        center: [origin[0] + at.0 as i64, origin[1] + at.1 as i64],
        refined: [origin[0] as f64 + refined[0], origin[1] as f64 + refined[1]],
        height,
        elevation,
        window,
        origin,
        finest: 0.0,
        period: None,
    }
}

/// Value of the interpolation of a periodic map at (y, x): the real trigonometric polynomial, or (published) the squared
/// modulus of the half spectrum. Computed from the spectrum, term by term.
pub fn interpolated(spectrum: &[(f64, f64, f64, f64, f64)], y: f64, x: f64, published: bool) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for &(ky, kx, a, b, weight) in spectrum {
        if published && kx < 0.0 {
            continue;
        }
        let (s, c) = (TAU * (ky * y + kx * x)).sin_cos();
        let weight = if published { 1.0 } else { weight };
        re += weight * (a * c - b * s);
        im += weight * (a * s + b * c);
    }
    if published { re * re + im * im } else { re }
}

/// Spectrum of a map as (ky/h, kx/w, re, im, weight); the published one has −h/2 once and +w/2 once, the other both with weight ½.
pub fn spectrum(map: &Array2<f64>, published: bool) -> Vec<(f64, f64, f64, f64, f64)> {
    let (h, w) = map.dim();
    let signed = |n: usize| -> Vec<(i64, f64)> {
        let half = (n / 2) as i64;
        (-half..=half)
            .map(|k| (k, if n % 2 == 0 && k.abs() == half { 0.5 } else { 1.0 }))
            .collect()
    };
    let mut out = Vec::new();
    for &(ky, wy) in &signed(h) {
        if published && h % 2 == 0 && ky == (h / 2) as i64 {
            continue;
        }
        for &(kx, wx) in &signed(w) {
            let (mut re, mut im) = (0.0, 0.0);
            for ((y, x), v) in map.indexed_iter() {
                let (s, c) = (-TAU * ((ky * y as i64) as f64 / h as f64 + (kx * x as i64) as f64 / w as f64)).sin_cos();
                re += v * c;
                im += v * s;
            }
            let scale = (h * w) as f64;
            out.push((ky as f64 / h as f64, kx as f64 / w as f64, re / scale, im / scale, wy * wx));
        }
    }
    out
}

/// Everything that the kernel should find in one frame.
pub fn oracle<T: Sample>(frame: &[T], width: usize, positions: &[[f64; 2]], params: &Params) -> Vec<Wanted> {
    let frame = Array2::from_shape_vec((frame.len() / width, width), frame.iter().map(|v| v.to_f64()).collect()).unwrap();
    let published = params.recipe == Recipe::Published;
    let c = params.crop;
    let min = frame.iter().fold(f64::INFINITY, |m, &v| m.min(v));
    let full =
        (params.method == Method::Full).then(|| circular(&frame.mapv(|v| (v - min + 1.0).ln()), &params.template, published));
    positions
        .iter()
        .map(|p| {
            let p = p.map(|v| if published { v.trunc() } else { (v + 0.5).floor() } as i64);
            let origin = p.map(|v| v - c as i64);
            let (mut wanted, map, map_origin) = match params.method {
                Method::Fast => {
                    let window = circular(&logs(&frame, origin, 2 * c, published, None), &params.template, published);
                    (evaluate(window.clone(), origin), window, origin)
                }
                Method::Full => {
                    let map = full.as_ref().unwrap();
                    let window = Array2::from_shape_fn((2 * c, 2 * c), |(y, x)| {
                        let at = (origin[0] + y as i64, origin[1] + x as i64);
                        let inside = at.0 >= 0 && at.1 >= 0;
                        if inside {
                            map.get((at.0 as usize, at.1 as usize)).copied().unwrap_or(0.0)
                        } else {
                            0.0
                        }
                    });
                    (evaluate(window, origin), map.clone(), [0, 0])
                }
                Method::Sparse { steps } => {
                    let reach = (c + steps) as i64;
                    let region = logs(&frame, p.map(|v| v - reach), 2 * (c + steps) + 1, false, Some(min));
                    let n = 2 * steps + 1;
                    let window = Array2::from_shape_fn((n, n), |(y, x)| {
                        params
                            .template
                            .indexed_iter()
                            .map(|((ty, tx), v)| v * region[(y + ty, x + tx)])
                            .sum()
                    });
                    let origin = p.map(|v| v - steps as i64);
                    (evaluate(window.clone(), origin), window, origin)
                }
            };
            if let Some(u) = params.upsample {
                let s = spectrum(&map, published);
                let points = (1.5 * f64::from(u)).ceil() as i64;
                let mut best = f64::NEG_INFINITY;
                for j in 0..points {
                    for i in 0..points {
                        let at = |c: i64, k: i64| c as f64 + (k - points / 2) as f64 / f64::from(u);
                        let (y, x) = (at(wanted.center[0], j), at(wanted.center[1], i));
                        let v = interpolated(&s, y - map_origin[0] as f64, x - map_origin[1] as f64, published);
                        if v > best {
                            best = v;
                            wanted.refined = [y, x];
                        }
                    }
                }
                wanted.finest = best;
                wanted.period = Some((map, map_origin));
            }
            wanted
        })
        .collect()
}

/// Runs the operator over frames in memory.
pub fn run<T: Sample>(
    frames: &[T],
    sig: [usize; 2],
    params: &Params,
    threads: usize,
    block: Option<u64>,
) -> emstream::Result<Correlations> {
    let nav = [1, frames.len() / (sig[0] * sig[1])];
    let scan = MemoryScan::new(nav, sig, frames.to_vec())?;
    let selection = Selection::all(nav);
    let mut control = Control::new();
    control.threads = threads;
    control.memory = 1 << 30;
    control.block = block;
    let mut pass = Pass::new("test", &scan, &selection);
    let handle = pass.add(Correlate::new(scan.info().frame, params.clone())?);
    pass.run(&Backend::Cpu, &Resident::none(), &control)?.take(handle)
}
