//! Sixteen spots: where they are, what is fitted for them alone, and how that follows the common unknowns.

use super::super::Lattice;
use super::super::normal::{Factors, GLOBALS, Local, Normal};
use super::sums::{MOST, Model};
use crate::backend::cpu::isa::per_isa;
use crate::kernels::fft::{LANES, Lanes};

/// Spots in lanes. Lanes without one repeat the first and have no pixels.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// 1, h and k.
    factors: Factors,
    /// Whole positions (y, x).
    base: [[f64; LANES]; 2],
    pub model: Model,
    /// Largest distance of a centre from its whole position.
    pub furthest: f64,
    pub sums: [Lanes; MOST],
    local: Local,
}

impl Group {
    pub fn new() -> Self {
        Group {
            factors: [[1.0; LANES], [0.0; LANES], [0.0; LANES]],
            base: [[0.0; LANES]; 2],
            model: Model {
                centre: [Lanes::ZERO; 2],
                amplitude: Lanes::ZERO,
                background: Lanes::ZERO,
            },
            furthest: 0.0,
            sums: [Lanes::ZERO; MOST],
            local: Local::NONE,
        }
    }

    /// Puts a spot into a lane; the first one into all.
    pub fn set(&mut self, lane: usize, index: [i32; 2], base: [f64; 2]) {
        let lanes = if lane == 0 { 0..LANES } else { lane..lane + 1 };
        for l in lanes {
            for i in 0..2 {
                self.factors[1 + i][l] = f64::from(index[i]);
                self.base[i][l] = base[i];
            }
        }
    }

    /// Places the centres on a lattice; how far the furthest is from its whole position.
    #[inline]
    pub fn place(&mut self, lattice: &Lattice) -> f64 {
        let mut distances = [0.0f64; LANES];
        for i in 0..2 {
            for l in 0..LANES {
                let [_, h, k] = [0, 1, 2].map(|f| self.factors[f][l]);
                let at = lattice.zero[i] + h * lattice.a[i] + k * lattice.b[i] - self.base[i][l];
                self.model.centre[i].0[l] = at as f32;
                distances[l] += at * at;
            }
        }
        // NaN stays.
        self.furthest = distances.into_iter().fold(0.0, |m: f64, d| if d <= m { m } else { d }).sqrt();
        self.furthest
    }

    /// How far a step moves the spot that it moves most.
    #[inline]
    pub fn longest(&self, step: &[f64; GLOBALS]) -> f64 {
        let mut distances = [0.0f64; LANES];
        for i in 0..2 {
            for l in 0..LANES {
                let d = step[i] + self.factors[1][l] * step[2 + i] + self.factors[2][l] * step[4 + i];
                distances[l] += d * d;
            }
        }
        distances.into_iter().fold(0.0, f64::max).sqrt()
    }

    /// Lets amplitudes and backgrounds follow a step.
    #[inline]
    pub fn change(&mut self, step: &[f64; GLOBALS], floor: f64, shape: bool) {
        let [da, db] = self.local.change(&self.factors, step, if shape { 4 } else { 2 });
        let model = &mut self.model;
        for l in 0..LANES {
            model.amplitude.0[l] = (f64::from(model.amplitude.0[l]) + da[l]).max(floor) as f32;
            model.background.0[l] = (f64::from(model.background.0[l]) + db[l]).max(floor) as f32;
        }
    }
}

per_isa! {
    /// Adds the spots of a group, of which the sums are known, to the normal equations.
    pub(super) fn accumulate(normal: &mut Normal, group: &mut Group, floor: f64) {
        normal.add(&group.sums, &group.factors, floor, &mut group.local);
    }
}
