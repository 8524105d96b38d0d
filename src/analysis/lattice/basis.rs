//! Which of its many bases a lattice is described by.
//!
//! Any two bases of a lattice are related by an integer matrix of determinant ±1, and any site may be called zero.
//! Clusters of the same crystal get comparable vectors in two steps: [`canonical`] chooses by length and direction alone,
//! [`common`] then carries the basis of one cluster over to all that resemble it, since near 45° (or with |a| ≈ |b|) every
//! fixed rule has a jump.

use super::{Lattice, Vector, angle, combine, cross, dot, length};

/// Vectors this much longer than the shortest still count as equally long in [`canonical`]: strain within a crystal must
/// not swap a and b.
const SAME_LENGTH: f64 = 0.05;
/// Angles closer than this are equal, rad.
const SAME_ANGLE: f64 = 1e-9;

/// Lagrange's and Gauss's reduction: a basis of the same lattice with |a| ≤ |b| ≤ |b ± a|. `None` for parallel vectors or
/// numbers that are not finite.
pub fn reduce(a: Vector, b: Vector) -> Option<[Vector; 2]> {
    let area = cross(a, b).abs();
    // Relative to the lengths, so that nearly parallel vectors of a proper lattice (a long basis of it) still pass.
    if !(area.is_finite() && area > 1e-9 * length(a) * length(b)) {
        return None;
    }
    let (mut a, mut b) = (a, b);
    loop {
        if dot(b, b) < dot(a, a) {
            std::mem::swap(&mut a, &mut b);
        }
        let steps = (dot(a, b) / dot(a, a)).round_ties_even();
        if steps == 0.0 {
            return Some([a, b]);
        }
        let shorter = combine(b, a, -steps, b, 0.0);
        // Rounding must not make it run in circles.
        if dot(shorter, shorter) >= dot(b, b) {
            return Some([a, b]);
        }
        b = shorter;
    }
}

/// The canonical basis of the lattice of `a` and `b`, the same whichever of its bases is given:
///
/// * a: of the vectors within 5 % of the shortest, with x > 0 (or x = 0 and y > 0), the one nearest to the x axis; of two
///   at ±φ the one at +φ;
/// * b: of the vectors that complete the basis and lie at larger angles than a (by less than π), those within 5 % of the
///   shortest, and of these the one at the smallest angle from a.
///
/// So a points right, b follows clockwise on the screen, and |a| ≤ |b| up to 5 %. `None` as for [`reduce`].
pub fn canonical(a: Vector, b: Vector) -> Option<[Vector; 2]> {
    let [p, q] = reduce(a, b)?;
    let mut short: Vec<([i32; 2], Vector)> = Vec::with_capacity(16);
    for i in -2_i32..=2 {
        for j in -2_i32..=2 {
            // Vectors that are not multiples of another.
            if i.abs().max(j.abs()) == 1 || (i * j).abs() == 2 {
                short.push(([i, j], combine([0.0; 2], p, i.into(), q, j.into())));
            }
        }
    }
    let limit = length(p) * (1.0 + SAME_LENGTH);
    let rightwards = |v: &Vector| {
        let slack = SAME_ANGLE * length(*v);
        v[1] > slack || (v[1].abs() <= slack && v[0] > 0.0)
    };
    let before = |x: f64, y: f64| x < y - SAME_ANGLE;
    let mut first: Option<([i32; 2], Vector)> = None;
    for &(index, v) in short.iter().filter(|(_, v)| length(*v) <= limit && rightwards(v)) {
        let better = first.is_none_or(|(_, w)| {
            let (new, old) = (angle(v), angle(w));
            before(new.abs(), old.abs()) || (!before(old.abs(), new.abs()) && new > old)
        });
        if better {
            first = Some((index, v));
        }
    }
    let (index, a) = first?;
    let completes = |&&(i, v): &&([i32; 2], Vector)| (index[0] * i[1] - index[1] * i[0]).abs() == 1 && cross(a, v) > 0.0;
    let limit = short
        .iter()
        .filter(completes)
        .map(|(_, v)| length(*v))
        .fold(f64::INFINITY, f64::min)
        * (1.0 + SAME_LENGTH);
    let from_a = |v: Vector| cross(a, v).atan2(dot(a, v));
    let second = short
        .iter()
        .filter(completes)
        .map(|(_, v)| *v)
        .filter(|v| length(*v) <= limit);
    let b = second.min_by(|v, w| from_a(*v).total_cmp(&from_a(*w)))?;
    Some([a, b])
}

/// The site of `lattice` nearest to `near`; of equally near ones the first in the order of their indices.
pub fn nearest_site(lattice: &Lattice, near: Vector) -> Option<Vector> {
    // Rounding of coordinates finds the nearest site among the neighbours for a reduced basis.
    let [a, b] = reduce(lattice.a, lattice.b)?;
    let reduced = Lattice { a, b, ..*lattice };
    let [u, v] = reduced.coordinates(near).map(f64::round);
    let mut best: Option<(f64, Vector)> = None;
    for i in -1..=1 {
        for j in -1..=1 {
            let site = reduced.position(u + f64::from(i), v + f64::from(j));
            let away = length([site[0] - near[0], site[1] - near[1]]);
            if away.is_finite() && best.is_none_or(|(d, _)| away < d) {
                best = Some((away, site));
            }
        }
    }
    best.map(|b| b.1)
}

