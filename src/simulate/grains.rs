//! Where the grains are and what lattices they have.

use super::field::Field;
use super::polycrystal::{Grain, Grains, Polycrystal};
use super::purpose;
use crate::rng::{Sequence, Source, math};

/// One grain, ready to be evaluated.
pub(super) struct Crystal {
    /// Seed point in scan positions.
    pub seed: [f64; 2],
    /// Unstrained lattice vectors (y, x) in pixels.
    pub a: [f64; 2],
    pub b: [f64; 2],
    pub superlattice: f64,
    /// Number of the set of spot intensities.
    pub spots: u32,
    /// Strain components E\[0\]\[0\], E\[0\]\[1\], E\[1\]\[0\], E\[1\]\[1\] in units of the largest.
    pub strain: [Field; 4],
    boundary: Field,
}

/// All grains: a Voronoi pattern whose distances are disturbed, so that boundaries are not straight.
pub(super) struct Texture {
    pub crystals: Vec<Crystal>,
    /// Typical grain diameter in scan positions.
    pub diameter: f64,
    disturbance: f64,
    cells: [usize; 2],
    cell: f64,
    /// Grains that may own a position of each cell.
    candidates: Vec<Vec<u32>>,
}

impl Texture {
    /// Grains for resolved parameters.
    pub fn new(p: &Polycrystal) -> Self {
        let nav = p.nav.map(|n| n as f64);
        let list = match &p.grains {
            Some(Grains::List(list)) => list.clone(),
            Some(Grains::Count(n)) => random_grains(p, *n),
            None => random_grains(p, 3),
        };
        let diameter = (nav[0] * nav[1] / list.len() as f64).sqrt();
        let (boundary, strain) = (Source::new(p.seed, purpose::BOUNDARIES), Source::new(p.seed, purpose::STRAIN));
        let crystals: Vec<Crystal> = list
            .iter()
            .enumerate()
            .map(|(i, g)| {
                let mut random = strain.sequence(i as u64);
                Crystal {
                    seed: [g.at[0] * nav[0], g.at[1] * nav[1]],
                    a: polar(g.a, g.rotation),
                    b: polar(g.b, g.rotation + g.gamma),
                    superlattice: g.superlattice,
                    spots: g.spots.unwrap_or(i as u32),
                    strain: std::array::from_fn(|_| Field::new(&mut random, 0.5 * diameter)),
                    boundary: Field::new(&mut boundary.sequence(i as u64), 0.17 * diameter),
                }
            })
            .collect();
        let mut texture = Texture {
            crystals,
            diameter,
            disturbance: 0.14 * diameter,
            cells: [0; 2],
            cell: diameter.max(1.0),
            candidates: Vec::new(),
        };
        texture.cells = nav.map(|n| (n / texture.cell).ceil() as usize);
        texture.candidates = texture.find_candidates();
        texture
    }

    /// Number of the grain at scan position (y, x).
    pub fn grain(&self, y: f64, x: f64) -> usize {
        let index = |v: f64, n: usize| ((v / self.cell) as usize).min(n - 1);
        let near = &self.candidates[index(y, self.cells[0]) * self.cells[1] + index(x, self.cells[1])];
        let mut best = (f64::INFINITY, 0);
        for &k in near {
            let c = &self.crystals[k as usize];
            let d = distance(c.seed, [y, x]) + self.disturbance * c.boundary.at(y, x);
            if d < best.0 {
                best = (d, k as usize);
            }
        }
        best.1
    }

    /// For each cell the grains whose disturbed distance can be the smallest somewhere in it, in ascending order.
    fn find_candidates(&self) -> Vec<Vec<u32>> {
        let half = self.cell * std::f64::consts::FRAC_1_SQRT_2;
        let mut out = Vec::with_capacity(self.cells[0] * self.cells[1]);
        for (i, j) in (0..self.cells[0]).flat_map(|i| (0..self.cells[1]).map(move |j| (i, j))) {
            let centre = [(i as f64 + 0.5) * self.cell, (j as f64 + 0.5) * self.cell];
            let nearest = self
                .crystals
                .iter()
                .map(|c| distance(c.seed, centre))
                .fold(f64::INFINITY, f64::min);
            let limit = nearest + 2.0 * half + 2.0 * self.disturbance;
            let near = self
                .crystals
                .iter()
                .enumerate()
                .filter(|(_, c)| distance(c.seed, centre) <= limit);
            out.push(near.map(|(k, _)| k as u32).collect());
        }
        out
    }
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt()
}

/// The vector (y, x) of a length and an angle in degrees from +x towards +y.
fn polar(length: f64, degrees: f64) -> [f64; 2] {
    let (s, c) = math::sin_cos_turns(degrees / 360.0);
    [length * s, length * c]
}

