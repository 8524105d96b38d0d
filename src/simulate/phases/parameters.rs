//! Parameters of the specimen and of what records it.

use super::spectra;
use crate::error::Result;
use crate::pixel::{FrameShape, Pixel};
use crate::rng::Source;
use crate::simulate::parameters::{Parameters, check_ranges, check_shapes, pixel_name};
use crate::simulate::purpose;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most phases of a scan.
const MOST_PHASES: usize = 64;

/// One phase in one orientation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phase {
    pub name: String,
    /// Lengths of the reciprocal lattice vectors in pixels; none: amorphous.
    pub lattice: Option<[f64; 2]>,
    /// Angle between them, and of the first with +x towards +y, in degrees.
    pub gamma: f64,
    pub rotation: f64,
    /// Expected electrons in the middle of a spot near the direct beam, and the distance in pixels at which that has fallen to 1/e.
    pub amplitude: f64,
    pub falloff: f64,
    /// Relative amplitude of spots at (h + ½, k + ½).
    pub superlattice: f64,
    /// Mean inclination (y, x) of the lattice, in reciprocal pixels of excitation error per pixel.
    pub tilt: [f64; 2],
    /// Rings of an amorphous phase: radius and width in pixels, electrons.
    pub rings: Vec<[f64; 3]>,
    /// How much the phase scatters: weakens the direct beam, adds to the diffuse background.
    pub scattering: f64,
    /// Shares of the elements in the X-ray counts.
    pub composition: BTreeMap<String, f64>,
    /// X-ray counts of a position.
    pub counts: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Phase {
            name: String::new(),
            lattice: None,
            gamma: 90.0,
            rotation: 0.0,
            amplitude: 570.0,
            falloff: 26.0,
            superlattice: 0.0,
            tilt: [0.0; 2],
            rings: Vec::new(),
            scattering: 1.0,
            composition: BTreeMap::new(),
            counts: 800.0,
        }
    }
}

/// Parameters of a simulated pair of signals, diffraction patterns and X-ray spectra of the same positions; each has a default.
///
/// Grains of the phases share the scan out among them, with disturbed boundaries; across a boundary lies a zone where both grains are
/// in the beam. Patterns are kinematical: soft disks on a reciprocal lattice, of intensity A exp(−g²/B²) exp(−s²/2w²) with s = g · t + c g² for a
/// tilt t that varies within every grain, a diffuse background, a direct beam that wanders a little along the slow scan axis. Spectra:
/// characteristic lines with the detector's resolution, bremsstrahlung after Kramers, and copper from the grid at every position. The thickness
/// varies smoothly. Electrons and X-rays are counted. Without `phases` there are five: a support film, A in two orientations
/// (same spectrum), B of another lattice and composition, and C with the lattice and orientation of the first A, weak half-order spots and
/// another composition; angles and lengths go with the seed. Lengths in pixels that are not given scale with the frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phases {
    /// Scan shape (ny, nx).
    pub nav: [usize; 2],
    /// Shape of the patterns (height, width).
    pub sig: [usize; 2],
    /// Pixel type of the patterns: `u8`, `u16` or `f32`; counts above the type's range are cut off. Spectra are `u16`.
    #[serde(with = "pixel_name")]
    pub pixel: Pixel,
    /// Channels of the spectra.
    pub channels: usize,
    /// Energy of the first channel and step in keV.
    pub energy_axis: [f64; 2],
    pub seed: u64,
    /// Multiplies all expected electrons and X-rays.
    pub dose: f64,
    /// Number of grains (two of each phase); the first ones are of phase 0, 1, …, in turns.
    pub grains: Option<usize>,
    /// Width of the zone about boundaries in which both grains count, in scan positions.
    pub overlap: f64,
    /// Standard deviation of the thickness over its mean.
    pub thickness_variation: f64,
    /// Standard deviation of the tilt within a grain, width w of a spot's response to it, and the curvature c.
    pub tilt_spread: Option<f64>,
    pub tilt_width: f64,
    pub curvature: Option<f64>,
    /// Position of the direct beam (y, x), its radius, and how far it wanders in pixels.
    pub beam: Option<[f64; 2]>,
    pub radius: Option<f64>,
    pub wander: f64,
    /// Electrons in each pixel of the direct beam, at the foot of the diffuse background, and in every pixel.
    pub direct: f64,
    pub diffuse: f64,
    pub dark: f64,
    /// Standard deviation of what an `f32` detector adds to each pixel.
    pub read_noise: f64,
    /// X-rays of copper at every position.
    pub grid_counts: f64,
    /// Share of the X-rays that are bremsstrahlung.
    pub bremsstrahlung: f64,
    /// Full width of Mn Kα at half maximum in eV.
    pub resolution: f64,
    /// Energy of the beam in keV.
    pub beam_energy: f64,
    /// Scan step in nm, and 1/nm per detector pixel.
    pub step: f64,
    pub camera: f64,
    pub phases: Option<Vec<Phase>>,
}

