//! Reflections of gold, and rotations of a crystal.

use crate::rng::math;

/// A rotation; columns are images of the crystal's x, y, z (z along the beam).
pub(super) type Rotation = [[f64; 3]; 3];

/// Lattice constant in Å.
const LATTICE: f64 = 4.0782;
/// Debye-Waller factor in Å².
const DEBYE_WALLER: f64 = 0.6;
/// Electron scattering factor of gold, f(s) = Σ a exp(−b s²) with s = |g|/2: L.-M. Peng, G. Ren, S. L. Dudarev, M. J. Whelan, *Acta
/// Cryst.* A52 (1996) 257, table 1.
const SCATTERING: [[f64; 2]; 5] = [
    [0.3055, 0.0596],
    [1.3945, 0.5827],
    [2.9617, 3.1035],
    [3.899, 11.9693],
    [2.0026, 47.9106],
];

/// A reflection: g in 1/Å along the cubic axes, and |F|².
pub(super) struct Reflection {
    pub g: [f64; 3],
    pub strength: f64,
}

/// All reflections with |g| below `most`: indices all odd or all even, but not 0 0 0.
pub(super) fn reflections(most: f64) -> Vec<Reflection> {
    let n = (most * LATTICE).ceil() as i32;
    let mut all = Vec::new();
    for (h, k, l) in (-n..=n).flat_map(|h| (-n..=n).flat_map(move |k| (-n..=n).map(move |l| (h, k, l)))) {
        let g = [h, k, l].map(|i| f64::from(i) / LATTICE);
        let q2 = g.iter().map(|v| v * v).sum::<f64>();
        let allowed = (h - k) % 2 == 0 && (k - l) % 2 == 0 && (h, k, l) != (0, 0, 0);
        if allowed && q2 < most * most {
            let s2 = q2 / 4.0;
            let f = 4.0 * SCATTERING.iter().map(|[a, b]| a * math::exp(-b * s2)).sum::<f64>();
            let f = f * math::exp(-DEBYE_WALLER * s2);
            all.push(Reflection { g, strength: f * f });
        }
    }
    all
}

/// `second` after `first`.
pub(super) fn then(first: &Rotation, second: &Rotation) -> Rotation {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| second[i][k] * first[k][j]).sum()))
}

/// The vector `v` rotated.
pub(super) fn apply(r: &Rotation, v: [f64; 3]) -> [f64; 3] {
    r.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// About the unit vector `axis` by `degrees` (Rodrigues).
pub(super) fn about(axis: [f64; 3], degrees: f64) -> Rotation {
    let (s, c) = math::sin_cos_turns(degrees / 360.0);
    let [x, y, z] = axis;
    let cross = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]];
    std::array::from_fn(|i| {
        std::array::from_fn(|j| f64::from(u8::from(i == j)) * c + s * cross[i][j] + (1.0 - c) * axis[i] * axis[j])
    })
}

/// The shortest rotation that brings the direction `zone` (not −z) along the beam.
pub(super) fn along_beam(zone: [f64; 3]) -> Rotation {
    let length = zone.iter().map(|v| v * v).sum::<f64>().sqrt();
    let [x, y, c] = zone.map(|v| v / length);
    // The axis is zone × z = (y, −x, 0); its length is the sine of the angle.
    let k = [[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]];
    std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let square: f64 = (0..3).map(|m| k[i][m] * k[m][j]).sum();
            f64::from(u8::from(i == j)) + k[i][j] + square / (1.0 + c)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_rotations() {
        let r = then(&about([0.0, 0.6, 0.8], 33.0), &about([1.0, 0.0, 0.0], -5.0));
        for (i, row) in r.iter().enumerate() {
            for (j, other) in r.iter().enumerate() {
                let dot: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        for zone in [[0.0, 0.0, 1.0], [1.0, 1.0, 2.0], [1.0, 2.0, 3.0]] {
            let z = apply(&along_beam(zone), zone);
            assert!(z[0].abs() < 1e-12 && z[1].abs() < 1e-12 && z[2] > 0.9, "{z:?}");
        }
        // A quarter turn about z brings x to y.
        let y = apply(&about([0.0, 0.0, 1.0], 90.0), [1.0, 0.0, 0.0]);
        assert!(y[0].abs() < 1e-12 && (y[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn gold_has_its_reflections() {
        // 111, 200, 220, 311, 222, 400: 8 + 6 + 12 + 24 + 8 + 6.
        let all = reflections(4.01 / LATTICE);
        assert_eq!(all.len(), 64);
        let of = |q: f64| {
            all.iter()
                .find(|r| (r.g.iter().map(|v| v * v).sum::<f64>().sqrt() * LATTICE - q).abs() < 1e-9)
        };
        assert!(of(3f64.sqrt()).unwrap().strength > of(2.0).unwrap().strength);
        assert!(of(1.0).is_none());
    }
}
