//! One frame of a bullseye scan at a time, independent of all others.

use super::Bullseye;
use super::gold::{self, Reflection, Rotation};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::{Scan, ScanInfo};
use crate::rng::{Poisson, Source, math};
use crate::simulate::Parameters;
use crate::simulate::counts::put_counts;
use crate::simulate::field::{Descan, Field};
use crate::simulate::grains::Texture;
use crate::simulate::parameters;
use crate::simulate::polycrystal::{Grains, Polycrystal};
use crate::simulate::purpose;
use crate::simulate::stream::{self, Synthetic};
use crate::simulate::truth::put;
use ndarray::{Array2, Array3, Array4};

/// Electron wavelength at 200 kV in Å.
const WAVELENGTH: f64 = 0.02508;
/// The direct beam keeps at least this share.
const DIRECT_LEAST: f64 = 0.15;
/// Frames that the average diffracted intensity is taken from.
const SAMPLE: u64 = 60;
const ZONES: [[f64; 3]; 6] = [
    [0.0, 0.0, 1.0],
    [0.0, 1.0, 1.0],
    [1.0, 1.0, 1.0],
    [1.0, 1.0, 2.0],
    [0.0, 1.0, 3.0],
    [1.0, 2.0, 3.0],
];

/// The truth about one frame: reflection g (1/Å along the cubic axes) goes to (x, y, z) = R g, and to zero + camera · (y, x).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Number of the grain.
    pub grain: usize,
    pub zero: [f64; 2],
    /// zero minus its mean position.
    pub descan: [f64; 2],
    /// R.
    pub orientation: [[f64; 3]; 3],
}

/// A simulated scan. Every frame is made from its number alone, with the same bits whatever thread asks and on every machine.
pub struct SimulatedBullseye {
    info: ScanInfo,
    parameters: Bullseye,
    texture: Texture,
    orientations: Vec<Rotation>,
    bend: [Field; 2],
    descan: Descan,
    reflections: Vec<Reflection>,
    aperture: Aperture,
    zero: [f64; 2],
    camera: f64,
    diffuse_length: f64,
    /// Brings |F|² sinc² to the wanted share of diffracted electrons.
    factor: f64,
    poisson: Poisson,
    counts: Source,
}

