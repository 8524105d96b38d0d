//! One frame of a simulated movie at a time, independent of all others.

use super::Ws2;
use super::history::{History, Kind, Point};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Axis, Scan, ScanInfo};
use crate::pixel::Pixel;
use crate::rng::{Poisson, Source, math};
use crate::simulate::parameters::{self, Parameters};
use crate::simulate::purpose;
use crate::simulate::stream::{self, Synthetic};
use crate::simulate::truth::{put, write_text};
use ndarray::{Array1, Array2, s};

/// Intensity of one atom: Z^1.7.
const W: f64 = 1504.7;
const MO: f64 = 573.9;
const S: f64 = 111.4;
/// Waves of the background, and its depth.
const WAVES: usize = 4;
const DEPTH: f64 = 0.015;
/// Columns are drawn up to this many standard deviations.
const REACH: f64 = 4.5;

/// A simulated movie. Every frame is made from its number alone, with the same bits whatever thread asks and on every machine.
pub struct SimulatedWs2 {
    info: ScanInfo,
    parameters: Ws2,
    history: History,
    /// Amplitude, frequencies (y, x) in waves per frame, phase in turns.
    waves: [[f64; 4]; WAVES],
    /// Brings intensities to electrons.
    factor: f64,
    poisson: Poisson,
}

