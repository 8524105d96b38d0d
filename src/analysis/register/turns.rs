//! Rotations and mirror images of windows that make them alike.

use super::Lattice;
use ndarray::Array1;
use rayon::prelude::*;

/// Rounds at most.
const ROUNDS: usize = 20;

/// A matrix that maps offsets (y, x) from the centre of a window to those at which the window is read.
pub type Turn = [[f64; 2]; 2];

/// Leaves a window as it is.
pub const IDENTITY: Turn = [[1.0, 0.0], [0.0, 1.0]];

/// All rotations that leave the lattice as it is (quarter turns without one), and with `mirror` those after a reflection about a lattice row. The first is the identity.
pub fn group(lattice: Option<&Lattice>, mirror: bool) -> Vec<Turn> {
    let fold = lattice.map_or(4, Lattice::fold);
    let axis = lattice.map_or(0.0, |l| {
        let [a, _] = l.reduced();
        a[1].atan2(a[0])
    });
    let rotation = |angle: f64| {
        let (s, c) = angle.sin_cos();
        [[c, -s], [s, c]]
    };
    let rotations = (0..fold).map(|k| rotation(std::f64::consts::TAU * k as f64 / fold as f64));
    // Reflection about a line at `axis`, then the rotation: again a reflection about a line, turned by half of it.
    let reflection = |r: Turn| {
        let (s, c) = (2.0 * axis).sin_cos();
        let m = [[c, s], [s, -c]];
        [0, 1].map(|i| [0, 1].map(|j| r[i][0] * m[0][j] + r[i][1] * m[1][j]))
    };
    let rotations: Vec<Turn> = rotations.collect();
    let mirrored: Vec<Turn> = rotations.iter().filter(|_| mirror).map(|&r| reflection(r)).collect();
    rotations.into_iter().chain(mirrored).collect()
}

/// Which of `turns` images each of `count` windows is turned by, so that all resemble their mean best. `pixels` gives the pixels of window i under turn k,
/// always as many.
///
/// Starts from the window that differs most from the mean over all turns; then every window takes the turn whose scalar product with the mean of the turned windows (less that over all
/// turns) is largest, ties by number, until none changes.
pub fn choose(count: usize, turns: usize, pixels: impl Fn(usize, usize) -> Array1<f64> + Sync) -> Vec<usize> {
    if count == 0 || turns < 2 {
        return vec![0; count];
    }
    let sum = |of: &[Array1<f64>]| of.iter().fold(Array1::zeros(of[0].len()), |sum: Array1<f64>, v| sum + v);
    let blocks = |of: &(dyn Fn(usize) -> Array1<f64> + Sync)| -> Array1<f64> {
        let all: Vec<usize> = (0..count).collect();
        let parts: Vec<Array1<f64>> = all
            .par_chunks(64)
            .map(|part| {
                part.iter()
                    .map(|&i| of(i))
                    .fold(Array1::zeros(of(part[0]).len()), |s: Array1<f64>, v| s + v)
            })
            .collect();
        sum(&parts) / count as f64
    };
    let common = blocks(&|i| (0..turns).map(|k| pixels(i, k)).fold(pixels(i, 0) * 0.0, |s, v| s + v) / turns as f64);
    let away: Vec<f64> = (0..count)
        .into_par_iter()
        .map(|i| (pixels(i, 0) - &common).mapv(|v| v * v).sum())
        .collect();
    let start = (0..count).fold(0, |best, i| if away[i] > away[best] { i } else { best });
    let mut target = pixels(start, 0) - &common;
    let mut chosen = vec![usize::MAX; count];
    for _ in 0..ROUNDS {
        let now: Vec<usize> = (0..count)
            .into_par_iter()
            .map(|i| {
                let value = |k: usize| (pixels(i, k) - &common).dot(&target);
                let products: Vec<f64> = (0..turns).map(value).collect();
                (0..turns).fold(0, |best, k| if products[k] > products[best] { k } else { best })
            })
            .collect();
        if now == chosen {
            break;
        }
        chosen = now;
        target = blocks(&|i| pixels(i, chosen[i])) - &common;
    }
    chosen
}
