//! Patterns, one at a time, independent of all others.

use super::specimen::Specimen;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Axis, Scan, ScanInfo};
use crate::rng::{Poisson, Source, math};
use crate::simulate::counts::put_counts;
use crate::simulate::parameters::{self, Parameters};
use crate::simulate::purpose;
use crate::simulate::stream::{self, Synthetic};
use std::sync::Arc;

/// Width of the edge of a disk in pixels: intensity 1/(1 + exp((r − radius)/EDGE)).
const EDGE: f64 = 0.3;
/// Disks end this many edges beyond their radius.
const REACH: f64 = 16.0;
/// Orders of spots that are drawn at most.
const ORDERS: i32 = 64;
/// Turns of the beam's wandering over the slow axis of the scan.
const TURNS: f64 = 2.3;

/// A spot of a phase relative to the direct beam.
struct Spot {
    /// (y, x) in pixels.
    g: [f64; 2],
    amplitude: f64,
}

/// Diffraction patterns of a simulated specimen. Every pattern is made from its number alone, with the same bits whatever thread asks
/// and on every machine.
pub struct SimulatedDiffraction {
    info: ScanInfo,
    specimen: Arc<Specimen>,
    /// Spots of each phase.
    spots: Vec<Vec<Spot>>,
    /// exp(−q/length) in steps of a quarter pixel.
    diffuse: Vec<f32>,
    poisson: Poisson,
    counts: Source,
    noise: Source,
    wander: Source,
}

impl SimulatedDiffraction {
    pub(super) fn new(specimen: Arc<Specimen>) -> Self {
        let p = specimen.parameters();
        let mut info = parameters::info("simulated diffraction", p.nav, p.frame());
        let axis = |scale: f64, unit: &str| Axis {
            scale: Some(scale),
            unit: unit.to_owned(),
        };
        info.nav_axes = [axis(p.step, "nm"), axis(p.step, "nm")];
        info.sig_axes = [axis(p.camera, "1/nm"), axis(p.camera, "1/nm")];
        let half = 0.5 * p.sig[0].max(p.sig[1]) as f64 + p.sig[0].min(p.sig[1]) as f64 * 0.1;
        let length = 0.22 * p.sig[0].min(p.sig[1]) as f64;
        let steps = 8 * (p.sig[0] + p.sig[1]);
        let source = |purpose| Source::new(p.seed, purpose);
        SimulatedDiffraction {
            info,
            spots: specimen.phases().iter().map(|phase| spots(phase, half)).collect(),
            diffuse: (0..=steps).map(|i| math::exp(-0.25 * i as f64 / length) as f32).collect(),
            poisson: Poisson::new(),
            counts: source(purpose::PATTERN_COUNTS),
            noise: source(purpose::READ_NOISE),
            wander: source(purpose::WANDER),
            specimen,
        }
    }

    /// Position (y, x) of the direct beam in pattern `n`, in pixels.
    pub fn beam(&self, n: u64) -> [f64; 2] {
        let p = self.specimen.parameters();
        let [y, _] = self.specimen.position(n);
        let turns = TURNS * y / p.nav[0] as f64;
        let way = 0.5 + 0.5 * math::sin_cos_turns(turns).0 + 0.05 * self.wander.normal2(n, 0)[0];
        let beam = p.beam.unwrap_or_default();
        [beam[0], beam[1] + p.wander * way.clamp(0.0, 1.0)]
    }

    /// Expected electrons in every pixel of pattern `n`, C order.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one pattern long or there is no such pattern.
    pub fn expectation(&self, n: u64, out: &mut [f32]) -> Result<()> {
        if n >= self.info.frames() || out.len() != self.info.frame.pixels() {
            return Err(Error::Internal(format!("pattern {n} into {} pixels", out.len())));
        }
        let p = self.specimen.parameters();
        let thickness = self.specimen.thickness(n);
        // The lattice stays; the direct beam wanders.
        let centre = p.beam.unwrap_or_default();
        out.fill((p.dose * p.dark) as f32);
        let (mut direct, mut diffuse) = (0.0, 0.0);
        for s in self.specimen.shares(n) {
            let phase = &self.specimen.phases()[s.phase];
            direct += s.share * p.direct * math::exp(-0.35 * thickness * phase.scattering);
            diffuse += s.share * thickness * p.diffuse * phase.scattering;
            let tilt = self.specimen.tilt(s.grain, n);
            for spot in &self.spots[s.phase] {
                let [gy, gx] = spot.g;
                let curvature = p.curvature.unwrap_or(0.0) * (gy * gy + gx * gx);
                let error = (gy * tilt[0] + gx * tilt[1] + curvature) / p.tilt_width;
                let amplitude = s.share * thickness * spot.amplitude * math::exp(-0.5 * error * error);
                self.disk([centre[0] + gy, centre[1] + gx], p.dose * amplitude, out);
            }
            for &[radius, width, amplitude] in &phase.rings {
                self.ring(centre, radius, width, s.share * p.dose * amplitude, out);
            }
        }
        self.add_diffuse(centre, (p.dose * diffuse) as f32, out);
        self.disk(self.beam(n), p.dose * direct, out);
        Ok(())
    }

