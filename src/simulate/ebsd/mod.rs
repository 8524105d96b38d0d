//! Maps of Kikuchi patterns with known orientations: kinematic bands of a cubic crystal on a smooth background, seen by a detector with defects.
//!
//! Axes of the sample: x along the columns of the map, y against its rows (up), z outwards. The sample is tilted about x towards the detector, which
//! stands upright; a pattern is seen from the source, x to the right. Orientations are Bunge's angles in this frame.

mod bands;
mod detector;

use crate::analysis::orientation::{Matrix, crystal_from_sample, euler_angles, product, rotation};
use crate::backend::cpu::isa::Isa;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::ebsd::{Codec, Description, Geometry, MapData, Orientations, Phase, Store, write_ctf};
use crate::pixel::{FrameShape, Pixel};
use crate::rng::Source;
use crate::simulate::Parameters;
use bands::Bands;
use detector::Detector;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Bytes of patterns that are made before they are written.
const BLOCK: u64 = 64 << 20;

/// What random numbers are for; beside those of other simulations.
mod purpose {
    pub const GRAINS: u8 = 32;
    pub const GRADIENTS: u8 = 33;
    pub const DETECTOR: u8 = 34;
    pub const NOISE: u8 = 35;
    pub const UNINDEXED: u8 = 36;
}

/// Crystal structures that are simulated, by their strongest reflectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Structure {
    /// {111} {200} {220} {311}
    Fcc,
    /// {110} {200} {211} {310}
    Bcc,
}

/// Parameters of a simulated map; each has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kikuchi {
    /// Map shape (rows, columns).
    pub nav: [usize; 2],
    /// Pattern shape (height, width).
    pub sig: [usize; 2],
    /// 16 bits, else 8.
    pub sixteen: bool,
    pub seed: u64,
    /// Number of grains; 0: one for every 60 points.
    pub grains: usize,
    pub structure: Structure,
    /// Lattice constant in ångström.
    pub lattice: f64,
    /// Acceleration voltage in kV.
    pub voltage: f64,
    /// Pattern centre in Bruker's convention.
    pub pc: [f64; 3],
    /// In degrees.
    pub sample_tilt: f64,
    /// Step of the map in µm.
    pub step: f64,
    /// Standard deviation of the bands as a share of the background.
    pub contrast: f64,
    /// Electrons in the brightest pixels: sets the noise.
    pub electrons: f64,
    /// Largest rotation inside a grain, in degrees.
    pub gradient: f64,
    /// Share of points with almost no bands, which count as not indexed.
    pub unindexed: f64,
    /// Dust spots and hot pixels of the detector.
    pub dust: usize,
    pub hot: usize,
}

impl Default for Kikuchi {
    fn default() -> Self {
        Kikuchi {
            nav: [60, 80],
            sig: [120, 160],
            sixteen: true,
            seed: 1,
            grains: 0,
            structure: Structure::Fcc,
            lattice: 3.524,
            voltage: 20.0,
            pc: [0.47, 0.28, 0.62],
            sample_tilt: 70.0,
            step: 0.25,
            contrast: 0.06,
            electrons: 6000.0,
            gradient: 1.5,
            unindexed: 0.01,
            dust: 14,
            hot: 25,
        }
    }
}

impl Parameters for Kikuchi {}

/// A simulated map, ready to make any of its patterns.
pub struct SimulatedKikuchi {
    params: Kikuchi,
    /// Orientation of every point, row by row.
    orientations: Vec<Matrix>,
    grain: Array2<i32>,
    /// Points with almost no bands.
    unindexed: Vec<bool>,
    bands: Bands,
    detector: Detector,
    isa: Isa,
}

impl SimulatedKikuchi {
    /// Lays out grains and detector.
    ///
    /// # Errors
    /// [`Error::Parameter`] for sizes and numbers that make no sense.
    pub fn new(params: &Kikuchi) -> Result<Self> {
        let p = params;
        let wrong = |name: &str, what: &str| Err(Error::parameter(name, what.to_owned()));
        let [rows, columns] = p.nav;
        if rows == 0 || columns == 0 || rows.saturating_mul(columns) > crate::io::limits::MAX_POINTS {
            return wrong("--nav-shape", "is no shape of a map");
        }
        if p.sig.iter().any(|&n| !(8..=4096).contains(&n)) {
            return wrong("--sig-shape", "patterns have 8 to 4096 pixels along each side");
        }
        let positive = [p.lattice, p.voltage, p.pc[2], p.step, p.electrons];
        if positive.iter().any(|v| !(v.is_finite() && *v > 0.0)) {
            return wrong("parameters", "lattice, voltage, distance, step and electrons must be above 0");
        }
        if !(p.contrast.abs() <= 1.0 && p.gradient.abs() <= 180.0 && (0.0..=1.0).contains(&p.unindexed)) {
            return wrong(
                "parameters",
                "contrast and the share of points that are not indexed are at most 1",
            );
        }
        let count = if p.grains == 0 {
            (rows * columns).div_ceil(60)
        } else {
            p.grains
        };
        let (grain, orientations) = texture(p, count);
        let random = Source::new(p.seed, purpose::UNINDEXED);
        let unindexed = (0..rows * columns)
            .map(|i| random.uniform2(i as u64, 0, 0)[0] < p.unindexed)
            .collect();
        let isa = Isa::active();
        let mut detector = Detector::new(p);
        let bands = Bands::new(p);
        // Contrast is a share of the background: scale bands by their spread over some patterns.
        detector.normalise(&bands, orientations.iter().step_by(orientations.len().div_ceil(16)), isa);
        Ok(SimulatedKikuchi {
            params: p.clone(),
            orientations,
            grain,
            unindexed,
            bands,
            detector,
            isa,
        })
    }

