//! One frame at a time, independent of all others.

use super::field::{Descan, Field};
use super::grains::Texture;
use super::parameters::{self, Parameters};
use super::polycrystal::Polycrystal;
use super::purpose;
use super::stream::{self, Synthetic};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Scan, ScanInfo};
use crate::rng::{Poisson, Source, math};
use crate::simulate::counts::put_counts;

/// Steps of the background table per decay length: linear interpolation errs by less than 5e-6 of the amplitude.
const STEPS: f64 = 160.0;
/// Decay lengths that the table spans; beyond, only the constant is left (e⁻²⁰ of the amplitude).
const LENGTHS: f64 = 20.0;

/// The truth about one frame: spot (h, k) lies at zero + h a + k b, all (y, x) in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lattice {
    /// Number of the grain.
    pub grain: usize,
    pub zero: [f64; 2],
    pub a: [f64; 2],
    pub b: [f64; 2],
    /// E in a = (1 + E) a0, rows and columns (y, x).
    pub strain: [[f64; 2]; 2],
    /// zero minus its mean position.
    pub descan: [f64; 2],
}

/// A simulated scan. Every frame is made from its number alone, with the same bits whatever thread asks and on every machine.
pub struct Simulated {
    info: ScanInfo,
    pub(super) parameters: Polycrystal,
    pub(super) texture: Texture,
    descan: Descan,
    tilt: [Field; 2],
    zero: [f64; 2],
    radius: f64,
    background: Vec<f32>,
    background_step: f64,
    /// Dead, hot and not-a-number pixels with their values instead of counts from the pattern.
    bad: Vec<(usize, f32)>,
    poisson: Poisson,
    counts: Source,
    spots: Source,
    superlattice: Source,
    scatter: Source,
}

