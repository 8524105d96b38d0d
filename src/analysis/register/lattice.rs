//! The lattice that many small windows share.

use super::super::fft2;
use ndarray::{Array2, ArrayView2, ArrayView3, Axis, s};
use rayon::prelude::*;
use rustfft::num_complex::Complex;
use std::f64::consts::{PI, TAU};

/// Windows that the mean spectrum is taken of, at most, evenly chosen.
const SPECTRA: usize = 400;
/// Windows that the vectors are refined with, at most.
const REFINED: usize = 3000;
/// A peak of the mean spectrum must exceed the median by this factor, and the second one this share of the first.
const PEAK: f64 = 6.0;
const SECOND: f64 = 0.1;
/// Length of the mean of unit phasors that windows of one frame must reach to count as one lattice.
const COHERENT: f64 = 0.5;
/// A window's own phase that is farther (in cycles) from that of its frame is that of a defect or a hole.
const ASTRAY: f64 = 0.15;
/// Radius around a defect that does not tell where the lattice lies, in units of its spacing.
const DEFECT: f64 = 0.4;

/// A lattice by two reciprocal vectors in cycles a pixel, each (y, x).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    pub reciprocal: [[f64; 2]; 2],
}

impl Lattice {
    /// The vectors (y, x) of the lattice in pixels: the first is perpendicular to the second reciprocal vector, and the reverse.
    pub fn vectors(&self) -> [[f64; 2]; 2] {
        let [[a, b], [c, d]] = self.reciprocal;
        let det = a * d - b * c;
        [[d / det, -c / det], [-b / det, a / det]]
    }

    /// The shortest vectors that span the same lattice (Gauss's reduction), the shorter first.
    pub fn reduced(&self) -> [[f64; 2]; 2] {
        let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
        let [mut a, mut b] = self.vectors();
        for _ in 0..64 {
            if dot(a, a) > dot(b, b) {
                (a, b) = (b, a);
            }
            let times = (dot(a, b) / dot(a, a)).round();
            if times == 0.0 || !times.is_finite() {
                break;
            }
            b = [b[0] - times * a[0], b[1] - times * a[1]];
        }
        [a, b]
    }

    /// Length of the shortest vector in pixels.
    pub fn spacing(&self) -> f64 {
        let [a, _] = self.reduced();
        a[0].hypot(a[1])
    }

    /// Position in units of the lattice vectors, of a place (y, x) in pixels.
    pub fn fraction(&self, at: [f64; 2]) -> [f64; 2] {
        self.reciprocal.map(|g| g[0] * at[0] + g[1] * at[1])
    }

    /// The shortest displacement (y, x) in pixels between two positions within the cell that differ by `difference` in units of the vectors.
    pub fn shortest(&self, difference: [f64; 2]) -> [f64; 2] {
        let [a, b] = self.vectors();
        let [u, v] = difference.map(|d| d - d.round());
        let mut best = [f64::INFINITY; 2];
        for (i, j) in (-1..=1).flat_map(|i| (-1..=1).map(move |j| (f64::from(i), f64::from(j)))) {
            let at = [0, 1].map(|k| (u + i) * a[k] + (v + j) * b[k]);
            if at[0].hypot(at[1]) < best[0].hypot(best[1]) - 1e-9 || best[0].is_infinite() {
                best = at;
            }
        }
        best
    }

    /// Order of the rotations that leave the lattice as it is: 6, 4 or 2.
    pub fn fold(&self) -> usize {
        let [a, b] = self.reduced();
        let (la, lb) = (a[0].hypot(a[1]), b[0].hypot(b[1]));
        let angle = ((a[0] * b[0] + a[1] * b[1]) / (la * lb)).clamp(-1.0, 1.0).acos().to_degrees();
        let near = |to: f64| (angle - to).abs() < 4.0;
        match (lb / la - 1.0).abs() < 0.06 {
            true if near(60.0) || near(120.0) => 6,
            true if near(90.0) => 4,
            _ => 2,
        }
    }
}

