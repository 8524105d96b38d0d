//! Where the phases are: grains, their boundaries, the thickness; and what is known of all that.

use super::Phases;
use crate::error::Result;
use crate::rng::Source;
use crate::simulate::field::Field;
use crate::simulate::purpose;
use crate::simulate::truth::put;
use ndarray::{Array2, Array3};

/// Shares below this do not count.
const LEAST: f64 = 1e-3;
/// Disturbance of the distance to a grain's centre, and the length over which it varies, in diameters of a grain.
const DISTURBANCE: f64 = 0.16;
const VARIATION: f64 = 0.2;
/// Thinnest place over the mean.
const THINNEST: f64 = 0.4;

/// How much of a position belongs to a grain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub grain: usize,
    pub phase: usize,
    /// All shares of a position add up to 1.
    pub share: f64,
}

struct Grain {
    phase: usize,
    /// Centre in scan positions.
    at: [f64; 2],
    boundary: Field,
    /// Variation of the tilt (y, x) within the grain.
    tilt: [Field; 2],
}

/// The specimen of a simulated scan.
pub struct Specimen {
    parameters: Phases,
    grains: Vec<Grain>,
    thickness: Field,
    disturbance: f64,
}

impl Specimen {
    /// The specimen that `parameters` describe.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] as [`Phases::resolved`].
    pub fn new(parameters: &Phases) -> Result<Self> {
        let p = parameters.resolved()?;
        let (count, phases) = (p.grains.unwrap_or(1), p.phases.as_ref().map_or(1, Vec::len));
        let nav = p.nav.map(|n| n as f64);
        let diameter = (nav[0] * nav[1] / count as f64).sqrt();
        let mut places = Source::new(p.seed, purpose::PHASES).sequence(1);
        let details = Source::new(p.seed, purpose::PHASES);
        let mut grains: Vec<Grain> = Vec::with_capacity(count);
        // Best candidate: of some random places the one farthest from all centres so far.
        let tries = (4_000_000 / (count * count)).clamp(4, 40);
        for i in 0..count {
            let mut best = (-1.0, [0.0; 2]);
            for _ in 0..tries {
                let at = [places.range(0.0, nav[0]), places.range(0.0, nav[1])];
                let nearest = grains.iter().map(|g| distance(g.at, at)).fold(f64::INFINITY, f64::min);
                if nearest > best.0 {
                    best = (nearest, at);
                }
            }
            let mut random = details.sequence(2 + i as u64);
            let mut field = |sigma: f64| Field::new(&mut random, sigma);
            grains.push(Grain {
                phase: i % phases,
                at: best.1,
                boundary: field(VARIATION * diameter),
                tilt: [field(0.4 * diameter), field(0.4 * diameter)],
            });
        }
        let whole = (nav[0] * nav[1]).sqrt();
        Ok(Specimen {
            thickness: Field::new(&mut Source::new(p.seed, purpose::PHASES).sequence(1 << 40), 0.2 * whole),
            disturbance: DISTURBANCE * diameter,
            grains,
            parameters: p,
        })
    }

    /// The parameters with all defaults filled in.
    pub fn parameters(&self) -> &Phases {
        &self.parameters
    }

    pub(super) fn phases(&self) -> &[super::Phase] {
        self.parameters.phases.as_deref().unwrap_or(&[])
    }

    pub(super) fn position(&self, n: u64) -> [f64; 2] {
        let nx = self.parameters.nav[1] as u64;
        [(n / nx) as f64, (n % nx) as f64]
    }