    fn add_diffuse(&self, centre: [f64; 2], amplitude: f32, out: &mut [f32]) {
        let width = self.info.frame.width;
        for (y, row) in out.chunks_exact_mut(width).enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let q = ((y as f64 - centre[0]).powi(2) + (x as f64 - centre[1]).powi(2)).sqrt();
                let at = ((4.0 * q) as usize).min(self.diffuse.len() - 2);
                let part = (4.0 * q - at as f64).min(1.0) as f32;
                let (a, b) = (self.diffuse[at], self.diffuse[at + 1]);
                *v += amplitude * (a + part * (b - a));
            }
        }
    }

    fn ring(&self, centre: [f64; 2], radius: f64, width: f64, amplitude: f64, out: &mut [f32]) {
        for (y, row) in out.chunks_exact_mut(self.info.frame.width).enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let q = ((y as f64 - centre[0]).powi(2) + (x as f64 - centre[1]).powi(2)).sqrt();
                let d = (q - radius) / width;
                if d.abs() < 8.0 {
                    *v += (amplitude * math::exp(-0.5 * d * d)) as f32;
                }
            }
        }
    }

    /// Adds a disk with a soft edge.
    fn disk(&self, at: [f64; 2], amplitude: f64, out: &mut [f32]) {
        let frame = self.info.frame;
        let radius = self.specimen.parameters().radius.unwrap_or(1.0);
        let reach = radius + REACH * EDGE;
        let range =
            |c: f64, n: usize| (c - reach).ceil().max(0.0) as usize..((c + reach).floor() + 1.0).clamp(0.0, n as f64) as usize;
        for y in range(at[0], frame.height) {
            for x in range(at[1], frame.width) {
                let r = ((y as f64 - at[0]).powi(2) + (x as f64 - at[1]).powi(2)).sqrt();
                if r < reach {
                    out[y * frame.width + x] += (amplitude / (1.0 + math::exp((r - radius) / EDGE))) as f32;
                }
            }
        }
    }
}

/// Spots of a phase within `half` pixels of the direct beam along each axis, without that itself.
fn spots(phase: &super::Phase, half: f64) -> Vec<Spot> {
    let Some([a, b]) = phase.lattice else {
        return Vec::new();
    };
    let vector = |length: f64, degrees: f64| {
        let (s, c) = math::sin_cos_turns(degrees / 360.0);
        [length * s, length * c]
    };
    let (a, b) = (vector(a, phase.rotation), vector(b, phase.rotation + phase.gamma));
    let mut spots = Vec::new();
    for (offset, factor) in [(0.0, 1.0), (0.5, phase.superlattice)] {
        if factor == 0.0 {
            continue;
        }
        for (h, k) in (-ORDERS..=ORDERS).flat_map(|h| (-ORDERS..=ORDERS).map(move |k| (h, k))) {
            let (u, v) = (f64::from(h) + offset, f64::from(k) + offset);
            let g = [u * a[0] + v * b[0], u * a[1] + v * b[1]];
            if (u, v) != (0.0, 0.0) && g.iter().all(|d| d.abs() < half) {
                let fall = (g[0] * g[0] + g[1] * g[1]) / (phase.falloff * phase.falloff);
                spots.push(Spot {
                    g,
                    amplitude: factor * phase.amplitude * math::exp(-fall.min(600.0)),
                });
            }
        }
    }
    spots
}

impl Scan for SimulatedDiffraction {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        stream::read(self, frames, stride, out, control)
    }
}

impl Synthetic for SimulatedDiffraction {
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        scratch.resize(self.info.frame.pixels(), 0.0);
        self.expectation(n, scratch)?;
        let read_noise = self.specimen.parameters().read_noise;
        let noise = |i: usize| match read_noise > 0.0 {
            true => read_noise * self.noise.normal2(n, i as u32)[0],
            false => 0.0,
        };
        put_counts((&self.poisson, &self.counts), n, self.info.frame, scratch, out, noise)
    }
    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        self.specimen.put_truth(file)
    }
    fn parameters_toml(&self) -> Result<String> {
        self.specimen.parameters().to_toml()
    }
}