    /// Shape and type of the patterns.
    pub fn frame(&self) -> FrameShape {
        let [height, width] = self.params.sig;
        let pixel = if self.params.sixteen { Pixel::U16 } else { Pixel::U8 };
        FrameShape { pixel, height, width }
    }

    /// Orientation of a point: the crystal's direction of a direction in the sample.
    pub fn orientation(&self, point: usize) -> Option<&Matrix> {
        self.orientations.get(point)
    }

    /// Makes pattern `point` (row by row), native-endian. `scratch` is kept between calls.
    pub fn pattern(&self, point: usize, scratch: &mut Vec<f32>, out: &mut [u8]) {
        scratch.resize(self.detector.pixels(), 0.0);
        self.bands.fill(&self.orientations[point], &self.detector, scratch, self.isa);
        let contrast = if self.unindexed[point] { 0.02 } else { 1.0 } * self.params.contrast;
        self.detector.expose(
            self.params.seed,
            point as u64,
            self.grain.as_slice().map_or(0, |g| g[point]),
            contrast as f32,
            scratch,
        );
        if self.params.sixteen {
            for (place, v) in out.chunks_exact_mut(2).zip(scratch.iter()) {
                place.copy_from_slice(&((v * 16.0) as u16).to_ne_bytes());
            }
        } else {
            for (place, v) in out.iter_mut().zip(scratch.iter()) {
                *place = (v / 16.0) as u8;
            }
        }
    }

    /// What is known of the points: the truth.
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub fn truth(&self) -> Result<MapData> {
        let [rows, columns] = self.params.nav;
        let mut data = MapData::new([rows, columns]);
        let at = |i: (usize, usize)| i.0 * columns + i.1;
        let map = |f: &dyn Fn(usize) -> f64| Array2::from_shape_fn((rows, columns), |i| f(at(i)));
        let angles: Vec<[f64; 3]> = self.orientations.iter().map(euler_angles).collect();
        data.put("phase", "", map(&|i| f64::from(u8::from(!self.unindexed[i]))))?;
        for (k, name) in ["euler1", "euler2", "euler3"].into_iter().enumerate() {
            data.put(name, "rad", map(&|i| if self.unindexed[i] { 0.0 } else { angles[i][k] }))?;
        }
        let step = self.params.step;
        data.put("x", "µm", map(&|i| (i % columns) as f64 * step))?;
        data.put("y", "µm", map(&|i| (i / columns) as f64 * step))?;
        data.put("bands", "", map(&|i| if self.unindexed[i] { 0.0 } else { 10.0 }))?;
        data.put("error", "", map(&|i| if self.unindexed[i] { 3.0 } else { 0.0 }))?;
        data.put("mad", "", map(&|i| if self.unindexed[i] { 0.0 } else { 0.3 }))?;
        let random = Source::new(self.params.seed, purpose::UNINDEXED);
        let quality =
            |i: usize| if self.unindexed[i] { 20.0 } else { 180.0 } + (20.0 * random.uniform2(i as u64, 1, 0)[0]).floor();
        data.put("bc", "", map(&quality))?;
        data.put("bs", "", map(&|i| quality(i) - 15.0))?;
        data.put("grain", "", self.grain.mapv(f64::from))?;
        data.orientation_frame = "Bunge ZXZ, sample x along columns, y against rows, z outwards".into();
        let right = std::f64::consts::FRAC_PI_2;
        let (name, space_group) = match self.params.structure {
            Structure::Fcc => ("fcc", 225),
            Structure::Bcc => ("bcc", 229),
        };
        let a = self.params.lattice;
        data.phases.push(Phase {
            id: 1,
            name: name.into(),
            lattice: [a, a, a, right, right, right],
            laue: 11,
            space_group,
        });
        Ok(data)
    }