impl Default for Phases {
    fn default() -> Self {
        Phases {
            nav: [40, 60],
            sig: [64, 64],
            pixel: Pixel::U16,
            channels: 1024,
            energy_axis: [-0.1, 0.01],
            seed: 1,
            dose: 1.0,
            grains: None,
            overlap: 0.6,
            thickness_variation: 0.12,
            tilt_spread: None,
            tilt_width: 0.55,
            curvature: None,
            beam: None,
            radius: None,
            wander: 1.0,
            direct: 9000.0,
            diffuse: 30.0,
            dark: 0.3,
            read_noise: 0.0,
            grid_counts: 125.0,
            bremsstrahlung: 0.28,
            resolution: 130.0,
            beam_energy: 200.0,
            step: 2.0,
            camera: 0.25,
            phases: None,
        }
    }
}

impl Parameters for Phases {}

impl Phases {
    /// Shape and pixel type of the patterns.
    pub fn frame(&self) -> FrameShape {
        FrameShape::new(self.pixel, self.sig)
    }

    /// Side of the frame over that for which lengths are given.
    pub(super) fn scale(&self) -> f64 {
        self.sig[0].min(self.sig[1]) as f64 / 64.0
    }

    /// Checks all values and fills in every default, so that the result describes the scan completely.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] names the first value that makes no sense.
    pub fn resolved(&self) -> Result<Self> {
        let mut p = self.clone();
        let positions = check_shapes(p.nav, p.frame(), 16..=4096)?;
        let (scale, sig) = (p.scale(), p.sig);
        let beam = *p.beam.get_or_insert([sig[0] as f64 * 0.47, sig[1] as f64 * 0.485]);
        let radius = *p.radius.get_or_insert(1.8 * scale);
        let spread = *p.tilt_spread.get_or_insert(0.02 / scale);
        let curvature = *p.curvature.get_or_insert(0.000_35 / (scale * scale));
        let made = match p.phases.take() {
            Some(given) => given,
            None => five(p.seed, scale),
        };
        let count = made.len();
        let grains = *p.grains.get_or_insert((2 * count).min(positions));
        let end = p.energy_axis[0] + p.energy_axis[1] * p.channels as f64;
        check_ranges(&[
            ("phases", count as f64, 1.0, MOST_PHASES as f64),
            ("grains", grains as f64, count as f64, positions.min(20_000) as f64),
            ("channels", p.channels as f64, 8.0, 65_536.0),
            ("energy-axis", p.energy_axis[1], 1e-6, 10.0),
            ("energy-axis", end, 0.1, 100.0),
            ("dose", p.dose, 0.0, 1e6),
            ("overlap", p.overlap, 0.0, 1e4),
            ("thickness-variation", p.thickness_variation, 0.0, 1.0),
            ("tilt-spread", spread, 0.0, 10.0),
            ("tilt-width", p.tilt_width, 1e-3, 1e3),
            ("curvature", curvature, -10.0, 10.0),
            ("beam", beam[0], 0.0, sig[0] as f64 - 1.0),
            ("beam", beam[1], 0.0, sig[1] as f64 - 1.0),
            ("radius", radius, 0.2, 1000.0),
            ("wander", p.wander, 0.0, 1000.0),
            ("direct", p.direct, 0.0, 1e9),
            ("diffuse", p.diffuse, 0.0, 1e9),
            ("dark", p.dark, 0.0, 1e9),
            ("read-noise", p.read_noise, 0.0, 1e6),
            ("grid-counts", p.grid_counts, 0.0, 1e9),
            ("bremsstrahlung", p.bremsstrahlung, 0.0, 1.0),
            ("resolution", p.resolution, 10.0, 1e4),
            ("beam-energy", p.beam_energy, 1.0, 3000.0),
            ("step", p.step, 1e-6, 1e6),
            ("camera", p.camera, 1e-6, 1e6),
        ])?;
        for phase in &made {
            check_phase(phase)?;
        }
        p.phases = Some(made);
        Ok(p)
    }
}

