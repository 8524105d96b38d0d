//! X-ray spectra, one at a time, independent of all others.
//!
//! Energies of lines: J. A. Bearden, *Rev. Mod. Phys.* 39 (1967) 78, rounded to 1 eV. Strengths within a shell are typical ratios; they shall
//! look right, not serve for quantification.

use super::specimen::Specimen;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Axis, Scan, ScanInfo};
use crate::pixel::{FrameShape, Pixel};
use crate::rng::{Poisson, Source, math};
use crate::simulate::parameters::{self, Parameters};
use crate::simulate::purpose;
use crate::simulate::stream::{self, Synthetic};
use std::sync::Arc;

/// Energy of Mn Kα in keV, for which detectors give their resolution.
const MN_KA: f64 = 5.899;

/// An element with its lines: name, energy in keV, strength.
type Lines = (&'static str, &'static [(&'static str, f64, f64)]);

/// What is known, in the order of atomic numbers; the strongest line of an element first.
const ELEMENTS: [Lines; 22] = [
    ("C", &[("Ka", 0.277, 1.0)]),
    ("N", &[("Ka", 0.392, 1.0)]),
    ("O", &[("Ka", 0.525, 1.0)]),
    ("F", &[("Ka", 0.677, 1.0)]),
    ("Na", &[("Ka", 1.041, 1.0)]),
    ("Mg", &[("Ka", 1.254, 1.0)]),
    ("Al", &[("Ka", 1.487, 1.0)]),
    ("Si", &[("Ka", 1.740, 1.0), ("Kb", 1.836, 0.03)]),
    ("P", &[("Ka", 2.014, 1.0), ("Kb", 2.139, 0.04)]),
    ("S", &[("Ka", 2.308, 1.0), ("Kb", 2.464, 0.07)]),
    ("Ti", &[("Ka", 4.511, 1.0), ("Kb", 4.932, 0.12), ("La", 0.452, 0.6)]),
    ("V", &[("Ka", 4.952, 1.0), ("Kb", 5.427, 0.12), ("La", 0.511, 0.6)]),
    ("Cr", &[("Ka", 5.415, 1.0), ("Kb", 5.947, 0.13), ("La", 0.573, 0.6)]),
    ("Mn", &[("Ka", 5.899, 1.0), ("Kb", 6.490, 0.13), ("La", 0.637, 0.6)]),
    ("Fe", &[("Ka", 6.404, 1.0), ("Kb", 7.058, 0.13), ("La", 0.705, 0.6)]),
    ("Co", &[("Ka", 6.930, 1.0), ("Kb", 7.649, 0.13), ("La", 0.776, 0.6)]),
    ("Ni", &[("Ka", 7.478, 1.0), ("Kb", 8.265, 0.13), ("La", 0.852, 0.6)]),
    ("Cu", &[("Ka", 8.048, 1.0), ("Kb", 8.905, 0.13), ("La", 0.930, 0.6)]),
    ("Zn", &[("Ka", 8.639, 1.0), ("Kb", 9.572, 0.13), ("La", 1.012, 0.6)]),
    ("Mo", &[("La", 2.293, 1.0), ("Lb1", 2.395, 0.33), ("Ka", 17.479, 0.5)]),
    ("Ag", &[("La", 2.984, 1.0), ("Lb1", 3.151, 0.35), ("Lb2", 3.348, 0.15)]),
    (
        "Sn",
        &[
            ("La", 3.444, 1.0),
            ("Lb1", 3.663, 0.43),
            ("Lb2", 3.905, 0.17),
            ("Lg1", 4.131, 0.09),
        ],
    ),
];

fn lines(element: &str) -> Option<&'static Lines> {
    ELEMENTS.iter().find(|(name, _)| *name == element)
}

/// Whether an element has lines here.
pub(super) fn known(element: &str) -> Result<()> {
    match lines(element) {
        Some(_) => Ok(()),
        None => {
            let all: Vec<&str> = ELEMENTS.iter().map(|(name, _)| *name).collect();
            let what = format!("no lines of '{element}' are known; {} are", all.join(", "));
            Err(Error::parameter("composition", what))
        }
    }
}

/// Spectra of a simulated specimen. Every spectrum is made from its number alone, with the same bits whatever thread asks and on every
/// machine.
pub struct SimulatedSpectra {
    info: ScanInfo,
    specimen: Arc<Specimen>,
    /// Expected X-rays of each phase at mean thickness, and those of the grid.
    phases: Vec<Vec<f32>>,
    grid: Vec<f32>,
    poisson: Poisson,
    counts: Source,
}

impl SimulatedSpectra {
    pub(super) fn new(specimen: Arc<Specimen>) -> Result<Self> {
        let p = specimen.parameters();
        let frame = FrameShape {
            pixel: Pixel::U16,
            height: 1,
            width: p.channels,
        };
        let mut info = parameters::info("simulated spectra", p.nav, frame);
        let axis = |scale: f64, unit: &str| Axis {
            scale: Some(scale),
            unit: unit.to_owned(),
        };
        info.nav_axes = [axis(p.step, "nm"), axis(p.step, "nm")];
        info.sig_axes[1] = axis(p.energy_axis[1], "keV");
        let energies: Vec<f64> = (0..p.channels)
            .map(|c| p.energy_axis[0] + p.energy_axis[1] * c as f64)
            .collect();
        let of = |element: &str| characteristic(element, &energies, p.resolution);
        let brems = bremsstrahlung(&energies, p.beam_energy);
        let phases = specimen.phases().iter().map(|phase| {
            let mut sum = vec![0.0; p.channels];
            let total: f64 = phase.composition.values().sum();
            for (element, share) in phase.composition.iter().filter(|_| total > 0.0) {
                sum.iter_mut().zip(of(element)).for_each(|(s, v)| *s += share / total * v);
            }
            let lines = if total > 0.0 { 1.0 - p.bremsstrahlung } else { 0.0 };
            sum.iter()
                .zip(&brems)
                .map(|(s, b)| (p.dose * phase.counts * (lines * s + p.bremsstrahlung * b)) as f32)
                .collect()
        });
        Ok(SimulatedSpectra {
            info,
            phases: phases.collect(),
            grid: of("Cu").iter().map(|v| (p.dose * p.grid_counts * v) as f32).collect(),
            poisson: Poisson::new(),
            counts: Source::new(p.seed, purpose::SPECTRUM_COUNTS),
            specimen,
        })
    }

    /// Elements of the phases and of the grid, in alphabetical order.
    pub fn elements(&self) -> Vec<String> {
        let phases = self.specimen.phases().iter().flat_map(|p| p.composition.keys().cloned());
        let all: std::collections::BTreeSet<String> = phases.chain(["Cu".to_owned()]).collect();
        all.into_iter().collect()
    }

    /// The strongest line of each of [`SimulatedSpectra::elements`]: `Ni_Ka`.
    pub fn strongest_lines(&self) -> Vec<String> {
        let name = |e: &String| lines(e).and_then(|(_, l)| l.first()).map(|(line, ..)| format!("{e}_{line}"));
        self.elements().iter().filter_map(name).collect()
    }

    /// Expected X-rays in every channel of spectrum `n`.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one spectrum long or there is no such spectrum.
    pub fn expectation(&self, n: u64, out: &mut [f32]) -> Result<()> {
        if n >= self.info.frames() || out.len() != self.grid.len() {
            return Err(Error::Internal(format!("spectrum {n} into {} channels", out.len())));
        }
        out.copy_from_slice(&self.grid);
        let thickness = self.specimen.thickness(n);
        for s in self.specimen.shares(n) {
            let factor = (s.share * thickness) as f32;
            out.iter_mut().zip(&self.phases[s.phase]).for_each(|(o, v)| *o += factor * v);
        }
        Ok(())
    }
}

/// Lines of an element as a spectrum of sum 1: Gaussians whose width grows with energy, FWHM² = FWHM²(Mn Kα) + 2.5 eV (E − E(Mn Kα))
/// (C. E. Fiori, D. E. Newbury, *Scanning Electron Microsc.* 1 (1978) 401), less what a window and dead layer take at low energy.
fn characteristic(element: &str, energies: &[f64], resolution: f64) -> Vec<f64> {
    let mut sum = vec![0.0; energies.len()];
    for &(_, energy, strength) in lines(element).map_or(&[][..], |(_, l)| l) {
        let square = (resolution * resolution + 2500.0 * (energy - MN_KA)).max(1600.0);
        let sigma = square.sqrt() / 1000.0 / 2.3548;
        let passed = 1.0 - math::exp(-(energy / 0.45) * (energy / 0.45).sqrt());
        for (s, e) in sum.iter_mut().zip(energies) {
            let d = (e - energy) / sigma;
            if d.abs() < 8.0 {
                *s += strength * passed / sigma * math::exp(-0.5 * d * d);
            }
        }
    }
    normalised(sum)
}

/// (E₀ − E)/E (H. A. Kramers, *Phil. Mag.* 46 (1923) 836), absorbed at low energy, as a spectrum of sum 1.
fn bremsstrahlung(energies: &[f64], beam: f64) -> Vec<f64> {
    let of = |&e: &f64| match e > 0.05 && e < beam {
        true => (beam - e) / beam / e * (1.0 - math::exp(-(e / 0.5) * (e / 0.5))),
        false => 0.0,
    };
    normalised(energies.iter().map(of).collect())
}

fn normalised(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|v| *v /= sum);
    }
    values
}

impl Scan for SimulatedSpectra {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        stream::read(self, frames, stride, out, control)
    }
}

impl Synthetic for SimulatedSpectra {
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        scratch.resize(self.grid.len(), 0.0);
        self.expectation(n, scratch)?;
        let (channels, _) = out.as_chunks_mut::<2>();
        if channels.len() != scratch.len() {
            return Err(Error::Internal(format!("spectrum {n} into {} channels", channels.len())));
        }
        self.poisson.fill(&self.counts, n, 0, scratch, |i, k| {
            channels[i] = (k.min(65_535) as u16).to_ne_bytes();
        });
        Ok(())
    }
    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        self.specimen.put_truth(file)
    }
    fn parameters_toml(&self) -> Result<String> {
        self.specimen.parameters().to_toml()
    }
}