impl SimulatedWs2 {
    /// The movie that `parameters` describe.
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`Ws2::resolved`].
    pub fn new(parameters: &Ws2) -> Result<Self> {
        let p = parameters.resolved()?;
        let frame = p.frame();
        let mut random = Source::new(p.seed, purpose::BACKGROUND).sequence(0);
        let waves = std::array::from_fn(|_| {
            let amplitude = random.normal();
            [amplitude, random.range(-1.5, 1.5), random.range(-1.5, 1.5), random.unit()]
        });
        let axis = |scale: f64, unit: &str| Axis {
            scale: Some(scale),
            unit: unit.to_owned(),
        };
        let mut info = parameters::info("simulated WS2", [1, p.frames], frame);
        info.nav_axes[1] = axis(p.frame_time, "s");
        info.sig_axes = [axis(p.pixel_size, "nm"), axis(p.pixel_size, "nm")];
        let mut movie = SimulatedWs2 {
            info,
            history: History::new(&p),
            waves,
            factor: 1.0,
            poisson: Poisson::new(),
            parameters: p,
        };
        let mut first = vec![0f32; frame.pixels()];
        movie.expectation(0, &mut first)?;
        let mean = first.iter().map(|&v| f64::from(v)).sum::<f64>() / first.len() as f64;
        movie.factor = if mean > 0.0 { movie.parameters.dose / mean } else { 0.0 };
        Ok(movie)
    }

    /// The parameters with all defaults filled in.
    pub fn parameters(&self) -> &Ws2 {
        &self.parameters
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Displacement (y, x) of frame `n` against the first, in pixels; `None` behind the last.
    pub fn drift(&self, n: u64) -> Option<[f64; 2]> {
        self.history.drift.get(n as usize).copied()
    }

    /// Defects of frame `n` whose centres lie inside it, drift included.
    pub fn defects(&self, n: u64) -> Vec<Point> {
        let (Some(points), Some(drift)) = (self.history.points.get(n as usize), self.drift(n)) else {
            return Vec::new();
        };
        let [h, w] = self.parameters.sig.map(|n| n as f64 - 1.0);
        let moved = points.iter().map(|d| Point {
            y: d.y + drift[0],
            x: d.x + drift[1],
            ..*d
        });
        moved
            .filter(|d| (0.0..=h).contains(&d.y) && (0.0..=w).contains(&d.x))
            .collect()
    }

    /// The expected number of electrons in every pixel of frame `n`, C order.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one frame long or there is no such frame.
    pub fn expectation(&self, n: u64, out: &mut [f32]) -> Result<()> {
        let (p, f) = (&self.parameters, n as usize);
        let (Some(points), Some(beside), Some(drift)) = (self.history.points.get(f), self.history.beside.get(f), self.drift(n))
        else {
            return Err(Error::Internal(format!("frame {n} of a movie of {}", p.frames)));
        };
        if out.len() != self.info.frame.pixels() {
            return Err(Error::Internal(format!("frame {n} into {} pixels", out.len())));
        }
        out.fill(0.0);
        let near = |at: [f64; 2], q: [f64; 2]| (at[0] - q[0]).abs() < 0.5 && (at[1] - q[1]).abs() < 0.5;
        let swallowed = |at: [f64; 2]| {
            let holes = points.iter().filter(|d| d.kind == Kind::Hole);
            holes.into_iter().any(|h| (at[0] - h.y).hypot(at[1] - h.x) < h.radius)
        };
        let jitter = self.jitter(n);
        for &at in &self.history.sites.tungsten {
            let here = points.iter().find(|d| d.kind != Kind::Hole && near(at, [d.y, d.x]));
            let amplitude = match here.map(|d| d.kind) {
                _ if swallowed(at) => 0.0,
                Some(Kind::Dopant | Kind::DopantWithVacancy) => MO,
                Some(Kind::Adatom) => W + MO,
                _ => W,
            };
            self.column(at, drift, amplitude, &jitter, out);
        }
        for &at in &self.history.sites.sulphur {
            let here = points.iter().find(|d| d.kind != Kind::Hole && near(at, [d.y, d.x]));
            let amplitude = match here.map(|d| d.kind) {
                _ if swallowed(at) => 0.0,
                Some(Kind::DoubleVacancy) => 0.0,
                Some(Kind::SingleVacancy) => S,
                _ if beside.iter().any(|&b| near(at, b)) => S,
                _ => 2.0 * S,
            };
            self.column(at, drift, amplitude, &jitter, out);
        }
        let total: f64 = self.waves.iter().map(|w| w[0].abs()).sum::<f64>().max(1e-9);
        let flicker = 1.0 + 0.006 * Source::new(p.seed, purpose::FLICKER).normal2(n, 0)[0];
        let [h, w] = p.sig;
        for (y, row) in out.chunks_exact_mut(w).enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let (v0, u) = (y as f64 / h as f64, x as f64 / w as f64);
                let wave = |w: &[f64; 4]| w[0] * math::sin_cos_turns((w[1] * v0 + w[2] * u + w[3]).rem_euclid(1.0)).1;
                let background = 1.0 + DEPTH * self.waves.iter().map(wave).sum::<f64>() / total;
                *v = (f64::from(*v) * background * flicker * self.factor) as f32;
            }
        }
        Ok(())
    }

    /// How far the rows of a frame are displaced along x: each remembers 0.6 of the one before.
    fn jitter(&self, n: u64) -> Vec<f64> {
        let source = Source::new(self.parameters.seed, purpose::JITTER);
        let mut before = 0.0;
        (0..self.parameters.sig[0])
            .map(|y| {
                before = 0.6 * before + 0.8 * self.parameters.jitter * source.normal2(n, y as u32)[0];
                before
            })
            .collect()
    }

    fn column(&self, at: [f64; 2], drift: [f64; 2], amplitude: f64, jitter: &[f64], out: &mut [f32]) {
        let [h, w] = self.parameters.sig;
        let sigma = self.parameters.sigma;
        let reach = (REACH * sigma).ceil();
        let (y, x) = (at[0] + drift[0], at[1] + drift[1]);
        let range = |c: f64, n: usize| {
            let first = (c - reach).ceil().max(0.0) as usize;
            first..((c + reach).floor() + 1.0).clamp(0.0, n as f64) as usize
        };
        if amplitude == 0.0 {
            return;
        }
        for row in range(y, h) {
            let centre = x + jitter[row];
            let tall = amplitude * math::exp(-((row as f64 - y) / sigma).powi(2) / 2.0);
            for column in range(centre, w) {
                let value = tall * math::exp(-((column as f64 - centre) / sigma).powi(2) / 2.0);
                out[row * w + column] += value as f32;
            }
        }
    }
}