/// The lattice of `windows` (n, s, s), of which window i begins at row and column `corner[i]` of frame `frame[i]`; the windows of a frame come one after the
/// other. `None` where they share none, or where fewer than 2.5 of its periods fit a window.
///
/// The two strongest peaks, not in line, of the mean power spectrum (Hann window) are refined so that the windows of each frame add up in phase.
pub fn find(windows: ArrayView3<'_, f32>, frame: &[u32], corner: &[[usize; 2]]) -> Option<Lattice> {
    let (n, side, _) = windows.dim();
    if n == 0 || side < 8 || frame.len() != n || corner.len() != n {
        return None;
    }
    let coarse = peaks(mean_power(windows).view(), side)?;
    let chosen: Vec<usize> = some_frames(frame, REFINED);
    let lattice = Lattice {
        reciprocal: coarse.map(|g| refine(g, windows, frame, corner, &chosen)),
    };
    let coherent = lattice
        .reciprocal
        .iter()
        .all(|&g| coherence(&waves(windows, corner, None, g), frame) > COHERENT);
    let spacing = lattice.spacing();
    (coherent && spacing.is_finite() && spacing > 2.0).then_some(lattice)
}

/// The lattice's position in each window: (u, v) such that a place r of the frame lies at [`Lattice::fraction`]`(r)` + (u, v) in units of the vectors from
/// a maximum of both waves. From each window itself without what lies within 0.4 spacings of `centre[i]`, the place (y, x) in the frame of its defect; where it disagrees with the
/// other windows of its frame, from those. Of several atoms in a cell the missing one has a phase of its own, and it lies where a window counts most.
pub fn phases(
    windows: ArrayView3<'_, f32>,
    frame: &[u32],
    (corner, centre): (&[[usize; 2]], &[[f64; 2]]),
    lattice: &Lattice,
) -> Vec<[f64; 2]> {
    let left_out = Some((centre, DEFECT * lattice.spacing()));
    let [first, second] = lattice.reciprocal.map(|g| {
        let waves = waves(windows, corner, left_out, g);
        let mut own: Vec<f64> = waves.iter().map(|c| c.arg() / TAU).collect();
        for run in runs(frame) {
            let sum: Complex<f64> = waves[run.clone()].iter().map(unit).sum();
            let common = sum.arg() / TAU;
            for own in &mut own[run] {
                let away = *own - common;
                if (away - away.round()).abs() > ASTRAY {
                    *own = common;
                }
            }
        }
        own
    });
    first.into_iter().zip(second).map(|(u, v)| [u, v]).collect()
}

fn unit(c: &Complex<f64>) -> Complex<f64> {
    let size = c.norm();
    if size > 0.0 { c / size } else { Complex::default() }
}

/// Ranges of equal neighbours.
fn runs(frame: &[u32]) -> Vec<std::ops::Range<usize>> {
    let mut out: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, f) in frame.iter().enumerate() {
        match out.last_mut() {
            Some(run) if frame[run.start] == *f => run.end = i + 1,
            _ => out.push(i..i + 1),
        }
    }
    out
}

/// Windows of whole frames, every so many frames, about `most` in all.
fn some_frames(frame: &[u32], most: usize) -> Vec<usize> {
    let step = frame.len().div_ceil(most).max(1);
    runs(frame).into_iter().step_by(step).flatten().collect()
}

fn hann(side: usize) -> Vec<f64> {
    (0..side)
        .map(|i| (PI * (i as f64 + 0.5) / side as f64).sin().powi(2))
        .collect()
}

/// A disk (its centre in pixels of the window, its radius) without weight.
type Hole = Option<([f64; 2], f64)>;

/// A window less its weighted mean, faded towards its edges.
fn faded(window: ArrayView2<'_, f32>, hann: &[f64], hole: Hole) -> Array2<f64> {
    let weight = |(y, x): (usize, usize)| match hole {
        Some((at, radius)) if (y as f64 - at[0]).hypot(x as f64 - at[1]) <= radius => 0.0,
        _ => hann[y] * hann[x],
    };
    let finite = |v: f32| if v.is_finite() { f64::from(v) } else { 0.0 };
    let (sum, whole) = window
        .indexed_iter()
        .fold((0.0, 0.0), |(s, w), (at, &v)| (s + weight(at) * finite(v), w + weight(at)));
    Array2::from_shape_fn(window.dim(), |at| weight(at) * (finite(window[at]) - sum / whole))
}

