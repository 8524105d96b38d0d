//! Normal equations of the joint fit: each spot's own numbers eliminated, the common ones solved by Cholesky's decomposition.
//!
//! Spots come sixteen at a time, with their sums in lanes; from there on numbers are float64. Sums over spots run lane by lane first,
//! the lanes are added in order at the end.

use super::cpu::{MOST, of};
use crate::backend::cpu::lanes::{LANES, Lanes};

/// Common unknowns: zero, a, b in (y, x), radius, edge.
pub(super) const GLOBALS: usize = 8;
/// What a spot sees of them: its position (y, x), and radius and edge if these are fitted.
const SEEN: usize = 4;

/// Sixteen float64 numbers.
pub(super) type Wide = [f64; LANES];

/// Factors (1, h, k) with which zero, a and b move sixteen spots.
pub(super) type Factors = [Wide; 3];

/// Score and Fisher information of the common unknowns.
pub(super) struct Normal {
    seen: usize,
    /// Sums for each derivative p, factor and lane.
    score: [[Wide; 3]; SEEN],
    /// For each pair of derivatives, and each pair of factors.
    matrix: [[[Wide; 3]; 3]; SEEN * (SEEN + 1) / 2],
    chi2: Wide,
    scatter: Wide,
    scattered: Wide,
}

/// Equations that can be solved.
pub(super) struct Equations {
    unknowns: usize,
    matrix: [[f64; GLOBALS]; GLOBALS],
    vector: [f64; GLOBALS],
    /// Pearson's χ² of the model that the equations were made for.
    pub chi2: f64,
    /// Σ fᵀ J⁻¹ f over spots, f the spot's own score of its position and J its information, and twice the number of spots in it.
    pub scatter: [f64; 2],
}

/// Sixteen spots' own equations, for the change of amplitudes and backgrounds that belongs to a change of the common unknowns.
#[derive(Debug, Clone)]
pub(super) struct Local {
    inverse: [Wide; 3],
    mixed: [[Wide; 2]; SEEN],
    score: [Wide; 2],
}

impl Local {
    pub(super) const NONE: Local = Local {
        inverse: [[0.0; LANES]; 3],
        mixed: [[[0.0; LANES]; 2]; SEEN],
        score: [[0.0; LANES]; 2],
    };

    /// Change of amplitudes and backgrounds for a step.
    #[inline(always)]
    pub(super) fn change(&self, factors: &Factors, step: &[f64; GLOBALS], seen: usize) -> [Wide; 2] {
        let mut rest = self.score;
        for p in 0..seen {
            for l in 0..LANES {
                let moved = match p {
                    0 | 1 => step[p] + factors[1][l] * step[2 + p] + factors[2][l] * step[4 + p],
                    _ => step[4 + p],
                };
                rest[0][l] -= self.mixed[p][0][l] * moved;
                rest[1][l] -= self.mixed[p][1][l] * moved;
            }
        }
        let [aa, ab, bb] = &self.inverse;
        let mut out = [[0.0; LANES]; 2];
        for l in 0..LANES {
            out[0][l] = aa[l] * rest[0][l] + ab[l] * rest[1][l];
            out[1][l] = ab[l] * rest[0][l] + bb[l] * rest[1][l];
        }
        out
    }
}

/// The sum of products of sixteen numbers, added to `sum`.
#[inline(always)]
fn add(sum: &mut Wide, a: &Wide, b: &Wide) {
    for l in 0..LANES {
        sum[l] += a[l] * b[l];
    }
}

/// Of a symmetric matrix of order `n`, row by row from the diagonal on.
const fn pair(p: usize, q: usize, n: usize) -> usize {
    p * (2 * n - p - 1) / 2 + q
}

impl Normal {
    /// Empty equations for the lattice, and for the shape of the disks if `shape` says so.
    pub(super) fn new(shape: bool) -> Self {
        let nothing = [0.0; LANES];
        Normal {
            seen: if shape { SEEN } else { 2 },
            score: [[nothing; 3]; SEEN],
            matrix: [[[nothing; 3]; 3]; SEEN * (SEEN + 1) / 2],
            chi2: nothing,
            scatter: nothing,
            scattered: nothing,
        }
    }