impl SimulatedBullseye {
    /// The scan that `parameters` describe.
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`Bullseye::resolved`].
    pub fn new(parameters: &Bullseye) -> Result<Self> {
        let p = parameters.resolved()?;
        let frame = p.frame();
        let source = |purpose| Source::new(p.seed, purpose);
        // Places and boundaries of the grains are those of a polycrystal.
        let grains = Polycrystal {
            nav: p.nav,
            seed: p.seed,
            grains: p.grains.map(Grains::Count),
            ..Polycrystal::default()
        };
        let texture = Texture::new(&grains.resolved()?);
        let mut random = source(purpose::LATTICES).sequence(1);
        let orientations = (0..texture.crystals.len())
            .map(|k| {
                let turned = gold::about([0.0, 0.0, 1.0], random.range(0.0, 360.0));
                let (sin, cos) = math::sin_cos_turns(random.unit());
                let tilted = gold::about([cos, sin, 0.0], random.range(0.0, p.tilt_max));
                gold::then(&gold::then(&gold::along_beam(ZONES[k % ZONES.len()]), &turned), &tilted)
            })
            .collect();
        let mut bend = source(purpose::TILT).sequence(0);
        let sigma = 0.55 * texture.diameter;
        let camera = p.camera.unwrap_or(1.0);
        let reach = 0.5 * (p.sig[0] as f64).hypot(p.sig[1] as f64) / camera;
        let info = parameters::info("simulated bullseye", p.nav, frame);
        let mut scan = SimulatedBullseye {
            info,
            orientations,
            bend: [Field::new(&mut bend, sigma), Field::new(&mut bend, sigma)],
            descan: Descan::new(&mut source(purpose::DESCAN).sequence(0), p.nav, p.descan_max.unwrap_or(0.0)),
            reflections: gold::reflections(reach + 0.3),
            aperture: Aperture {
                radii: p.radii.unwrap_or([1.0; 3]),
                cross: p.cross.unwrap_or(0.0),
            },
            zero: p.zero.unwrap_or_default(),
            camera,
            diffuse_length: p.diffuse_length.unwrap_or(1.0),
            factor: 1.0,
            poisson: Poisson::new(),
            counts: source(purpose::COUNTS),
            texture,
            parameters: p,
        };
        let frames = scan.info.frames();
        let step = frames.div_ceil(SAMPLE);
        let mut blank = vec![0f32; frame.pixels()];
        let sums: Vec<f64> = (0..frames)
            .step_by(step as usize)
            .map(|n| scan.draw_disks(&scan.pose(n), &mut blank))
            .collect();
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        scan.factor = if mean > 0.0 { scan.parameters.diffracted / mean } else { 0.0 };
        Ok(scan)
    }

    /// The parameters with all defaults filled in.
    pub fn parameters(&self) -> &Bullseye {
        &self.parameters
    }

    /// The truth about frame `n`.
    pub fn pose(&self, n: u64) -> Pose {
        let [y, x] = self.info.place(n).map(|v| v as f64);
        let grain = self.texture.grain(y, x);
        let bent = |k: usize| self.parameters.bending * self.bend[k].at(y, x);
        let about_x = gold::about([1.0, 0.0, 0.0], bent(0));
        let about_y = gold::about([0.0, 1.0, 0.0], bent(1));
        let descan = self.descan.at(y, x);
        Pose {
            grain,
            zero: [self.zero[0] + descan[0], self.zero[1] + descan[1]],
            descan,
            orientation: gold::then(&gold::then(&self.orientations[grain], &about_y), &about_x),
        }
    }

    /// Grain of each position, (ny, nx).
    pub fn grain_id(&self) -> Array2<i32> {
        let [ny, nx] = self.info.nav;
        Array2::from_shape_fn((ny, nx), |(y, x)| self.texture.grain(y as f64, x as f64) as i32)
    }

    /// The expected number of electrons in every pixel of frame `n`, C order.
    ///
    /// # Errors
    /// [`Error::Internal`] if `out` is not one frame long or there is no such frame.
    pub fn expectation(&self, n: u64, out: &mut [f32]) -> Result<()> {
        if n >= self.info.frames() || out.len() != self.info.frame.pixels() {
            return Err(Error::Internal(format!("frame {n} into {} pixels", out.len())));
        }
        let p = &self.parameters;
        let pose = self.pose(n);
        let mut decay = 0.0;
        for (i, v) in out.iter_mut().enumerate() {
            let (y, x) = (i / self.info.frame.width, i % self.info.frame.width);
            let r = ((y as f64 - pose.zero[0]).powi(2) + (x as f64 - pose.zero[1]).powi(2)).sqrt();
            let value = math::exp(-r / self.diffuse_length);
            decay += value;
            *v = value as f32;
        }
        let diffuse = (p.electrons * p.diffuse / decay) as f32;
        out.iter_mut().for_each(|v| *v *= diffuse);
        let bright = p.electrons * (1.0 - p.diffuse);
        let mut disks = vec![0f32; out.len()];
        let diffracted = self.factor * self.draw_disks(&pose, &mut disks);
        let mut direct = 0.0;
        self.aperture.each(pose.zero, &self.info, |_, _, _, open| direct += open);
        let share = (1.0 - diffracted).max(DIRECT_LEAST) / direct.max(1e-12);
        self.aperture.each(pose.zero, &self.info, |i, _, _, open| {
            out[i] += (bright * share * open) as f32
        });
        let scale = (bright * self.factor) as f32;
        out.iter_mut().zip(&disks).for_each(|(v, d)| *v += scale * d);
        Ok(())
    }

    /// Adds the diffracted disks, in units of |F|² sinc²; returns their sum, in the frame and beside it.
    fn draw_disks(&self, pose: &Pose, out: &mut [f32]) -> f64 {
        let thickness = self.parameters.thickness;
        let mut total = 0.0;
        for r in &self.reflections {
            let [gx, gy, gz] = gold::apply(&pose.orientation, r.g);
            let q2 = r.g.iter().map(|v| v * v).sum::<f64>();
            let s0 = gz - WAVELENGTH * q2 / 2.0;
            if s0.abs() * thickness >= 3.0 {
                continue;
            }
            let at = [pose.zero[0] + self.camera * gy, pose.zero[1] + self.camera * gx];
            self.aperture.each(at, &self.info, |i, dy, dx, open| {
                // The beam's direction changes over the disk, and the excitation error with it.
                let s = s0 - WAVELENGTH * (gy * dy + gx * dx) / self.camera;
                let value = r.strength * sinc(thickness * s).powi(2) * open;
                total += value;
                out[i] += value as f32;
            });
        }
        total
    }
}