/// The same lattice in its canonical basis, with the site nearest to `near` as zero.
pub fn canonical_at(lattice: &Lattice, near: Vector) -> Option<Lattice> {
    let [a, b] = canonical(lattice.a, lattice.b)?;
    Some(Lattice {
        zero: nearest_site(lattice, near)?,
        a,
        b,
    })
}

/// How one description of a lattice leads to another: a' = m₀₀a + m₀₁b, b' = m₁₀a + m₁₁b, zero' = zero + s₀a + s₁b.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BasisChange {
    /// The integer matrix m, determinant ±1.
    pub matrix: [[i64; 2]; 2],
    /// The shift s of zero in lattice vectors of the first.
    pub shift: [i64; 2],
    /// Largest distance in px between a', b' and what m makes of a and b.
    pub vectors_off: f64,
    /// Distance in px between zero' and the site of the first lattice.
    pub zero_off: f64,
}

impl BasisChange {
    /// Indices in the second description of the spot with `index` in the first; `None` if they do not fit 32 bits.
    pub fn index(&self, index: [i32; 2]) -> Option<[i32; 2]> {
        let [[m00, m01], [m10, m11]] = self.matrix;
        let det = m00 * m11 - m01 * m10;
        let (h, k) = (i64::from(index[0]) - self.shift[0], i64::from(index[1]) - self.shift[1]);
        let new = [det * (h * m11 - k * m10), det * (k * m00 - h * m01)];
        Some([i32::try_from(new[0]).ok()?, i32::try_from(new[1]).ok()?])
    }
}

/// Integers next to coordinates, unless they exceed all sense.
fn integers(c: [f64; 2]) -> Option<[i64; 2]> {
    (c[0].abs() < 1e6 && c[1].abs() < 1e6).then(|| c.map(|v| v.round() as i64))
}

/// The integer relation nearest to `from` → `to`; `None` if its determinant is not ±1 (another lattice) or exceeds all
/// sense. How well it holds is in the result: the same lattice has `vectors_off` and `zero_off` within the errors of the
/// fits.
pub fn change_of_basis(from: &Lattice, to: &Lattice) -> Option<BasisChange> {
    // Coordinates are rounded in the reduced basis: in a long, oblique one small differences of the lattices would count
    // many times.
    let [a, b] = reduce(from.a, from.b)?;
    let reduced = Lattice { zero: from.zero, a, b };
    let [free, short] = [from, &reduced].map(|l| Lattice { zero: [0.0; 2], ..*l });
    let [p, q] = [integers(free.coordinates(a))?, integers(free.coordinates(b))?];
    let in_from = |c: [i64; 2]| [c[0] * p[0] + c[1] * q[0], c[0] * p[1] + c[1] * q[1]];
    let matrix = [
        in_from(integers(short.coordinates(to.a))?),
        in_from(integers(short.coordinates(to.b))?),
    ];
    let shift = in_from(integers(reduced.coordinates(to.zero))?);
    // So that products of two stay within 64 bits.
    if matrix.iter().flatten().chain(&shift).any(|v| v.abs() > 1 << 24) {
        return None;
    }
    if (matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0]).abs() != 1 {
        return None;
    }
    let off = |lattice: &Lattice, c: [i64; 2], v: Vector| {
        let p = lattice.position(c[0] as f64, c[1] as f64);
        length([p[0] - v[0], p[1] - v[1]])
    };
    let vectors_off = off(&free, matrix[0], to.a).max(off(&free, matrix[1], to.b));
    Some(BasisChange {
        matrix,
        shift,
        vectors_off,
        zero_off: off(from, shift, to.zero),
    })
}

/// `lattice` in the basis that resembles `reference` most, its zero unchanged; `None` if even that differs by more than
/// `tolerance` times the length of the shorter reduced vector.
pub fn align(lattice: &Lattice, reference: &Lattice, tolerance: f64) -> Option<Lattice> {
    let [shortest, _] = reduce(reference.a, reference.b)?;
    let here = Lattice {
        zero: reference.zero,
        ..*lattice
    };
    let change = change_of_basis(&here, reference).filter(|c| c.vectors_off <= tolerance * length(shortest))?;
    let vectors = Lattice {
        zero: [0.0; 2],
        ..*lattice
    };
    let [a, b] = change.matrix.map(|m| vectors.position(m[0] as f64, m[1] as f64));
    Some(Lattice {
        zero: lattice.zero,
        a,
        b,
    })
}

/// Brings lattices (of the clusters of a scan, largest cluster first) to common bases: each takes the basis of the first
/// earlier one that it resembles within `tolerance` (relative, see [`align`]; 0.1 is a good value), else its canonical
/// basis. Zeros stay. Lattices without a basis stay as they are.
pub fn common(lattices: &[Lattice], tolerance: f64) -> Vec<Lattice> {
    let mut kinds: Vec<Lattice> = Vec::new();
    let mut out = Vec::with_capacity(lattices.len());
    for lattice in lattices {
        let known = kinds.iter().find_map(|kind| align(lattice, kind, tolerance));
        out.push(known.unwrap_or_else(|| match canonical(lattice.a, lattice.b) {
            Some([a, b]) => {
                let own = Lattice {
                    zero: lattice.zero,
                    a,
                    b,
                };
                kinds.push(own);
                own
            }
            None => *lattice,
        }));
    }
    out
}