    /// What a spot's position (y, x) sees: all factors; the shape is the same for all.
    fn factors_of(p: usize) -> usize {
        if p < 2 { 3 } else { 1 }
    }

    /// Adds sixteen spots; lanes without a spot have sums of zero. `floor` keeps blocks from being singular.
    #[inline(always)]
    pub(super) fn add(&mut self, sums: &[Lanes; MOST], factors: &Factors, floor: f64, local: &mut Local) {
        let seen = self.seen;
        let wide = |k: usize| -> Wide { std::array::from_fn(|l| f64::from(sums[k].0[l])) };
        let [own_ss, own_sb, own_bb] = [0, 1, 2].map(|k| wide(of::OWN + k));
        local.score = [wide(of::SCORE), wide(of::SCORE + 1)];
        for l in 0..LANES {
            self.chi2[l] += f64::from(sums[of::CHI2].0[l]);
            // Inverse of the spot's own 2 × 2 block, kept away from singular (a window that is all disk).
            let (ss, sb, bb) = (own_ss[l] + 1e-12 / floor, own_sb[l], own_bb[l] + 1e-12 / floor);
            let determinant = ss * bb - sb * sb;
            // Beyond what float32 sums can tell from zero there is no inverse.
            let scale = if determinant > 1e-6 * ss * bb {
                1.0 / determinant
            } else {
                0.0
            };
            local.inverse[0][l] = bb * scale;
            local.inverse[1][l] = -sb * scale;
            local.inverse[2][l] = ss * scale;
        }
        let mut solved = [[[0.0; LANES]; 2]; SEEN];
        let mut force = [[0.0; LANES]; SEEN];
        for p in 0..seen {
            let at = of::MIXED + 3 * p;
            let pull = wide(at);
            local.mixed[p] = [wide(at + 1), wide(at + 2)];
            let (m, inverse, score) = (&local.mixed[p], &local.inverse, &local.score);
            for l in 0..LANES {
                let first = inverse[0][l] * m[0][l] + inverse[1][l] * m[1][l];
                let second = inverse[1][l] * m[0][l] + inverse[2][l] * m[1][l];
                solved[p][0][l] = first;
                solved[p][1][l] = second;
                force[p][l] = pull[l] - first * score[0][l] - second * score[1][l];
            }
            for (i, sum) in self.score[p].iter_mut().enumerate().take(Self::factors_of(p)) {
                add(sum, &force[p], &factors[i]);
            }
        }
        let mut position = [[0.0; LANES]; 3];
        for p in 0..seen {
            for q in p..seen {
                let mut value = wide(of::common(seen) + pair(p, q, seen));
                for l in 0..LANES {
                    let m = &local.mixed[p];
                    value[l] -= m[0][l] * solved[q][0][l] + m[1][l] * solved[q][1][l];
                }
                if q < 2 {
                    position[p + q] = value;
                }
                let sums = &mut self.matrix[pair(p, q, seen)];
                for i in 0..Self::factors_of(p) {
                    let mut weighted = value;
                    for l in 0..LANES {
                        weighted[l] *= factors[i][l];
                    }
                    // The block of positions is symmetric in the factors.
                    let from = if q < 2 { i } else { 0 };
                    for j in from..Self::factors_of(q) {
                        add(&mut sums[i][j], &weighted, &factors[j]);
                    }
                }
            }
        }
        for l in 0..LANES {
            let [yy, yx, xx] = [position[0][l], position[1][l], position[2][l]];
            let [fy, fx] = [force[0][l], force[1][l]];
            let determinant = yy * xx - yx * yx;
            let is = determinant > 1e-4 * yy * xx;
            let scale = if is { 1.0 / determinant } else { 0.0 };
            self.scatter[l] += (fy * fy * xx - 2.0 * fy * fx * yx + fx * fx * yy) * scale;
            self.scattered[l] += if is { 2.0 } else { 0.0 };
        }
    }