/// `n` grains of comparable size, neighbours with clearly different lattices.
fn random_grains(p: &Polycrystal, n: usize) -> Vec<Grain> {
    let nav = p.nav.map(|n| n as f64);
    let mut places = Source::new(p.seed, purpose::PLACES).sequence(0);
    // Best candidate: of some random places, the one farthest from all seeds so far. Fewer tries for very many grains.
    let tries = (400_000_000 / (n * n)).clamp(4, 40);
    let mut at: Vec<[f64; 2]> = Vec::with_capacity(n);
    for _ in 0..n {
        let mut best = (-1.0, [0.5; 2]);
        for _ in 0..tries {
            let c = [places.unit(), places.unit()];
            let scaled = [c[0] * nav[0], c[1] * nav[1]];
            let d = at
                .iter()
                .map(|s| distance([s[0] * nav[0], s[1] * nav[1]], scaled))
                .fold(f64::INFINITY, f64::min);
            if d > best.0 {
                best = (d, c);
            }
        }
        at.push(best.1);
    }
    let reach = 2.5 * (nav[0] * nav[1] / n as f64).sqrt();
    let mut random = Source::new(p.seed, purpose::LATTICES).sequence(0);
    let mut grains: Vec<Grain> = Vec::with_capacity(n);
    for &place in &at {
        let scaled = |g: [f64; 2]| [g[0] * nav[0], g[1] * nav[1]];
        let near: Vec<[[f64; 2]; 2]> = grains
            .iter()
            .filter(|g| distance(scaled(g.at), scaled(place)) < reach)
            .map(|g| [polar(g.a, g.rotation), polar(g.b, g.rotation + g.gamma)])
            .collect();
        let mut best: Option<(f64, Grain)> = None;
        for _ in 0..24 {
            let g = random_grain(&mut random, p, place);
            let own = [polar(g.a, g.rotation), polar(g.b, g.rotation + g.gamma)];
            let unlike = near
                .iter()
                .map(|l| difference(own, *l).min(difference(*l, own)))
                .fold(f64::INFINITY, f64::min);
            if best.as_ref().is_none_or(|(d, _)| unlike > *d) {
                best = Some((unlike, g));
            }
        }
        let superlattice = if random.unit() < p.superlattice_fraction {
            random.range(0.1, 0.2)
        } else {
            0.0
        };
        grains.extend(best.map(|(_, g)| Grain { superlattice, ..g }));
    }
    grains
}

fn random_grain(random: &mut Sequence, p: &Polycrystal, at: [f64; 2]) -> Grain {
    let [short, long] = p.spacing.unwrap_or([15.0, 22.0]);
    let a = random.range(short, long);
    let (b, gamma) = match random.below(4) {
        0 => (a, 90.0),
        1 => (a, 60.0),
        2 => (random.range(short, long), 90.0),
        _ => (random.range(short, long), random.range(72.0, 108.0)),
    };
    Grain {
        at,
        a,
        b,
        rotation: random.range(0.0, 180.0),
        gamma,
        superlattice: 0.0,
        spots: None,
    }
}

/// How far the short vectors of one lattice are from the points of another, on average, as a fraction of its shortest vector.
fn difference(one: [[f64; 2]; 2], other: [[f64; 2]; 2]) -> f64 {
    let [a, b] = other;
    let det = a[0] * b[1] - a[1] * b[0];
    let shortest = distance(a, [0.0; 2]).min(distance(b, [0.0; 2]));
    let [c, d] = one;
    let total: f64 = [c, d, [c[0] + d[0], c[1] + d[1]], [c[0] - d[0], c[1] - d[1]]]
        .iter()
        .map(|v| {
            let u = (v[0] * b[1] - v[1] * b[0]) / det;
            let w = (a[0] * v[1] - a[1] * v[0]) / det;
            let (u, w) = (u - u.round(), w - w.round());
            distance([u * a[0] + w * b[0], u * a[1] + w * b[1]], [0.0; 2])
        })
        .sum();
    total / 4.0 / shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_every_possible_owner() {
        let p = Polycrystal {
            nav: [61, 83],
            grains: Some(Grains::Count(40)),
            ..Default::default()
        }
        .resolved()
        .unwrap();
        let t = Texture::new(&p);
        let mut seen = vec![0; 40];
        for y in 0..61 {
            for x in 0..83 {
                let at = [y as f64, x as f64];
                let all = |c: &Crystal| distance(c.seed, at) + t.disturbance * c.boundary.at(at[0], at[1]);
                let want = (0..40)
                    .min_by(|&i, &j| all(&t.crystals[i]).total_cmp(&all(&t.crystals[j])))
                    .unwrap();
                assert_eq!(t.grain(at[0], at[1]), want);
                seen[want] += 1;
            }
        }
        assert!(seen.iter().all(|&n| n > 20), "{seen:?}");
    }

    #[test]
    fn lattices_of_neighbours_differ() {
        let p = Polycrystal {
            nav: [100, 100],
            grains: Some(Grains::Count(30)),
            ..Default::default()
        }
        .resolved()
        .unwrap();
        let t = Texture::new(&p);
        for (i, g) in t.crystals.iter().enumerate() {
            for h in &t.crystals[..i] {
                if distance(g.seed, h.seed) < 2.0 * t.diameter {
                    assert!(difference([g.a, g.b], [h.a, h.b]) > 0.1);
                }
            }
        }
    }
}
