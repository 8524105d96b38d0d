//! Maximum, centre of mass and elevation of sixteen windows.

use crate::backend::cpu::isa::per_isa;
use crate::backend::cpu::lanes::{LANES, Lanes};

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

/// Correlations of sixteen windows of `n` × `n` pixels, rows `pitch` apart and pixels of a row `step` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps<'m> {
    pub n: usize,
    pub lanes: &'m [Lanes],
    pub pitch: usize,
    pub step: usize,
}

impl<'m> Maps<'m> {
    /// Row after row.
    pub(super) fn dense(lanes: &'m [Lanes], n: usize) -> Self {
        Maps {
            n,
            lanes,
            pitch: n,
            step: 1,
        }
    }
    #[inline(always)]
    fn row(&self, y: usize) -> impl Iterator<Item = &'m Lanes> {
        self.lanes[y * self.pitch..].iter().step_by(self.step).take(self.n)
    }
    /// All values in C order.
    pub(super) fn values(&self) -> impl Iterator<Item = &'m Lanes> {
        (0..self.n).flat_map(move |y| self.row(y))
    }
}

per_isa! {
    /// Evaluates windows.
    pub(super) fn evaluate(map: &Maps<'_>, found: &mut [Found; LANES]) {
        let n = map.n;
        let mut height = map.lanes[0];
        let mut index = [0u32; LANES];
        for y in 0..n {
            for (x, v) in map.row(y).enumerate() {
                let i = (y * n + x) as u32;
                for ((h, index), v) in height.0.iter_mut().zip(&mut index).zip(v.0) {
                    let higher = v > *h;
                    *h = if higher { v } else { *h };
                    *index = if higher { i } else { *index };
                }
            }
        }
        let (mut at_y, mut at_x) = (Lanes::ZERO, Lanes::ZERO);
        for (l, found) in found.iter_mut().enumerate() {
            let (y, x) = (index[l] as usize / n, index[l] as usize % n);
            *found = Found {
                at: [y as u32, x as u32],
                shift: centre_of_mass(map, [y, x], l),
                height: height.0[l],
                elevation: 0.0,
            };
            at_y.0[l] = y as f32 + found.shift[0];
            at_x.0[l] = x as f32 + found.shift[1];
        }
        // The smallest slope is that of the smallest drop²/d², compared without divisions.
        let (mut drops, mut distances) = (Lanes::all(f32::INFINITY), Lanes::all(1.0));
        for y in 0..n {
            let mut dy2 = Lanes::ZERO;
            for l in 0..LANES {
                let dy = y as f32 - at_y.0[l];
                dy2.0[l] = dy * dy;
            }
            for (x, v) in map.row(y).enumerate() {
                for l in 0..LANES {
                    let (dx, drop) = (x as f32 - at_x.0[l], height.0[l] - v.0[l]);
                    let (d, drop) = (dx * dx + dy2.0[l], drop * drop);
                    let less = (d >= NEAR) & (drop * distances.0[l] < drops.0[l] * d);
                    drops.0[l] = if less { drop } else { drops.0[l] };
                    distances.0[l] = if less { d } else { distances.0[l] };
                }
            }
        }
        for (l, found) in found.iter_mut().enumerate() {
            let s = drops.0[l] / distances.0[l];
            found.elevation = if s < f32::INFINITY { s.sqrt() } else { 0.0 };
        }
    }
}

/// Centre of mass, relative to pixel `at`, of the correlations above their minimum in its neighbourhood.
#[inline(always)]
fn centre_of_mass(map: &Maps<'_>, at: [usize; 2], lane: usize) -> [f32; 2] {
    let r = at.iter().fold(2, |r: usize, &v| r.min(v).min(map.n - 1 - v));
    if r == 0 {
        return [0.0; 2];
    }
    let start = (at[0] - r) * map.pitch + (at[1] - r) * map.step;
    let value = |y: usize, x: usize| map.lanes[start + y * map.pitch + x * map.step].0[lane];
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
