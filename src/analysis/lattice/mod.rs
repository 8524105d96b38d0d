//! Two-dimensional lattices of diffraction spots: fitted to positions, matched to noisy ones, found in a cloud of points,
//! brought to comparable bases, and turned into strain.
//!
//! All positions and vectors are (y, x) in pixels, y down. Spot (h, k) lies at zero + h·a + k·b. Angles are atan2(y, x) in
//! radians: from +x towards +y, that is clockwise on a screen.

pub mod basis;
pub mod candidates;
pub mod directbeam;
pub mod fit;
pub mod full;
pub mod matching;
pub mod strain;

pub use fit::{Fit, StandardErrors};
pub use full::{Found, FullMatch, LatticeMatch};
pub use matching::{MatchDistance, Matcher, Scratch};

use serde::{Deserialize, Serialize};

/// A point or vector (y, x) in pixels.
pub type Vector = [f64; 2];

/// a × b with x as the first axis: positive if b lies at a larger angle than a (less than π further).
#[inline(always)]
pub fn cross(a: Vector, b: Vector) -> f64 {
    a[1] * b[0] - a[0] * b[1]
}

/// Scalar product.
#[inline(always)]
pub fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

/// Length.
#[inline(always)]
pub fn length(v: Vector) -> f64 {
    // Not `hypot`: distances of pixels neither overflow nor vanish, and this is an instruction, not a call.
    (v[0] * v[0] + v[1] * v[1]).sqrt()
}

/// Angle atan2(y, x), from −π to π.
#[inline(always)]
pub fn angle(v: Vector) -> f64 {
    v[0].atan2(v[1])
}

/// Vector of a length and an angle; the inverse of [`length`] and [`angle`].
#[inline(always)]
pub fn from_polar(length: f64, angle: f64) -> Vector {
    [length * angle.sin(), length * angle.cos()]
}

/// p + h·a + k·b.
#[inline(always)]
fn combine(p: Vector, a: Vector, h: f64, b: Vector, k: f64) -> Vector {
    [p[0] + h * a[0] + k * b[0], p[1] + h * a[1] + k * b[1]]
}

/// A lattice of spots at zero + h·a + k·b.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lattice {
    /// Position of spot (0, 0).
    pub zero: Vector,
    /// First basis vector.
    pub a: Vector,
    /// Second basis vector.
    pub b: Vector,
}

impl Lattice {
    /// Position of spot (h, k).
    #[inline(always)]
    pub fn position(&self, h: f64, k: f64) -> Vector {
        combine(self.zero, self.a, h, self.b, k)
    }

    /// Lattice coordinates (u, v) of a position; not finite for parallel vectors.
    #[inline(always)]
    pub fn coordinates(&self, p: Vector) -> [f64; 2] {
        let d = [p[0] - self.zero[0], p[1] - self.zero[1]];
        let area = cross(self.a, self.b);
        [cross(d, self.b) / area, cross(self.a, d) / area]
    }

    /// a × b: signed area of the cell in px², see [`cross`].
    pub fn area(&self) -> f64 {
        cross(self.a, self.b)
    }

    /// Angle between a and b, 0 to π.
    pub fn angle_between(&self) -> f64 {
        cross(self.a, self.b).abs().atan2(dot(self.a, self.b))
    }

    /// |b|/|a|.
    pub fn ratio(&self) -> f64 {
        length(self.b) / length(self.a)
    }

    /// True if every number is finite.
    pub fn is_finite(&self) -> bool {
        [self.zero, self.a, self.b].iter().flatten().all(|v| v.is_finite())
    }
}