/// Mean power of the windows over frequencies k / (4 s): all rows, half of the columns.
fn mean_power(windows: ArrayView3<'_, f32>) -> Array2<f64> {
    let (n, side, _) = windows.dim();
    let hann = hann(side);
    let size = 4 * side;
    let chosen: Vec<usize> = (0..n).step_by(n.div_ceil(SPECTRA)).collect();
    let mut sum = Array2::<f64>::zeros((size, size / 2 + 1));
    for part in chosen.chunks(32) {
        let powers: Vec<Array2<f64>> = part
            .par_iter()
            .map(|&i| {
                let mut wide = Array2::zeros((size, size));
                wide.slice_mut(s![..side, ..side])
                    .assign(&faded(windows.index_axis(Axis(0), i), &hann, None));
                fft2::forward(wide.view()).values.mapv(|c| c.norm_sqr())
            })
            .collect();
        powers.iter().for_each(|p| sum += p);
    }
    sum / chosen.len() as f64
}

/// The two strongest peaks (y, x) that are not in line.
fn peaks(power: ArrayView2<'_, f64>, side: usize) -> Option<[[f64; 2]; 2]> {
    let (rows, columns) = power.dim();
    let frequency = |y: usize, x: usize| {
        let y = if y <= rows / 2 { y as f64 } else { y as f64 - rows as f64 };
        [y / rows as f64, x as f64 / rows as f64]
    };
    let mut band = Vec::new();
    let mut found: Vec<(f64, [f64; 2])> = Vec::new();
    for y in 0..rows {
        for x in 0..columns {
            let f = frequency(y, x);
            let size = f[0].hypot(f[1]);
            if size < 2.5 / side as f64 || size > 0.45 || (x == 0 && f[0] < 0.0) {
                continue;
            }
            let here = power[[y, x]];
            band.push(here);
            // Hann's window makes peaks 8 of these bins wide.
            let highest = (-3i64..=3).all(|dy| {
                (-3i64..=3).all(|dx| {
                    let (mut yy, mut xx) = (y as i64 + dy, x as i64 + dx);
                    if xx < 0 {
                        (yy, xx) = (-yy, -xx);
                    }
                    let other = power.get((yy.rem_euclid(rows as i64) as usize, xx as usize));
                    other.is_none_or(|&o| o < here || (o == here && (dy, dx) >= (0, 0)))
                })
            });
            if highest {
                found.push((here, f));
            }
        }
    }
    if band.is_empty() {
        return None;
    }
    let middle = band.len() / 2;
    let median = *band.select_nth_unstable_by(middle, f64::total_cmp).1;
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let &(most, first) = found.first().filter(|f| f.0 > PEAK * median && f.0 > 0.0)?;
    let across = |g: [f64; 2]| (first[0] * g[1] - first[1] * g[0]).abs() / (first[0].hypot(first[1]) * g[0].hypot(g[1]));
    let second = found
        .iter()
        .find(|(p, g)| across(*g) > 0.45 && *p > SECOND * most && *p > PEAK * median)?;
    Some([first, second.1])
}

/// Amplitudes of the wave exp(2πi g·r) in each window, r counted from the frame's first pixel, without disks about places of the frame.
fn waves(
    windows: ArrayView3<'_, f32>,
    corner: &[[usize; 2]],
    left_out: Option<(&[[f64; 2]], f64)>,
    g: [f64; 2],
) -> Vec<Complex<f64>> {
    let side = windows.dim().1;
    let hann = hann(side);
    let wave = |f: f64| -> Vec<Complex<f64>> { (0..side).map(|i| Complex::cis(-TAU * f * i as f64)).collect() };
    let (down, right) = (wave(g[0]), wave(g[1]));
    (0..windows.dim().0)
        .into_par_iter()
        .map(|i| {
            let hole = left_out.map(|(centre, radius)| ([0, 1].map(|k| centre[i][k] - corner[i][k] as f64), radius));
            let window = faded(windows.index_axis(Axis(0), i), &hann, hole);
            let mut sum = Complex::<f64>::default();
            for (row, d) in window.rows().into_iter().zip(&down) {
                let inner: Complex<f64> = row.iter().zip(&right).map(|(v, r)| r * v).sum();
                sum += d * inner;
            }
            let [y, x] = corner[i];
            sum * Complex::cis(-TAU * (g[0] * y as f64 + g[1] * x as f64))
        })
        .collect()
}

