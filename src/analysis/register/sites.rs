//! Where within a lattice's cell defects occur.

use super::Lattice;

/// Points that densities are taken of, at most, evenly chosen.
const MOST: usize = 3000;
/// Width of the kernel and reach of a site, in units of the shortest lattice vector.
const WIDTH: f64 = 0.067;
const REACH: f64 = 0.23;
/// Share of all points that makes a site, and their least number.
const SHARE: f64 = 0.02;
const LEAST: usize = 3;

/// Sites (u, v) in units of the lattice vectors, by how many of the `places` (u, v) gather there, most first: maxima of their density (mean shift with a Gaussian kernel: D. Comaniciu, P.
/// Meer, *IEEE Trans. PAMI* 24 (2002) 603).
pub fn find(places: &[[f64; 2]], lattice: &Lattice) -> Vec<[f64; 2]> {
    let places: Vec<[f64; 2]> = places.iter().step_by(places.len().div_ceil(MOST).max(1)).copied().collect();
    let spacing = lattice.spacing();
    let (width, reach) = (WIDTH * spacing, REACH * spacing);
    let between = |a: [f64; 2], b: [f64; 2]| {
        let d = lattice.shortest([a[0] - b[0], a[1] - b[1]]);
        d[0].hypot(d[1])
    };
    let weight = |d: f64| (-0.5 * (d / width).powi(2)).exp();
    let density: Vec<f64> = places
        .iter()
        .map(|&p| places.iter().map(|&q| weight(between(p, q))).sum())
        .collect();
    let mut free = vec![true; places.len()];
    let mut sites = Vec::new();
    let least = ((SHARE * places.len() as f64).ceil() as usize)
        .max(LEAST.min(places.len()))
        .max(1);
    loop {
        let dense = (0..places.len())
            .filter(|&i| free[i])
            .max_by(|&a, &b| density[a].total_cmp(&density[b]).then(b.cmp(&a)));
        let Some(start) = dense else { break };
        let mut at = places[start];
        for _ in 0..30 {
            let (mut sum, mut whole) = ([0.0; 2], 0.0);
            for p in &places {
                // Differences within half a cell, in units of the vectors.
                let d = [0, 1].map(|k| p[k] - at[k] - (p[k] - at[k]).round());
                let w = weight(between(*p, at));
                sum = [sum[0] + w * d[0], sum[1] + w * d[1]];
                whole += w;
            }
            let step = sum.map(|s| s / whole.max(f64::MIN_POSITIVE));
            at = [0, 1].map(|k| (at[k] + step[k]).rem_euclid(1.0));
            if step[0].abs().max(step[1].abs()) < 1e-6 {
                break;
            }
        }
        let near: Vec<usize> = (0..places.len())
            .filter(|&i| free[i] && (i == start || between(places[i], at) <= reach))
            .collect();
        near.iter().for_each(|&i| free[i] = false);
        let apart = sites.iter().all(|&(s, _)| between(s, at) > reach);
        if near.len() >= least && apart {
            sites.push((at, near.len()));
        }
    }
    sites.sort_by_key(|s| std::cmp::Reverse(s.1));
    sites.into_iter().map(|s| s.0).collect()
}

/// The site nearest to a place (u, v), and the displacement (y, x) in pixels from it to the place.
pub fn nearest(place: [f64; 2], sites: &[[f64; 2]], lattice: &Lattice) -> Option<(usize, [f64; 2])> {
    let away = |s: &[f64; 2]| lattice.shortest([place[0] - s[0], place[1] - s[1]]);
    sites
        .iter()
        .map(away)
        .enumerate()
        .min_by(|a, b| a.1[0].hypot(a.1[1]).total_cmp(&b.1[0].hypot(b.1[1])))
}