impl Scan for SimulatedWs2 {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        stream::read(self, frames, stride, out, control)
    }
}

impl Synthetic for SimulatedWs2 {
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        scratch.resize(self.info.frame.pixels(), 0.0);
        self.expectation(n, scratch)?;
        if out.len() != self.info.frame.bytes() {
            return Err(Error::Internal(format!("frame {n} into {} bytes", out.len())));
        }
        let p = &self.parameters;
        let noise = Source::new(p.seed, purpose::READ_NOISE);
        let counts = Source::new(p.seed, purpose::COUNTS);
        let mut second = 0.0;
        self.poisson.fill(&counts, n, 0, scratch, |i, k| {
            // Two normal numbers at a time.
            let read = if i % 2 == 0 {
                let pair = noise.normal2(n, i as u32 / 2);
                second = pair[1];
                pair[0]
            } else {
                second
            };
            let value = p.gain * (k as f64 + p.read_noise * read) + p.offset;
            match p.pixel {
                Pixel::U16 => {
                    let v = value.round().clamp(0.0, 65_535.0) as u16;
                    out[2 * i..2 * i + 2].copy_from_slice(&v.to_ne_bytes());
                }
                Pixel::I16 => {
                    let v = value.round().clamp(-32_768.0, 32_767.0) as i16;
                    out[2 * i..2 * i + 2].copy_from_slice(&v.to_ne_bytes());
                }
                _ => out[4 * i..4 * i + 4].copy_from_slice(&(value as f32).to_ne_bytes()),
            }
        });
        Ok(())
    }

    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        let frames = self.info.frames();
        let all: Vec<(u64, Point)> = (0..frames)
            .flat_map(|n| self.defects(n).into_iter().map(move |d| (n, d)))
            .collect();
        let group = file.create_group("defects")?;
        let column = |get: &dyn Fn(&(u64, Point)) -> f64| Array1::from_iter(all.iter().map(get));
        let whole = |get: &dyn Fn(&(u64, Point)) -> i32| Array1::from_iter(all.iter().map(get));
        put(&group, "frame", &whole(&|d| d.0 as i32), "number of the frame, from 0")?;
        put(
            &group,
            "id",
            &whole(&|d| d.1.id as i32),
            "the same for one defect in all frames",
        )?;
        let names: Vec<String> = Kind::ALL.iter().map(|k| format!("{} {}", k.number(), k.name())).collect();
        put(&group, "type", &whole(&|d| i32::from(d.1.kind.number())), &names.join(", "))?;
        put(&group, "y", &column(&|d| d.1.y), "row in px, drift included, row jitter not")?;
        put(&group, "x", &column(&|d| d.1.x), "column in px")?;
        put(&group, "radius", &column(&|d| d.1.radius), "of holes, in px")?;
        // Frame by frame: long movies have large maps, nearly empty.
        let [h, w] = self.parameters.sig;
        let maps = group.new_dataset::<u8>().shape([frames as usize, h, w]).chunk([1, h, w]);
        let maps = maps.deflate(1).create("label_map")?;
        write_text(
            &maps,
            "meaning",
            "1 in pixels of defects, as `defects train --labels` reads it",
        )?;
        for n in 0..frames {
            maps.write_slice(self.label_map(n).view(), s![n as usize, .., ..])?;
        }
        let drift = Array2::from_shape_fn((frames as usize, 2), |(n, k)| self.history.drift[n][k]);
        put(
            file,
            "drift",
            &drift,
            "displacement (y, x) of each frame against the first, in px",
        )
    }
    fn parameters_toml(&self) -> Result<String> {
        self.parameters.to_toml()
    }
}

stream::writable!(SimulatedWs2);