    /// Writes the patterns and the truth to `path`, and the truth as `path` with the ending `.ctf`, whose name it returns.
    ///
    /// # Errors
    /// [`Error::Io`] if a file exists and `overwrite` is false, or the disk refuses; [`Error::Cancelled`].
    pub fn write(&self, path: &Path, overwrite: bool, control: &Control) -> Result<PathBuf> {
        let data = self.truth()?;
        let [rows, columns] = self.params.nav;
        let geometry = Geometry {
            pc: Some(Array3::from_shape_fn((rows, columns, 3), |(_, _, k)| self.params.pc[k])),
            sample_tilt: Some(self.params.sample_tilt.to_radians()),
            camera_tilt: Some(0.0),
            voltage: Some(self.params.voltage),
        };
        let present = Array2::from_elem((rows, columns), true);
        let background = self
            .detector
            .static_background(if self.params.sixteen { 16.0 } else { 1.0 / 16.0 });
        let frame = self.frame();
        let what = Description {
            present: &present,
            pattern: self.params.sig,
            steps: [Some(self.params.step); 2],
            data: &data,
            geometry: &geometry,
            static_background: Some(&background),
        };
        let ctf = path.with_extension("ctf");
        crate::io::output::check_free(&ctf, overwrite)?;
        let store = Store::create(path, &what, overwrite)?;
        let writer = store.pattern_writer("RawPatterns", frame, Codec::None)?;
        self.stream(control, |first, bytes| writer.put(first, bytes))?;
        writer.finish("counts", "simulated patterns")?;
        store.finish()?;
        let table = Orientations {
            data,
            steps: [self.params.step; 2],
            geometry,
            notes: Vec::new(),
        };
        write_ctf(&ctf, &table, overwrite)?;
        Ok(ctf)
    }

    /// Makes all patterns and hands them to `put` with the number of the first, in blocks of bounded size.
    fn stream(&self, control: &Control, put: impl Fn(u64, &[u8]) -> Result<()>) -> Result<()> {
        let (total, bytes) = (self.orientations.len(), self.frame().bytes());
        let count = ((control.memory / 4).min(BLOCK) / bytes as u64).max(1) as usize;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        let mut block = vec![0u8; count.min(total) * bytes];
        control.progress.begin("simulate", total as u64, (total * bytes) as u64);
        let result = (0..total).step_by(count).try_for_each(|first| {
            let here = &mut block[..(total - first).min(count) * bytes];
            pool.install(|| {
                here.par_chunks_exact_mut(bytes)
                    .enumerate()
                    .try_for_each_init(Vec::new, |scratch, (i, out)| {
                        control.check()?;
                        self.pattern(first + i, scratch, out);
                        control.progress.advance(1);
                        Ok::<_, Error>(())
                    })
            })?;
            put(first as u64, here)
        });
        control.progress.end();
        result
    }
}

/// Grains as Voronoi cells, and the orientation of every point: a random one for each grain, turned a little with the position.
fn texture(p: &Kikuchi, count: usize) -> (Array2<i32>, Vec<Matrix>) {
    let [rows, columns] = p.nav;
    let random = Source::new(p.seed, purpose::GRAINS);
    let bend = Source::new(p.seed, purpose::GRADIENTS);
    struct Grain {
        at: [f64; 2],
        matrix: Matrix,
        /// Axis of rotation and its change along y and x.
        axis: [f64; 3],
        change: [f64; 2],
    }
    let grains: Vec<Grain> = (0..count)
        .map(|i| {
            let mut next = random.sequence(i as u64);
            let mut turn = bend.sequence(i as u64);
            let at = [next.range(0.0, rows as f64), next.range(0.0, columns as f64)];
            // Uniform over all rotations.
            let (a, c) = (next.range(0.0, std::f64::consts::TAU), next.range(0.0, std::f64::consts::TAU));
            let b = next.range(-1.0, 1.0).acos();
            let size = ((rows * columns) as f64 / count as f64).sqrt();
            let most = p.gradient.to_radians() / size;
            Grain {
                at,
                matrix: crystal_from_sample([a, b, c]),
                axis: [turn.normal(), turn.normal(), turn.normal()],
                change: [turn.range(-most, most), turn.range(-most, most)],
            }
        })
        .collect();
    let points: Vec<(i32, Matrix)> = (0..rows * columns)
        .into_par_iter()
        .map(|i| {
            let (y, x) = ((i / columns) as f64 + 0.5, (i % columns) as f64 + 0.5);
            let distance = |g: &Grain| (g.at[0] - y).powi(2) + (g.at[1] - x).powi(2);
            let nearest = grains
                .iter()
                .enumerate()
                .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
            nearest.map_or((0, crystal_from_sample([0.0; 3])), |(k, g)| {
                let angle = g.change[0] * (y - g.at[0]) + g.change[1] * (x - g.at[1]);
                (k as i32, product(&g.matrix, &rotation(g.axis, angle)))
            })
        })
        .collect();
    let grain = Array2::from_shape_fn((rows, columns), |(y, x)| points[y * columns + x].0);
    (grain, points.into_iter().map(|(_, m)| m).collect())
}
