//! Orientations of crystals: Euler angles, matrices, symmetry, and the colours of inverse pole figures.

mod ipf;
mod symmetry;

pub use ipf::{Key, Picture};
pub use symmetry::{Laue, Setting};

use std::f64::consts::TAU;

/// A rotation as a matrix, row by row.
pub type Matrix = [[f64; 3]; 3];

/// The matrix g that turns a direction in the sample into the same direction in the crystal, from Bunge's angles φ1, Φ, φ2 in radians:
/// g = Z(φ2) X(Φ) Z(φ1) (H.-J. Bunge, *Texture Analysis in Materials Science*, 1982, eq. 2.50).
pub fn crystal_from_sample([a, b, c]: [f64; 3]) -> Matrix {
    let ((s1, c1), (s, co), (s2, c2)) = (a.sin_cos(), b.sin_cos(), c.sin_cos());
    [
        [c1 * c2 - s1 * s2 * co, s1 * c2 + c1 * s2 * co, s2 * s],
        [-c1 * s2 - s1 * c2 * co, -s1 * s2 + c1 * c2 * co, c2 * s],
        [s1 * s, -c1 * s, co],
    ]
}

/// Bunge's angles of a matrix: φ1 and φ2 in [0, 2π), Φ in [0, π]. Where Φ is 0 or π only φ1 ± φ2 is determined; φ2 is 0 then.
pub fn euler_angles(g: &Matrix) -> [f64; 3] {
    // From the sine, too: the cosine alone loses half of the digits near 0.
    let phi = g[0][2].hypot(g[1][2]).atan2(g[2][2]);
    let turn = |angle: f64| angle.rem_euclid(TAU) % TAU;
    if phi.sin().abs() < 1e-12 {
        return [turn(g[0][1].atan2(g[0][0])), phi, 0.0];
    }
    [turn(g[2][0].atan2(-g[2][1])), phi, turn(g[0][2].atan2(g[1][2]))]
}

/// The product of a matrix and a vector.
pub fn rotate(m: &Matrix, v: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// The product of two matrices.
pub fn product(a: &Matrix, b: &Matrix) -> Matrix {
    a.map(|row| [0, 1, 2].map(|j| (0..3).map(|k| row[k] * b[k][j]).sum()))
}

/// The matrix of the rotation by `angle` about the axis `n` of any length, right-handed (Rodrigues' formula).
pub fn rotation(n: [f64; 3], angle: f64) -> Matrix {
    let length = n.iter().map(|v| v * v).sum::<f64>().sqrt();
    let [x, y, z] = n.map(|v| v / length);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ]
}

/// The angle between two orientations of one crystal, in radians: the smallest over its symmetry.
pub fn misorientation(a: &Matrix, b: &Matrix, laue: Laue, setting: Setting) -> f64 {
    let transposed = [0, 1, 2].map(|i| [0, 1, 2].map(|j| b[j][i]));
    let difference = product(a, &transposed);
    let trace = |op: &Matrix| {
        (0..3)
            .map(|i| (0..3).map(|k| op[i][k] * difference[k][i]).sum::<f64>())
            .sum::<f64>()
    };
    let largest = laue.rotations(setting).iter().map(trace).fold(-1.0, f64::max);
    ((largest - 1.0) / 2.0).clamp(-1.0, 1.0).acos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn angles_and_matrices_go_round() {
        for i in 0..500 {
            let t = |k: f64| (i as f64 * k).sin().abs();
            let e = [t(0.7) * TAU, t(1.3) * PI, t(2.1) * TAU];
            let g = crystal_from_sample(e);
            let back = euler_angles(&g);
            for k in 0..3 {
                assert!((back[k] - e[k]).abs() < 1e-9, "{e:?} {back:?}");
            }
            // A rotation: rows of length 1, determinant 1.
            let x = [1, 2].map(|i| g[i]);
            let cross = [
                x[0][1] * x[1][2] - x[0][2] * x[1][1],
                x[0][2] * x[1][0] - x[0][0] * x[1][2],
                x[0][0] * x[1][1] - x[0][1] * x[1][0],
            ];
            assert!((0..3).all(|k| (cross[k] - g[0][k]).abs() < 1e-14));
        }
        for e in [[0.3, 0.0, 0.4], [0.3, PI, 0.4]] {
            let g = crystal_from_sample(e);
            let again = crystal_from_sample(euler_angles(&g));
            assert!((0..9).all(|i| (again[i / 3][i % 3] - g[i / 3][i % 3]).abs() < 1e-14));
        }
    }

    #[test]
    fn known_orientations() {
        // φ1 turns the sample about its normal: the sample's x is seen at −φ1 in the crystal.
        let g = crystal_from_sample([30f64.to_radians(), 0.0, 0.0]);
        let x = rotate(&g, [1.0, 0.0, 0.0]);
        assert!((x[0] - 30f64.to_radians().cos()).abs() < 1e-15 && (x[1] + 0.5).abs() < 1e-15);
        let g = crystal_from_sample([0.0, 45f64.to_radians(), 0.0]);
        let z = rotate(&g, [0.0, 0.0, 1.0]);
        assert!((z[1] - z[2]).abs() < 1e-15 && z[0] == 0.0);
        let r = rotation([0.0, 0.0, 2.0], PI / 2.0);
        assert!((rotate(&r, [1.0, 0.0, 0.0])[1] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn misorientations_of_cubic_crystals() {
        let a = crystal_from_sample([0.1, 0.2, 0.3]);
        for op in Laue::Cubic.rotations(Setting::AlongA) {
            assert!(misorientation(&product(&op, &a), &a, Laue::Cubic, Setting::AlongA) < 1e-7);
        }
        // The twin of fcc metals: 60° about 111, and 45° about 100 is the most that cubic axes allow there.
        let twin = product(&rotation([1.0, 1.0, 1.0], 60f64.to_radians()), &a);
        let angle = misorientation(&twin, &a, Laue::Cubic, Setting::AlongA).to_degrees();
        assert!((angle - 60.0).abs() < 1e-9);
        let turned = product(&rotation([1.0, 0.0, 0.0], 50f64.to_radians()), &a);
        let angle = misorientation(&turned, &a, Laue::Cubic, Setting::AlongA).to_degrees();
        assert!((angle - 40.0).abs() < 1e-9);
    }
}