impl Simulated {
    /// The scan that `parameters` describe.
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`Polycrystal::resolved`].
    pub fn new(parameters: &Polycrystal) -> Result<Self> {
        let p = parameters.resolved()?;
        let frame = p.frame();
        let texture = Texture::new(&p);
        let source = |purpose| Source::new(p.seed, purpose);
        let mut tilt = source(purpose::TILT).sequence(0);
        let sigma = 0.45 * texture.diameter;
        let length = p.background_length.unwrap_or(20.0);
        let background = (0..=(LENGTHS * STEPS) as usize)
            .map(|i| ((p.background * math::exp(-(i as f64) / STEPS) + p.background_constant) * p.dose) as f32)
            .collect();
        let info = parameters::info("simulated polycrystal", p.nav, frame);
        Ok(Simulated {
            info,
            descan: Descan::new(&mut source(purpose::DESCAN).sequence(0), p.nav, p.descan_max.unwrap_or(0.0)),
            tilt: [Field::new(&mut tilt, sigma), Field::new(&mut tilt, sigma)],
            zero: p.zero.unwrap_or_default(),
            radius: p.disk_radius.unwrap_or(1.0),
            background,
            background_step: length / STEPS,
            bad: bad_pixels(&p),
            poisson: Poisson::new(),
            counts: source(purpose::COUNTS),
            spots: source(purpose::SPOTS),
            superlattice: source(purpose::SUPERLATTICE),
            scatter: source(purpose::SCATTER),
            texture,
            parameters: p,
        })
    }

    /// The parameters with all defaults filled in.
    pub fn parameters(&self) -> &Polycrystal {
        &self.parameters
    }

    /// Unstrained lattice vectors a, b (y, x) of each grain in pixels.
    pub fn lattices(&self) -> Vec<[[f64; 2]; 2]> {
        self.texture.crystals.iter().map(|c| [c.a, c.b]).collect()
    }

    /// (y, x) of the bad pixels.
    pub fn bad_pixels(&self) -> Vec<[usize; 2]> {
        self.bad
            .iter()
            .map(|&(i, _)| [i / self.info.frame.width, i % self.info.frame.width])
            .collect()
    }

    /// The truth about frame `n`.
    pub fn lattice(&self, n: u64) -> Lattice {
        let [y, x] = self.info.place(n).map(|v| v as f64);
        let grain = self.texture.grain(y, x);
        let c = &self.texture.crystals[grain];
        let e: [f64; 4] = std::array::from_fn(|i| self.parameters.strain_max * c.strain[i].at(y, x));
        let strain = [[e[0], e[1]], [e[2], e[3]]];
        let apply = |v: [f64; 2]| [v[0] + e[0] * v[0] + e[1] * v[1], v[1] + e[2] * v[0] + e[3] * v[1]];
        let descan = self.descan.at(y, x);
        let zero = [self.zero[0] + descan[0], self.zero[1] + descan[1]];
        Lattice {
            grain,
            zero,
            a: apply(c.a),
            b: apply(c.b),
            strain,
            descan,
        }
    }

    /// The expected number of electrons in every pixel of frame `n`, C order. Bad pixels have their own values.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one frame long or there is no such frame.
    pub fn expectation(&self, n: u64, out: &mut [f32]) -> Result<()> {
        if n >= self.info.frames() || out.len() != self.info.frame.pixels() {
            return Err(Error::Internal(format!(
                "frame {n} of {} into {} pixels",
                self.info.frames(),
                out.len()
            )));
        }
        let l = self.lattice(n);
        self.draw_background(l.zero, out);
        self.draw_spots(n, &l, out);
        for &(i, v) in &self.bad {
            if let Some(p) = out.get_mut(i) {
                *p = v;
            }
        }
        Ok(())
    }

    /// The counts of frame `n` as native-endian pixels, C order. `scratch` is any vector; its memory is reused.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one frame long or there is no such frame.
    pub fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        scratch.resize(self.info.frame.pixels(), 0.0);
        self.expectation(n, scratch)?;
        put_counts((&self.poisson, &self.counts), n, self.info.frame, scratch, out, |_| 0.0)?;
        let (pixels, _) = out.as_chunks_mut::<4>();
        // Only float32 has pixels that are not a number.
        for &(i, _) in self.bad.iter().filter(|b| b.1.is_nan()) {
            if let Some(pixel) = pixels.get_mut(i) {
                *pixel = f32::NAN.to_ne_bytes();
            }
        }
        Ok(())
    }

    fn draw_background(&self, zero: [f64; 2], out: &mut [f32]) {
        let last = self.background.len() - 2;
        let inverse = (1.0 / self.background_step) as f32;
        for (y, row) in out.chunks_exact_mut(self.info.frame.width).enumerate() {
            let dy = (y as f64 - zero[0]) as f32;
            let zx = zero[1] as f32;
            for (x, p) in row.iter_mut().enumerate() {
                let dx = x as f32 - zx;
                let t = (dy * dy + dx * dx).sqrt() * inverse;
                let i = (t as usize).min(last);
                let f = (t - i as f32).min(1.0);
                let (low, high) = (self.background[i], self.background[i + 1]);
                *p = low + f * (high - low);
            }
        }
    }

    fn draw_spots(&self, n: u64, l: &Lattice, out: &mut [f32]) {
        let p = &self.parameters;
        let crystal = &self.texture.crystals[l.grain];
        let [y, x] = self.info.place(n).map(|v| v as f64);
        let tilt = p.tilt_max.unwrap_or(0.0);
        let centre = [tilt * self.tilt[0].at(y, x), tilt * self.tilt[1].at(y, x)];
        let falloff = p.spot_falloff.unwrap_or(1.0);
        let envelope =
            |d: [f64; 2], c: [f64; 2]| math::exp(-0.5 * ((d[0] - c[0]).powi(2) + (d[1] - c[1]).powi(2)) / (falloff * falloff));
        self.disk(l.zero, p.dose * p.centre_amplitude, out);
        self.orders(l, 0.0, |h, k, d| {
            if (h, k) != (0, 0) {
                let own = self.spots.normal2(crystal.spots as u64, order(h, k))[0];
                let scatter = self.scatter.normal2(n, order(h, k))[0];
                let random = math::exp(-0.15 + 0.55 * own + p.spot_scatter * scatter);
                self.disk(
                    [l.zero[0] + d[0], l.zero[1] + d[1]],
                    p.dose * p.spot_amplitude * random * envelope(d, centre),
                    out,
                );
            }
        });
        if crystal.superlattice > 0.0 {
            self.orders(l, 0.5, |h, k, d| {
                let own = self.superlattice.normal2(l.grain as u64, order(h, k))[0];
                let amplitude = p.dose * p.spot_amplitude * crystal.superlattice * math::exp(0.3 * own) * envelope(d, [0.0; 2]);
                self.disk([l.zero[0] + d[0], l.zero[1] + d[1]], amplitude, out);
            });
        }
    }

    /// Calls `put(h, k, (h + offset) a + (k + offset) b)` for all spots that may touch the frame.
    fn orders(&self, l: &Lattice, offset: f64, mut put: impl FnMut(i32, i32, [f64; 2])) {
        let norm = |v: [f64; 2]| (v[0] * v[0] + v[1] * v[1]).sqrt();
        let frame = self.info.frame;
        let corner = [
            l.zero[0].max(frame.height as f64 - l.zero[0]),
            l.zero[1].max(frame.width as f64 - l.zero[1]),
        ];
        let reach = norm(corner) + self.radius + 1.0;
        let area = (l.a[0] * l.b[1] - l.a[1] * l.b[0]).abs();
        let [h_max, k_max] = [l.b, l.a].map(|v| (reach * norm(v) / area + 1.0).min(32_000.0) as i32);
        for (h, k) in (-h_max..=h_max).flat_map(|h| (-k_max..=k_max).map(move |k| (h, k))) {
            let (u, v) = (h as f64 + offset, k as f64 + offset);
            let d = [u * l.a[0] + v * l.b[0], u * l.a[1] + v * l.b[1]];
            let margin = self.radius + 1.0;
            let inside = |p: f64, n: usize| p > -margin && p < n as f64 + margin;
            if inside(l.zero[0] + d[0], frame.height) && inside(l.zero[1] + d[1], frame.width) {
                put(h, k, d);
            }
        }
    }

    /// Adds an antialiased disk, amplitude · clip(radius + ½ − distance, 0, 1), averaged over each pixel's area (3 × 3 points): its
    /// centre of mass is then the given position within 0.01 px for disks of 1.7 px.
    fn disk(&self, at: [f64; 2], amplitude: f64, out: &mut [f32]) {
        let frame = self.info.frame;
        let reach = self.radius + 0.5;
        // No part of a pixel is farther than this from its centre.
        let corner = std::f64::consts::FRAC_1_SQRT_2;
        let range = |c: f64, n: usize| {
            let (from, to) = (c - reach - 0.5, c + reach + 0.5);
            from.ceil().max(0.0) as usize..(to.floor() + 1.0).clamp(0.0, n as f64) as usize
        };
        let coverage = |dy: f64, dx: f64| (reach - (dy * dy + dx * dx).sqrt()).clamp(0.0, 1.0);
        for y in range(at[0], frame.height) {
            let dy = y as f64 - at[0];
            for x in range(at[1], frame.width) {
                let dx = x as f64 - at[1];
                let distance = (dy * dy + dx * dx).sqrt();
                let value = if distance + corner <= self.radius - 0.5 {
                    1.0
                } else if distance - corner >= reach {
                    0.0
                } else {
                    const THIRD: f64 = 1.0 / 3.0;
                    let row = |dy: f64| coverage(dy, dx - THIRD) + coverage(dy, dx) + coverage(dy, dx + THIRD);
                    (row(dy - THIRD) + row(dy) + row(dy + THIRD)) / 9.0
                };
                out[y * frame.width + x] += (amplitude * value) as f32;
            }
        }
    }
}

