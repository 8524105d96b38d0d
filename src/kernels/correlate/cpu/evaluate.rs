//! Maximum, centre of mass and elevation of sixteen windows.

use crate::backend::cpu::isa::per_isa;
use crate::kernels::fft::{LANES, Lanes};

/// What is found in one window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    /// Row and column of the maximum.
    pub at: [u32; 2],
    /// Refined position minus that.
    pub shift: [f32; 2],
    pub height: f32,
    pub elevation: f32,
}

/// Smallest squared distance of pixels that the elevation looks at.
const NEAR: f32 = 2.25;

per_isa! {
    /// Evaluates windows of `n` × `n` correlations.
    pub(super) fn evaluate(map: &[Lanes], n: usize, found: &mut [Found; LANES]) {
        let map = &map[..n * n];
        let mut height = map[0];
        let mut index = [0u32; LANES];
        for (i, v) in map.iter().enumerate() {
            for l in 0..LANES {
                let higher = v.0[l] > height.0[l];
                height.0[l] = if higher { v.0[l] } else { height.0[l] };
                index[l] = if higher { i as u32 } else { index[l] };
            }
        }
        let (mut at_y, mut at_x) = (Lanes::ZERO, Lanes::ZERO);
        for (l, found) in found.iter_mut().enumerate() {
            let (y, x) = (index[l] as usize / n, index[l] as usize % n);
            *found = Found {
                at: [y as u32, x as u32],
                shift: centre_of_mass(map, n, [y, x], l),
                height: height.0[l],
                elevation: 0.0,
            };
            at_y.0[l] = y as f32 + found.shift[0];
            at_x.0[l] = x as f32 + found.shift[1];
        }
        // Squares of slopes: one square root at the end gives the same minimum.
        let mut slope = Lanes::all(f32::INFINITY);
        for (y, row) in map.chunks_exact(n).enumerate() {
            let dy = Lanes::all(y as f32) - at_y;
            let dy = dy * dy;
            for (x, v) in row.iter().enumerate() {
                let dx = Lanes::all(x as f32) - at_x;
                let d = dx * dx + dy;
                let drop = height - *v;
                let drop = drop * drop;
                for l in 0..LANES {
                    let s = drop.0[l] / d.0[l];
                    slope.0[l] = if (d.0[l] >= NEAR) & (s < slope.0[l]) { s } else { slope.0[l] };
                }
            }
        }
        for (found, s) in found.iter_mut().zip(slope.0) {
            found.elevation = if s < f32::INFINITY { s.sqrt() } else { 0.0 };
        }
    }
}

/// Centre of mass, relative to pixel `at`, of the correlations above their minimum in its neighbourhood.
#[inline(always)]
fn centre_of_mass(map: &[Lanes], n: usize, at: [usize; 2], lane: usize) -> [f32; 2] {
    let r = at.iter().fold(2, |r: usize, &v| r.min(v).min(n - 1 - v));
    if r == 0 {
        return [0.0; 2];
    }
    let start = (at[0] - r) * n + at[1] - r;
    let value = |y: usize, x: usize| map[start + y * n + x].0[lane];
    let mut min = f32::INFINITY;
    for y in 0..=2 * r {
        for x in 0..=2 * r {
            min = min.min(value(y, x));
        }
    }
    let (mut mass, mut sy, mut sx) = (0f32, 0f32, 0f32);
    for y in 0..=2 * r {
        for x in 0..=2 * r {
            let v = value(y, x) - min;
            mass += v;
            sy += v * (y as f32 - r as f32);
            sx += v * (x as f32 - r as f32);
        }
    }
    if mass > 0.0 { [sy / mass, sx / mass] } else { [0.0; 2] }
}
