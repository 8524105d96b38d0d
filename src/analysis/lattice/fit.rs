//! Weighted least squares of zero, a and b to positions with known indices.
//!
//! Minimises Σ w |zero + i·a + j·b − p|². The axes separate: for each of y and x the unknowns (zero, a, b) have the same
//! 3 × 3 normal matrix. It is solved about the weighted mean of the indices, where it splits into 1 × 1 and 2 × 2:
//!
//! ```text
//! W = Σ w,  ī = Σ w i/W,  j̄ = Σ w j/W,  p̄ = Σ w p/W,  q = (i − ī, j − j̄)
//! M = Σ w qᵀq,  (a, b) = M⁻¹ Σ w qᵀ(p − p̄),  zero = p̄ − ī a − j̄ b
//! ```
//!
//! Standard errors per axis: s² = Σ w r²/(n − 3), r the residual; variances of (a, b) = s² M⁻¹, of zero = s² (1/W + (ī,
//! j̄) M⁻¹ (ī, j̄)ᵀ). They claim 68 % for spots whose position has variance s²/w; with few spots (n − 3 below ten)
//! Student's t says less.

use super::{Lattice, Vector};
use serde::{Deserialize, Serialize};

/// One standard deviation of each component (y, x), in px.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StandardErrors {
    /// Of zero.
    pub zero: Vector,
    /// Of a.
    pub a: Vector,
    /// Of b.
    pub b: Vector,
}

/// A fitted lattice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The lattice.
    pub lattice: Lattice,
    /// Weighted mean distance Σ w d/Σ w between the positions and the lattice, in px.
    pub error: f64,
    /// Number of positions used.
    pub matched: usize,
    /// Standard errors; `None` with three positions, which leave no residual.
    pub errors: Option<StandardErrors>,
}

/// A position with its indices and weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Measured position.
    pub position: Vector,
    /// Lattice indices (h, k).
    pub index: [i32; 2],
    /// Weight, not negative.
    pub weight: f64,
}

/// What a fit is made of: the solved lattice and the inverse of its normal matrix.
struct Solution {
    lattice: Lattice,
    total: f64,
    mean: [f64; 2],
    inverse: [f64; 3],
}

fn solve(spots: impl Iterator<Item = Spot> + Clone) -> Option<Solution> {
    let (mut total, mut mean, mut centre) = (0.0, [0.0; 2], [0.0; 2]);
    for s in spots.clone() {
        total += s.weight;
        for axis in 0..2 {
            mean[axis] += s.weight * f64::from(s.index[axis]);
            centre[axis] += s.weight * s.position[axis];
        }
    }
    if !(total > 0.0 && total.is_finite()) {
        return None;
    }
    for axis in 0..2 {
        mean[axis] /= total;
        centre[axis] /= total;
    }
    // Normal matrix [[ii, ij], [ij, jj]] and right-hand sides about the means.
    let (mut ii, mut ij, mut jj) = (0.0, 0.0, 0.0);
    let (mut ip, mut jp) = ([0.0; 2], [0.0; 2]);
    for s in spots {
        let (i, j) = (f64::from(s.index[0]) - mean[0], f64::from(s.index[1]) - mean[1]);
        ii += s.weight * i * i;
        ij += s.weight * i * j;
        jj += s.weight * j * j;
        for axis in 0..2 {
            let p = s.weight * (s.position[axis] - centre[axis]);
            ip[axis] += i * p;
            jp[axis] += j * p;
        }
    }
    // Indices are integers, so a determinant this small next to its terms means that all of them lie on a line.
    let determinant = ii * jj - ij * ij;
    if !(determinant > 1e-10 * ii * jj && determinant.is_finite()) {
        return None;
    }
    let inverse = [jj / determinant, -ij / determinant, ii / determinant];
    let a = [0, 1].map(|x| inverse[0] * ip[x] + inverse[1] * jp[x]);
    let b = [0, 1].map(|x| inverse[1] * ip[x] + inverse[2] * jp[x]);
    let zero = [0, 1].map(|x| centre[x] - mean[0] * a[x] - mean[1] * b[x]);
    let lattice = Lattice { zero, a, b };
    lattice.is_finite().then_some(Solution {
        lattice,
        total,
        mean,
        inverse,
    })
}

/// The lattice alone, without residuals: `None` for fewer than three positions of positive weight that are not on a line of
/// indices, or for numbers that are not finite.
pub fn lattice(spots: impl Iterator<Item = Spot> + Clone) -> Option<Lattice> {
    solve(spots).map(|s| s.lattice)
}