    /// Grains at position `n` (row by row), the largest share first.
    ///
    /// Of two grains whose disturbed distances differ by d, the farther has e^(−4d/w) times the share of the nearer, w the width of
    /// the overlap: at a boundary both have a half, a w away all but 1/55 is one grain's.
    pub fn shares(&self, n: u64) -> Vec<Share> {
        let [y, x] = self.position(n);
        let disturbed = |g: &Grain| distance(g.at, [y, x]) + self.disturbance * g.boundary.at(y, x);
        let all: Vec<f64> = self.grains.iter().map(disturbed).collect();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        // Distances to two centres differ by twice the distance to the boundary between them.
        let scale = 2.0 / self.parameters.overlap.max(1e-9);
        let mut shares: Vec<Share> = all
            .iter()
            .enumerate()
            .map(|(grain, d)| Share {
                grain,
                phase: self.grains[grain].phase,
                share: crate::rng::math::exp((least - d).max(-600.0 / scale) * scale),
            })
            .filter(|s| s.share >= LEAST)
            .collect();
        let sum: f64 = shares.iter().map(|s| s.share).sum();
        shares.iter_mut().for_each(|s| s.share /= sum);
        shares.sort_by(|a, b| b.share.total_cmp(&a.share));
        shares
    }

    /// Share of each phase at position `n`.
    pub fn fractions(&self, n: u64) -> Vec<f64> {
        let mut all = vec![0.0; self.phases().len()];
        for s in self.shares(n) {
            all[s.phase] += s.share;
        }
        all
    }

    /// The phase of the largest share at position `n`, the first among equals.
    pub fn phase(&self, n: u64) -> usize {
        let all = self.fractions(n);
        (0..all.len()).fold(0, |best, k| if all[k] > all[best] { k } else { best })
    }

    /// Thickness at position `n` over its mean.
    pub fn thickness(&self, n: u64) -> f64 {
        let [y, x] = self.position(n);
        // A field has a root mean square of about 0.45.
        (1.0 + self.parameters.thickness_variation / 0.45 * self.thickness.at(y, x)).max(THINNEST)
    }

    /// Tilt (y, x) of a grain at position `n`.
    pub(super) fn tilt(&self, grain: usize, n: u64) -> [f64; 2] {
        let [y, x] = self.position(n);
        let g = &self.grains[grain];
        let spread = self.parameters.tilt_spread.unwrap_or(0.0) / 0.45;
        let mean = self.phases()[g.phase].tilt;
        [0, 1].map(|k| mean[k] + spread * g.tilt[k].at(y, x))
    }

    /// Phase of each position (ny, nx), −1 nowhere.
    pub fn labels(&self) -> Array2<i32> {
        let [ny, nx] = self.parameters.nav;
        Array2::from_shape_fn((ny, nx), |(y, x)| self.phase((y * nx + x) as u64) as i32)
    }

    pub(super) fn put_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        let [ny, nx] = self.parameters.nav;
        let all: Vec<Vec<f64>> = (0..(ny * nx) as u64).map(|n| self.fractions(n)).collect();
        let of = |y: usize, x: usize| y * nx + x;
        put(
            file,
            "phase",
            &self.labels(),
            "phase of the largest share at each scan position",
        )?;
        let fractions = Array3::from_shape_fn((ny, nx, self.phases().len()), |(y, x, k)| all[of(y, x)][k] as f32);
        put(file, "fractions", &fractions, "share of each phase at each scan position")?;
        let grain = Array2::from_shape_fn((ny, nx), |(y, x)| {
            self.shares(of(y, x) as u64).first().map_or(-1, |s| s.grain as i32)
        });
        put(file, "grain", &grain, "grain of the largest share at each scan position")?;
        let thickness = Array2::from_shape_fn((ny, nx), |(y, x)| self.thickness(of(y, x) as u64) as f32);
        put(file, "thickness", &thickness, "thickness over its mean")?;
        let names: Result<Vec<hdf5::types::VarLenUnicode>, _> = self.phases().iter().map(|p| p.name.parse()).collect();
        let names = names.map_err(|_| hdf5::Error::from("the name of a phase holds a NUL".to_owned()))?;
        file.new_dataset_builder().with_data(&names).create("names").map(|_| ())
    }
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt()
}