fn check_phase(phase: &Phase) -> Result<()> {
    let [a, b] = phase.lattice.unwrap_or([8.0; 2]);
    check_ranges(&[
        ("lattice", a, 2.0, 1e4),
        ("lattice", b, 2.0, 1e4),
        ("gamma", phase.gamma, 10.0, 170.0),
        ("rotation", phase.rotation, -360.0, 360.0),
        ("amplitude", phase.amplitude, 0.0, 1e9),
        ("falloff", phase.falloff, 0.1, 1e6),
        ("superlattice", phase.superlattice, 0.0, 100.0),
        ("tilt", phase.tilt[0], -10.0, 10.0),
        ("tilt", phase.tilt[1], -10.0, 10.0),
        ("scattering", phase.scattering, 0.0, 100.0),
        ("counts", phase.counts, 0.0, 1e9),
    ])?;
    for ring in &phase.rings {
        check_ranges(&[
            ("rings", ring[0], 0.0, 1e4),
            ("rings", ring[1], 0.1, 1e4),
            ("rings", ring[2], 0.0, 1e9),
        ])?;
    }
    for (element, share) in &phase.composition {
        spectra::known(element)?;
        check_ranges(&[("composition", *share, 0.0, 1e6)])?;
    }
    Ok(())
}

/// The five phases that are simulated unless others are given, for frames of `scale` · 64 pixels.
fn five(seed: u64, scale: f64) -> Vec<Phase> {
    let mut random = Source::new(seed, purpose::PHASES).sequence(0);
    let composition = |parts: &[(&str, f64)]| parts.iter().map(|&(e, c)| (e.to_owned(), c)).collect();
    let mut tilt = |size: f64| {
        let turn = random.unit();
        let (s, c) = crate::rng::math::sin_cos_turns(turn);
        [size * s / scale, size * c / scale]
    };
    let (tilt_a, tilt_a2, tilt_b) = (tilt(0.012), tilt(0.016), tilt(0.012));
    let first = random.range(0.0, 30.0);
    let a = Phase {
        name: "A, orientation 1".into(),
        lattice: Some([scale * random.range(10.5, 11.5); 2]),
        rotation: first,
        falloff: 26.5 * scale,
        tilt: tilt_a,
        composition: composition(&[("Ni", 0.5), ("Ti", 0.25), ("Sn", 0.25)]),
        counts: 806.0,
        ..Phase::default()
    };
    vec![
        Phase {
            name: "support film".into(),
            rings: vec![[12.8 * scale, 3.2 * scale, 11.25]],
            scattering: 0.35,
            composition: composition(&[("C", 0.8), ("O", 0.2)]),
            counts: 169.0,
            ..Phase::default()
        },
        a.clone(),
        Phase {
            name: "A, orientation 2".into(),
            rotation: first + random.range(25.0, 45.0),
            tilt: tilt_a2,
            ..a.clone()
        },
        Phase {
            name: "B".into(),
            lattice: Some([scale * random.range(8.6, 9.4), scale * random.range(12.5, 13.5)]),
            gamma: random.range(72.0, 80.0),
            rotation: random.range(-40.0, 0.0),
            amplitude: 660.0,
            falloff: 24.5 * scale,
            tilt: tilt_b,
            scattering: 0.9,
            composition: composition(&[("Ni", 0.6), ("Ti", 0.38), ("Sn", 0.02)]),
            counts: 728.0,
            ..Phase::default()
        },
        Phase {
            name: "C, on A in orientation 1".into(),
            superlattice: 0.3,
            composition: composition(&[("Ni", 0.33), ("Ti", 0.34), ("Sn", 0.33)]),
            counts: 780.0,
            ..a
        },
    ]
}