/// Median over frames of the length of the mean unit phasor.
fn coherence(waves: &[Complex<f64>], frame: &[u32]) -> f64 {
    let mut lengths: Vec<f64> = runs(frame)
        .into_iter()
        .map(|run| {
            let n = run.len() as f64;
            waves[run].iter().map(unit).sum::<Complex<f64>>().norm() / n
        })
        .collect();
    lengths.sort_by(f64::total_cmp);
    lengths.get(lengths.len() / 2).copied().unwrap_or(0.0)
}

/// The frequency near `g` at which the windows of each frame add up best, to about a twentieth of a cycle over the frame.
fn refine(g: [f64; 2], windows: ArrayView3<'_, f32>, frame: &[u32], corner: &[[usize; 2]], chosen: &[usize]) -> [f64; 2] {
    let side = windows.dim().1;
    let extent = corner.iter().flatten().copied().max().unwrap_or(0) + side;
    let hann = hann(side);
    let faded: Vec<Array2<f64>> = chosen
        .par_iter()
        .map(|&i| faded(windows.index_axis(Axis(0), i), &hann, None))
        .collect();
    let frames: Vec<u32> = chosen.iter().map(|&i| frame[i]).collect();
    let runs = runs(&frames);
    let mut at = g;
    let fine = 0.4 / extent as f64;
    let mut reach = 0.25 / side as f64;
    for step in [fine, fine / 8.0] {
        let count = (reach / step).ceil() as i64;
        let grid = |middle: f64| -> Vec<f64> { (-count..=count).map(|k| middle + k as f64 * step).collect() };
        let (gy, gx) = (grid(at[0]), grid(at[1]));
        let wave = |g: &[f64]| -> Vec<Vec<Complex<f64>>> {
            let one = |f: &f64| (0..side).map(|i| Complex::cis(-TAU * f * i as f64)).collect();
            g.iter().map(one).collect()
        };
        let (ey, ex) = (wave(&gy), wave(&gx));
        let powers: Vec<Array2<f64>> = runs
            .par_iter()
            .map(|run| {
                let mut sum = Array2::<Complex<f64>>::zeros((gy.len(), gx.len()));
                for k in run.clone() {
                    add_window(&mut sum, &faded[k], corner[chosen[k]], (&ey, &ex), (&gy, &gx));
                }
                sum.mapv(|c| c.norm_sqr())
            })
            .collect();
        let mut total = Array2::<f64>::zeros((gy.len(), gx.len()));
        powers.iter().for_each(|p| total += p);
        let best = total.indexed_iter().fold(
            ((0, 0), f64::NEG_INFINITY),
            |best, (at, &v)| if v > best.1 { (at, v) } else { best },
        );
        at = [gy[best.0.0], gx[best.0.1]];
        reach = step;
    }
    at
}

type Waves<'a> = (&'a [Vec<Complex<f64>>], &'a [Vec<Complex<f64>>]);

/// Adds the amplitudes of a window at all frequencies of a grid.
fn add_window(
    sum: &mut Array2<Complex<f64>>,
    window: &Array2<f64>,
    corner: [usize; 2],
    (ey, ex): Waves<'_>,
    (gy, gx): (&[f64], &[f64]),
) {
    // Rows at each gx first.
    let rows: Vec<Vec<Complex<f64>>> = ex
        .iter()
        .map(|e| {
            window
                .rows()
                .into_iter()
                .map(|row| row.iter().zip(e).map(|(v, e)| e * v).sum())
                .collect()
        })
        .collect();
    let turn = |g: &[f64], at: usize| -> Vec<Complex<f64>> { g.iter().map(|f| Complex::cis(-TAU * f * at as f64)).collect() };
    let (ty, tx) = (turn(gy, corner[0]), turn(gx, corner[1]));
    for (i, e) in ey.iter().enumerate() {
        for (j, rows) in rows.iter().enumerate() {
            let inner: Complex<f64> = rows.iter().zip(e).map(|(r, e)| r * e).sum();
            sum[[i, j]] += inner * ty[i] * tx[j];
        }
    }
}