/// sin(πx)/(πx)
fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-8 {
        return 1.0;
    }
    math::sin_cos_turns(x / 2.0).0 / (std::f64::consts::PI * x)
}

/// Image of the aperture.
struct Aperture {
    radii: [f64; 3],
    cross: f64,
}

impl Aperture {
    /// Share of a pixel at (dy, dx) from the centre that is open.
    fn open(&self, dy: f64, dx: f64) -> f64 {
        let [disk, inner, outer] = self.radii;
        let r = (dy * dy + dx * dx).sqrt();
        let ring = (outer + 0.5 - r).clamp(0.0, 1.0) * (r - inner + 0.5).clamp(0.0, 1.0);
        let bars = |d: f64| (d.abs() - self.cross + 0.5).clamp(0.0, 1.0);
        (disk + 0.5 - r).clamp(0.0, 1.0) + ring * bars(dy) * bars(dx)
    }

    /// Calls `put(pixel, dy, dx, open)` for all open pixels of the frame with the aperture at `at`.
    fn each(&self, at: [f64; 2], info: &ScanInfo, mut put: impl FnMut(usize, f64, f64, f64)) {
        let reach = self.radii[2] + 0.5;
        let range =
            |c: f64, n: usize| (c - reach).ceil().max(0.0) as usize..((c + reach).floor() + 1.0).clamp(0.0, n as f64) as usize;
        let (height, width) = (info.frame.height, info.frame.width);
        for y in range(at[0], height) {
            for x in range(at[1], width) {
                let (dy, dx) = (y as f64 - at[0], x as f64 - at[1]);
                let open = self.open(dy, dx);
                if open > 0.0 {
                    put(y * width + x, dy, dx, open);
                }
            }
        }
    }
}

impl Scan for SimulatedBullseye {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        stream::read(self, frames, stride, out, control)
    }
}

impl Synthetic for SimulatedBullseye {
    fn counts(&self, n: u64, scratch: &mut Vec<f32>, out: &mut [u8]) -> Result<()> {
        scratch.resize(self.info.frame.pixels(), 0.0);
        self.expectation(n, scratch)?;
        put_counts((&self.poisson, &self.counts), n, self.info.frame, scratch, out, |_| 0.0)
    }

    fn fill_truth(&self, file: &hdf5::File) -> hdf5::Result<()> {
        let [ny, nx] = self.info.nav;
        let all: Vec<Pose> = (0..(ny * nx) as u64).map(|n| self.pose(n)).collect();
        let vectors =
            |get: fn(&Pose) -> [f64; 2]| Array3::from_shape_fn((ny, nx, 2), |(y, x, k)| get(&all[y * nx + x])[k] as f32);
        put(file, "grain_id", &self.grain_id(), "grain of each scan position")?;
        put(file, "zero", &vectors(|p| p.zero), "direct beam (y, x) in px")?;
        put(
            file,
            "descan",
            &vectors(|p| p.descan),
            "zero minus its mean position (y, x) in px",
        )?;
        let orientation = Array4::from_shape_fn((ny, nx, 3, 3), |(y, x, i, j)| all[y * nx + x].orientation[i][j] as f32);
        put(
            file,
            "orientation",
            &orientation,
            "R: reflection g (1/A, cubic axes) goes to (x, y, z) = R g and to zero + camera (y, x)",
        )
    }
    fn parameters_toml(&self) -> Result<String> {
        self.parameters.to_toml()
    }
}

stream::writable!(SimulatedBullseye);
