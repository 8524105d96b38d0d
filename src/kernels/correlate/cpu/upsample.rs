//! Trigonometric interpolation of a periodic correlation map on a fine grid around its maximum.
//!
//! The map C with periods (h, w) is a trigonometric polynomial; its value at the integer position c plus t is
//! Σ_j C(j) K(c − j + t), separable, with K the sum of the frequencies from −n/2 to n/2 divided by n (half of each of ±n/2 for even n).
//! The published form keeps the frequencies −n/2 … n/2 − 1 along y and 0 … n/2 along x and takes the modulus.

use super::super::Recipe;
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::LANES;
use std::f64::consts::TAU;

/// Kernel values for all fine positions at each whole displacement, rows padded to lanes.
struct Kernel {
    n: usize,
    re: Vec<f32>,
    /// Empty when real.
    im: Vec<f32>,
}

/// The fine grid of one period.
pub(super) struct Finer {
    factor: f64,
    /// Points along one axis, and the same rounded up to whole lanes.
    points: usize,
    row: usize,
    y: Kernel,
    x: Kernel,
    /// Interpolated along y, for each column: real, and imaginary if there is one.
    columns: [Vec<f32>; 2],
    /// Values on the grid, real and imaginary.
    grid: [Vec<f32>; 2],
}

fn points(factor: u32) -> usize {
    (1.5 * f64::from(factor)).ceil() as usize
}

impl Finer {
    /// Bytes of a grid `factor` times finer in a map of (h, w).
    pub(super) fn bytes(factor: u32, (h, w): (usize, usize)) -> u64 {
        let row = points(factor).next_multiple_of(LANES) as u64;
        8 * row * (h as u64 + 2 * w as u64 + row)
    }

    /// A grid `factor` times finer in maps of (h, w).
    pub(super) fn new(factor: u32, (h, w): (usize, usize), recipe: Recipe) -> Self {
        let points = points(factor);
        let row = points.next_multiple_of(LANES);
        let published = recipe == Recipe::Published;
        let kernel = |n: usize, frequencies: &dyn Fn(usize) -> Vec<(i64, f64)>| {
            let f = frequencies(n);
            let mut kernel = Kernel {
                n,
                re: vec![0.0; n * row],
                im: vec![0.0; if published { n * row } else { 0 }],
            };
            for whole in 0..n {
                for p in 0..points {
                    let t = whole as f64 + (p as f64 - (points / 2) as f64) / f64::from(factor);
                    let (mut re, mut im) = (0.0, 0.0);
                    for &(k, weight) in &f {
                        let (s, c) = (TAU * k as f64 * t / n as f64).sin_cos();
                        re += weight * c;
                        im += weight * s;
                    }
                    kernel.re[whole * row + p] = (re / n as f64) as f32;
                    if let Some(v) = kernel.im.get_mut(whole * row + p) {
                        *v = (im / n as f64) as f32;
                    }
                }
            }
            kernel
        };
        let symmetric = |n: usize| {
            let half = (n / 2) as i64;
            let weight = move |k: i64| if n.is_multiple_of(2) && k.abs() == half { 0.5 } else { 1.0 };
            (-half..=half).map(|k| (k, weight(k))).collect::<Vec<_>>()
        };
        let (y, x) = if published {
            let signed = |n: usize| (-((n / 2) as i64)..n.div_ceil(2) as i64).map(|k| (k, 1.0)).collect();
            let half = |n: usize| (0..=(n / 2) as i64).map(|k| (k, 1.0)).collect();
            (kernel(h, &signed), kernel(w, &half))
        } else {
            (kernel(h, &symmetric), kernel(w, &symmetric))
        };
        let size = |n: usize| if published { n } else { 0 };
        Finer {
            factor: f64::from(factor),
            points,
            row,
            y,
            x,
            columns: [vec![0.0; w * row], vec![0.0; size(w * row)]],
            grid: [vec![0.0; row * row], vec![0.0; size(row * row)]],
        }
    }

    /// Displacement of the highest fine point from pixel `at` of `map` (C order, one period).
    pub(super) fn shift(&mut self, isa: Isa, map: &[f32], at: [usize; 2]) -> [f32; 2] {
        let row = self.row;
        self.columns.iter_mut().chain(&mut self.grid).for_each(|v| v.fill(0.0));
        let [re, im] = &mut self.columns;
        for (y, line) in map.chunks_exact(self.x.n).enumerate() {
            let k = (at[0] + self.y.n - y) % self.y.n * row;
            spread(isa, line, &self.y.re[k..k + row], re);
            if let Some(k) = self.y.im.get(k..k + row) {
                spread(isa, line, k, im);
            }
        }
        let (columns_re, columns_im) = (&self.columns[0], &self.columns[1]);
        let [re, im] = &mut self.grid;
        for x in 0..self.x.n {
            let k = (at[1] + self.x.n - x) % self.x.n * row;
            let c = x * row..(x + 1) * row;
            outer(isa, &columns_re[c.clone()], &self.x.re[k..k + row], 1.0, re);
            if let (Some(c_im), Some(k_im)) = (columns_im.get(c.clone()), self.x.im.get(k..k + row)) {
                outer(isa, c_im, k_im, -1.0, re);
                outer(isa, &columns_re[c], k_im, 1.0, im);
                outer(isa, c_im, &self.x.re[k..k + row], 1.0, im);
            }
        }
        let (mut best, mut highest) = ([0, 0], f32::NEG_INFINITY);
        for y in 0..self.points {
            for x in 0..self.points {
                let i = y * row + x;
                let v = match self.grid[1].get(i) {
                    None => self.grid[0][i],
                    Some(im) => self.grid[0][i] * self.grid[0][i] + im * im,
                };
                if v > highest {
                    (best, highest) = ([y, x], v);
                }
            }
        }
        best.map(|p| ((p as f64 - (self.points / 2) as f64) / self.factor) as f32)
    }
}

per_isa! {
    /// Adds line(x) · kernel to row x of `out`.
    fn spread(line: &[f32], kernel: &[f32], out: &mut [f32]) {
        for (v, out) in line.iter().zip(out.chunks_exact_mut(kernel.len())) {
            for (o, k) in out.iter_mut().zip(kernel) {
                *o += v * k;
            }
        }
    }
}

per_isa! {
    /// Adds sign · column(y) · kernel(x) to `out`(y, x).
    fn outer(column: &[f32], kernel: &[f32], sign: f32, out: &mut [f32]) {
        for (c, out) in column.iter().zip(out.chunks_exact_mut(kernel.len())) {
            let c = sign * c;
            for (o, k) in out.iter_mut().zip(kernel) {
                *o += c * k;
            }
        }
    }
}