/// Fits a lattice to `spots`; `None` as for [`lattice`]. Reads the iterator three times and allocates nothing. Spots of
/// weight 0 count neither in `matched` nor as degrees of freedom.
pub fn fit(spots: impl Iterator<Item = Spot> + Clone) -> Option<Fit> {
    let solution = solve(spots.clone())?;
    let l = solution.lattice;
    let (mut distance, mut squares, mut matched) = (0.0, [0.0; 2], 0_usize);
    for s in spots.filter(|s| s.weight != 0.0) {
        let p = l.position(f64::from(s.index[0]), f64::from(s.index[1]));
        let r = [p[0] - s.position[0], p[1] - s.position[1]];
        distance += s.weight * super::length(r);
        squares[0] += s.weight * r[0] * r[0];
        squares[1] += s.weight * r[1] * r[1];
        matched += 1;
    }
    let Solution {
        total,
        mean: [i, j],
        inverse: [pa, pab, pb],
        ..
    } = solution;
    let errors = (matched > 3).then(|| {
        let s = squares.map(|q| (q / (matched - 3) as f64).sqrt());
        let zero = (1.0 / total + i * i * pa + 2.0 * i * j * pab + j * j * pb).sqrt();
        StandardErrors {
            zero: s.map(|s| s * zero),
            a: s.map(|s| s * pa.sqrt()),
            b: s.map(|s| s * pb.sqrt()),
        }
    });
    Some(Fit {
        lattice: l,
        error: distance / total,
        matched,
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(l: &Lattice, indices: &[[i32; 2]]) -> Vec<Spot> {
        indices
            .iter()
            .enumerate()
            .map(|(n, &index)| Spot {
                position: l.position(index[0].into(), index[1].into()),
                index,
                weight: 0.5 + n as f64,
            })
            .collect()
    }

    const TRUE: Lattice = Lattice {
        zero: [70.2, 71.9],
        a: [3.5, 16.25],
        b: [-22.0, 5.125],
    };

    #[test]
    fn exact_positions_give_the_lattice() {
        let all = spots(&TRUE, &[[-2, 1], [0, 0], [3, 2], [1, -4], [4, 4]]);
        let f = fit(all.iter().copied()).unwrap();
        for (found, truth) in [(f.lattice.zero, TRUE.zero), (f.lattice.a, TRUE.a), (f.lattice.b, TRUE.b)] {
            assert!((found[0] - truth[0]).abs() < 1e-12 && (found[1] - truth[1]).abs() < 1e-12);
        }
        assert_eq!(f.matched, 5);
        assert!(f.error < 1e-12);
        let three = fit(all[..3].iter().copied()).unwrap();
        assert_eq!((three.matched, three.errors), (3, None));
    }

    #[test]
    fn indices_on_a_line_have_no_fit() {
        let lines: [&[[i32; 2]]; 4] = [
            &[[0, 0], [1, 2], [2, 4], [-3, -6]],
            &[[5, 1], [5, 1], [5, 1]],
            &[[0, 0], [0, 1], [0, 7]],
            &[],
        ];
        for line in lines {
            assert!(fit(spots(&TRUE, line).into_iter()).is_none());
        }
        let mut weightless = spots(&TRUE, &[[0, 0], [1, 0], [0, 1]]);
        weightless[2].weight = 0.0;
        assert!(fit(weightless.iter().copied()).is_none());
        let mut nan = spots(&TRUE, &[[0, 0], [1, 0], [0, 1]]);
        nan[1].position[0] = f64::NAN;
        assert!(fit(nan.into_iter()).is_none());
    }

    #[test]
    fn agrees_with_the_full_normal_equations() {
        // Positions off the lattice; oracle: 3 × 3 normal equations by Cramer's rule.
        let mut s = spots(&TRUE, &[[0, 0], [1, 0], [0, 1], [-2, 1], [3, -3], [2, 2]]);
        for (n, p) in s.iter_mut().enumerate() {
            p.position[0] += 0.1 * ((n * 7 % 5) as f64 - 2.0);
            p.position[1] += 0.1 * ((n * 3 % 7) as f64 - 3.0);
        }
        let f = fit(s.iter().copied()).unwrap();
        let row = |p: &Spot| [1.0, f64::from(p.index[0]), f64::from(p.index[1])];
        let mut m = [[0.0; 3]; 3];
        for p in &s {
            for (y, line) in m.iter_mut().enumerate() {
                for (x, v) in line.iter_mut().enumerate() {
                    *v += p.weight * row(p)[y] * row(p)[x];
                }
            }
        }
        let det = |m: &[[f64; 3]; 3]| {
            m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
                + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
        };
        let errors = f.errors.unwrap();
        for axis in 0..2 {
            let mut rhs = [0.0; 3];
            for p in &s {
                for (k, v) in rhs.iter_mut().enumerate() {
                    *v += p.weight * row(p)[k] * p.position[axis];
                }
            }
            let solution: Vec<f64> = (0..3)
                .map(|k| {
                    let mut c = m;
                    for y in 0..3 {
                        c[y][k] = rhs[y];
                    }
                    det(&c) / det(&m)
                })
                .collect();
            let found = [f.lattice.zero[axis], f.lattice.a[axis], f.lattice.b[axis]];
            let variance: f64 = s
                .iter()
                .map(|p| p.weight * (p.position[axis] - row(p).iter().zip(&solution).map(|(r, s)| r * s).sum::<f64>()).powi(2))
                .sum::<f64>()
                / 3.0;
            let claimed = [errors.zero[axis], errors.a[axis], errors.b[axis]];
            for k in 0..3 {
                assert!((found[k] - solution[k]).abs() < 1e-10);
                // Diagonal of the inverse: cofactor over determinant.
                let (p, q) = ((k + 1) % 3, (k + 2) % 3);
                let cofactor = m[p][p] * m[q][q] - m[p][q] * m[q][p];
                assert!((claimed[k] - (variance * cofactor / det(&m)).sqrt()).abs() < 1e-10);
            }
        }
    }
}
