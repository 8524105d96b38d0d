//! Normal equations of the joint fit: each spot's own numbers eliminated, the common ones solved by Cholesky's decomposition.

use super::cpu::{PixelOf, Spot};
use super::{Lattice, Shape};

/// Common unknowns: zero, a, b in (y, x), radius, edge.
pub(super) const GLOBALS: usize = 8;
/// What one spot sees of them: its position (y, x), radius, edge.
const SEEN: usize = 4;

/// Score and Fisher information of the common unknowns.
pub(super) struct Normal {
    unknowns: usize,
    matrix: [[f64; GLOBALS]; GLOBALS],
    vector: [f64; GLOBALS],
    /// Pearson's χ² of the model that the equations were made for.
    pub chi2: f64,
}

/// A spot's own equations, for the change of amplitude and background that belongs to a change of the common unknowns.
pub(super) struct Local {
    inverse: [[f64; 2]; 2],
    mixed: [[f64; SEEN]; 2],
    score: [f64; 2],
}

/// The common unknowns that spot parameter `p` depends on, with their factors.
fn depends(p: usize, [h, k]: [i32; 2]) -> [(usize, f64); 3] {
    match p {
        0 | 1 => [(p, 1.0), (2 + p, f64::from(h)), (4 + p, f64::from(k))],
        // Radius and edge stand alone.
        _ => [(4 + p, 1.0), (4 + p, 0.0), (4 + p, 0.0)],
    }
}

impl Local {
    /// Change of amplitude and background.
    pub(super) fn change(&self, index: [i32; 2], step: &[f64; GLOBALS]) -> [f64; 2] {
        let mut rest = self.score;
        for p in 0..SEEN {
            let seen: f64 = depends(p, index).iter().map(|&(g, f)| f * step[g]).sum();
            for (r, m) in rest.iter_mut().zip(&self.mixed) {
                *r -= m[p] * seen;
            }
        }
        self.inverse.map(|row| row[0] * rest[0] + row[1] * rest[1])
    }
}

impl Normal {
    /// Empty equations; 6 unknowns keep the shape.
    pub(super) fn new(unknowns: usize) -> Self {
        Normal {
            unknowns,
            matrix: [[0.0; GLOBALS]; GLOBALS],
            vector: [0.0; GLOBALS],
            chi2: 0.0,
        }
    }

    /// Equations for the lattice with a Fisher matrix that is known; for its inverse.
    pub(super) fn of(matrix: impl Fn(usize, usize) -> f64) -> Self {
        let mut normal = Normal::new(6);
        for i in 0..6 {
            for j in 0..6 {
                normal.matrix[i][j] = matrix(i, j);
            }
        }
        normal
    }

    /// Adds a spot.
    pub(super) fn add(&mut self, spot: &Spot, pixels: &[PixelOf], lattice: &Lattice, shape: &Shape, floor: f64) -> Local {
        let p = lattice.spot(spot.index);
        let centre = [p[0] - spot.base[0], p[1] - spot.base[1]];
        let seen = if self.unknowns == GLOBALS { SEEN } else { 2 };
        let (amplitude, background) = (spot.amplitude, spot.background);
        let mut own = [[0.0; 2]; 2];
        let mut mixed = [[0.0; SEEN]; 2];
        let mut common = [[0.0; SEEN]; SEEN];
        let (mut score, mut common_score) = ([0.0; 2], [0.0; SEEN]);
        // What is not on the disk sees the background alone: sums are enough.
        let (mut n, mut sum, mut squares) = (pixels.len() as f64, spot.sum, spot.squares);
        let reach = shape.reach();
        for pixel in pixels {
            let (dy, dx) = (f64::from(pixel.y) - centre[0], f64::from(pixel.x) - centre[1]);
            let d = dy * dy + dx * dx;
            if d >= reach * reach {
                continue;
            }
            n -= 1.0;
            sum -= pixel.value;
            squares -= pixel.value * pixel.value;
            let d = d.sqrt();
            let [s, by_radius, by_edge] = shape.profile(d);
            let expected = (background + amplitude * s).max(floor);
            let weight = 1.0 / expected;
            let rest = pixel.value - expected;
            self.chi2 += rest * rest * weight;
            let rest = rest * weight;
            score[0] += s * rest;
            score[1] += rest;
            own[0][0] += s * s * weight;
            own[0][1] += s * weight;
            own[1][1] += weight;
            if by_radius > 0.0 && d > 0.0 {
                let slope = amplitude * by_radius;
                let g = [slope * dy / d, slope * dx / d, slope, amplitude * by_edge];
                for i in 0..seen {
                    common_score[i] += g[i] * rest;
                    mixed[0][i] += s * g[i] * weight;
                    mixed[1][i] += g[i] * weight;
                    for j in i..seen {
                        common[i][j] += g[i] * g[j] * weight;
                    }
                }
            }
        }
        score[1] += sum / background - n;
        own[1][1] += n / background;
        self.chi2 += (squares - 2.0 * background * sum + n * background * background) / background;
        // Inverse of the spot's own 2 × 2 block, kept away from singular (a window that is all disk).
        own[0][0] += 1e-12 / floor;
        own[1][1] += 1e-12 / floor;
        let determinant = own[0][0] * own[1][1] - own[0][1] * own[0][1];
        let inverse = if determinant > 0.0 {
            [
                [own[1][1] / determinant, -own[0][1] / determinant],
                [-own[0][1] / determinant, own[0][0] / determinant],
            ]
        } else {
            [[0.0; 2]; 2]
        };
        let local = Local { inverse, mixed, score };
        let solved: [[f64; SEEN]; 2] = inverse.map(|r| std::array::from_fn(|j| r[0] * mixed[0][j] + r[1] * mixed[1][j]));
        for i in 0..seen {
            let value = common_score[i] - solved[0][i] * score[0] - solved[1][i] * score[1];
            for (g, f) in depends(i, spot.index) {
                self.vector[g] += f * value;
            }
            for j in i..seen {
                let value = common[i][j] - mixed[0][i] * solved[0][j] - mixed[1][i] * solved[1][j];
                for (g, f) in depends(i, spot.index) {
                    for (q, e) in depends(j, spot.index) {
                        self.matrix[g][q] += f * e * value;
                        if i != j {
                            self.matrix[q][g] += f * e * value;
                        }
                    }
                }
            }
        }
        local
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
