//! Sixteen spots: where they are, what is fitted for them alone, and how that follows the common unknowns.

use super::super::Lattice;
use super::super::normal::{Factors, GLOBALS, Local, Normal};
use super::sums::{MOST, Model};
use crate::backend::cpu::isa::per_isa;
use crate::backend::cpu::lanes::{LANES, Lanes};

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
}

per_isa! {
    /// Places the centres on a lattice; how far the furthest is from its whole position.
    pub(super) fn place(group: &mut Group, lattice: &Lattice) -> f64 {
        let mut distances = [0.0f64; LANES];
        for i in 0..2 {
            let (zero, a, b) = (lattice.zero[i], lattice.a[i], lattice.b[i]);
            for (l, distance) in distances.iter_mut().enumerate() {
                let at = zero + group.factors[1][l] * a + group.factors[2][l] * b - group.base[i][l];
                group.model.centre[i].0[l] = at as f32;
                *distance += at * at;
            }
        }
        group.furthest = largest(&distances).sqrt();
        group.furthest
    }
}

per_isa! {
    /// How far a step moves the spot that it moves most.
    pub(super) fn longest(group: &Group, step: &[f64; GLOBALS]) -> f64 {
        let mut distances = [0.0f64; LANES];
        for i in 0..2 {
            for (l, distance) in distances.iter_mut().enumerate() {
                let d = step[i] + group.factors[1][l] * step[2 + i] + group.factors[2][l] * step[4 + i];
                *distance += d * d;
            }
        }
        largest(&distances).sqrt()
    }
}

/// The largest number; NaN if there is one.
#[inline(always)]
fn largest(numbers: &[f64; LANES]) -> f64 {
    numbers.iter().fold(0.0, |m: f64, &d| if d <= m { m } else { d })
}

per_isa! {
    /// Lets amplitudes and backgrounds follow a step.
    pub(super) fn change(group: &mut Group, step: &[f64; GLOBALS], floor: f64, shape: bool) {
        let [da, db] = group.local.change(&group.factors, step, if shape { 4 } else { 2 });
        let model = &mut group.model;
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