impl Scan for Simulated {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        stream::read(self, frames, stride, out, control)
    }
}

impl Synthetic for Simulated {
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        Simulated::counts(self, n, scratch, out)
    }
    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        self.put_truth(file)
    }
    fn parameters_toml(&self) -> Result<String> {
        self.parameters.to_toml()
    }
}

stream::writable!(Simulated);

/// One number for the spot (h, k).
fn order(h: i32, k: i32) -> u32 {
    ((h + 32_768) as u32) << 16 | (k + 32_768) as u32 & 0xffff
}

/// Distinct random pixels: first the dead, then the hot, then those that are not a number.
fn bad_pixels(p: &Polycrystal) -> Vec<(usize, f32)> {
    let mut random = Source::new(p.seed, purpose::BAD_PIXELS).sequence(0);
    let mut taken = std::collections::BTreeSet::new();
    let values = [(p.dead, 0.0), (p.hot, p.hot_level as f32), (p.nan, f32::NAN)];
    let mut out = Vec::new();
    for value in values.into_iter().flat_map(|(n, v)| std::iter::repeat_n(v, n)) {
        // At most half of all pixels are bad, so a free one is found soon.
        let pixel = loop {
            let i = random.below(p.sig[0] * p.sig[1]);
            if taken.insert(i) {
                break i;
            }
        };
        out.push((pixel, value));
    }
    out
}