    /// The common unknowns' numbers of derivative p: of each factor.
    fn unknown(p: usize, factor: usize) -> usize {
        if p < 2 { 2 * factor + p } else { 4 + p }
    }

    /// All lanes added up.
    pub(super) fn equations(&self) -> Equations {
        let seen = self.seen;
        let total = |lanes: &Wide| lanes.iter().sum::<f64>();
        let mut out = Equations {
            unknowns: if seen == SEEN { GLOBALS } else { 6 },
            matrix: [[0.0; GLOBALS]; GLOBALS],
            vector: [0.0; GLOBALS],
            chi2: total(&self.chi2),
            scatter: [total(&self.scatter), total(&self.scattered)],
        };
        for p in 0..seen {
            for i in 0..Self::factors_of(p) {
                out.vector[Self::unknown(p, i)] = total(&self.score[p][i]);
            }
            for q in p..seen {
                let sums = &self.matrix[pair(p, q, seen)];
                for i in 0..Self::factors_of(p) {
                    for j in 0..Self::factors_of(q) {
                        let (i0, j0) = if q < 2 { (i.min(j), i.max(j)) } else { (i, j) };
                        let value = total(&sums[i0][j0]);
                        let (row, column) = (Self::unknown(p, i), Self::unknown(q, j));
                        out.matrix[row][column] = value;
                        out.matrix[column][row] = value;
                    }
                }
            }
        }
        out
    }
}

impl Equations {
    /// Equations for the lattice with a Fisher matrix that is known; for its inverse.
    pub(super) fn of(matrix: impl Fn(usize, usize) -> f64) -> Self {
        let mut out = Equations {
            unknowns: 6,
            matrix: [[0.0; GLOBALS]; GLOBALS],
            vector: [0.0; GLOBALS],
            chi2: 0.0,
            scatter: [0.0; 2],
        };
        for i in 0..6 {
            for j in 0..6 {
                out.matrix[i][j] = matrix(i, j);
            }
        }
        out
    }

    /// Lower triangle of the Cholesky decomposition; `None` if the unknowns are not determined.
    fn decomposed(&self) -> Option<[[f64; GLOBALS]; GLOBALS]> {
        let mut l = [[0.0; GLOBALS]; GLOBALS];
        for i in 0..self.unknowns {
            for j in 0..=i {
                let rest = self.matrix[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
                if i == j {
                    let determined = rest > 1e-10 * self.matrix[i][i];
                    if !determined {
                        return None;
                    }
                    l[i][i] = rest.sqrt();
                } else {
                    l[i][j] = rest / l[j][j];
                }
            }
        }
        Some(l)
    }

    fn solved(&self, l: &[[f64; GLOBALS]; GLOBALS], right: &[f64; GLOBALS]) -> [f64; GLOBALS] {
        let mut x = *right;
        for i in 0..self.unknowns {
            x[i] = (x[i] - (0..i).map(|k| l[i][k] * x[k]).sum::<f64>()) / l[i][i];
        }
        for i in (0..self.unknowns).rev() {
            x[i] = (x[i] - (i + 1..self.unknowns).map(|k| l[k][i] * x[k]).sum::<f64>()) / l[i][i];
        }
        x
    }

    /// The step and its length in standard errors, √(step · score).
    pub(super) fn solve(&self) -> Option<([f64; GLOBALS], f64)> {
        let l = self.decomposed()?;
        let step = self.solved(&l, &self.vector);
        let length = step.iter().zip(&self.vector).map(|(s, v)| s * v).sum::<f64>().max(0.0).sqrt();
        Some((step, length))
    }

    /// Covariance of zero, a, b.
    pub(super) fn covariance(&self) -> Option<[[f64; 6]; 6]> {
        let l = self.decomposed()?;
        let column = |j: usize| self.solved(&l, &std::array::from_fn(|i| f64::from(u8::from(i == j))));
        let columns: [[f64; GLOBALS]; 6] = std::array::from_fn(column);
        Some(std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i])))
    }
}
