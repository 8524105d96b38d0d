//! The detector of simulated patterns: where its pixels look, how brightly they are lit, what is wrong with them.

use super::bands::{Bands, LANES};
use super::{Kikuchi, purpose};
use crate::analysis::orientation::{Matrix, rotation};
use crate::backend::cpu::isa::Isa;
use crate::pattern_centre::gnomonic_limits;
use crate::rng::Source;
use ndarray::Array2;

/// Steps of the camera's converter in the brightest pixels, of 4095.
const PEAK: f32 = 3000.0;
/// Level of a dark pixel, and its noise, in steps.
const OFFSET: f32 = 60.0;
const READ_NOISE: f32 = 1.5;

pub(super) struct Detector {
    height: usize,
    width: usize,
    /// Unit vectors from the source to pixels in the detector's frame: x to the right, y to the screen, z up. The last lanes repeat.
    pub directions: [Vec<[f32; LANES]>; 3],
    pub sample_from_detector: Matrix,
    /// Light without bands times response, 0 … 1.
    lit: Vec<f32>,
    /// What hot pixels add, in steps.
    hot: Vec<f32>,
    /// Mean and one over the standard deviation of bands.
    mean: f32,
    per_std: f32,
    /// Electrons of one step.
    gain: f32,
}

impl Detector {
    pub fn new(p: &Kikuchi) -> Detector {
        let [height, width] = p.sig;
        let [left, right, bottom, top] = gnomonic_limits(p.pc, height as f64 / width as f64);
        let blocks = (height * width).div_ceil(LANES);
        let mut directions = [0, 1, 2].map(|_| vec![[0.0f32; LANES]; blocks]);
        for i in 0..blocks * LANES {
            let pixel = i.min(height * width - 1);
            let (row, column) = (pixel / width, pixel % width);
            let x = left + (right - left) * (column as f64 + 0.5) / width as f64;
            let z = top + (bottom - top) * (row as f64 + 0.5) / height as f64;
            let length = (x * x + 1.0 + z * z).sqrt();
            for (axis, v) in directions.iter_mut().zip([x, 1.0, z]) {
                axis[i / LANES][i % LANES] = (v / length) as f32;
            }
        }
        // The sample's normal leans by the tilt from straight up towards the screen, about x.
        let sample_from_detector = rotation([1.0, 0.0, 0.0], p.sample_tilt.to_radians());
        let (lit, hot) = defects(p);
        Detector {
            height,
            width,
            directions,
            sample_from_detector,
            lit,
            hot,
            mean: 0.0,
            per_std: 1.0,
            gain: p.electrons as f32 / PEAK,
        }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Measures mean and spread of the bands over some orientations.
    pub fn normalise<'a>(&mut self, bands: &Bands, orientations: impl Iterator<Item = &'a Matrix>, isa: Isa) {
        let mut pattern = vec![0.0; self.pixels()];
        let (mut n, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        for g in orientations {
            bands.fill(g, self, &mut pattern, isa);
            n += pattern.len() as f64;
            sum += pattern.iter().map(|&v| f64::from(v)).sum::<f64>();
            squares += pattern.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        }
        let mean = sum / n.max(1.0);
        let std = (squares / n.max(1.0) - mean * mean).max(1e-12).sqrt();
        self.mean = mean as f32;
        self.per_std = (1.0 / std) as f32;
    }

    /// Turns bands into steps of the converter, 0 to 4095, with noise. Each grain has its own yield.
    pub fn expose(&self, seed: u64, point: u64, grain: i32, contrast: f32, pattern: &mut [f32]) {
        let grains = Source::new(seed, purpose::GRAINS);
        // Far from the words that place the grains.
        let brightness = (0.88 + 0.22 * grains.uniform2(grain as u64, u32::MAX, 0)[0]) as f32 * PEAK;
        let noise = Source::new(seed, purpose::NOISE);
        let fields = pattern.chunks_mut(4).zip(self.lit.chunks(4)).zip(self.hot.chunks(4));
        for (i, ((pixels, lit), hot)) in fields.enumerate() {
            let words = noise.words(point, i as u32, 0);
            for (((v, &lit), &hot), word) in pixels.iter_mut().zip(lit).zip(hot).zip(words) {
                let light = (brightness * lit * (1.0 + contrast * (*v - self.mean) * self.per_std)).max(0.0);
                // The sum of four uniform bytes is nearly normal: mean 510, variance (256² − 1) / 3.
                let bytes = word.to_ne_bytes();
                let sum = f32::from(u16::from(bytes[0]) + u16::from(bytes[1]) + u16::from(bytes[2]) + u16::from(bytes[3]));
                let normal = (sum - 510.0) * (1.0 / 147.799);
                let spread = (light / self.gain + READ_NOISE * READ_NOISE).sqrt();
                *v = (light + spread * normal + hot + OFFSET + 0.5).clamp(0.0, 4095.0).floor();
            }
        }
    }

    /// The same without bands and noise, at 0.42 of the exposure, times `scale`.
    pub fn static_background(&self, scale: f64) -> Array2<f64> {
        Array2::from_shape_fn((self.height, self.width), |(y, x)| {
            let i = y * self.width + x;
            let steps = 0.42 * f64::from(PEAK * self.lit[i] + self.hot[i] + OFFSET);
            (steps * scale).round().max(1.0)
        })
    }
}

/// Smooth light times response (0 … 1), and what hot pixels add.
fn defects(p: &Kikuchi) -> (Vec<f32>, Vec<f32>) {
    let [height, width] = p.sig;
    let (h, w) = (height as f64, width as f64);
    let source = Source::new(p.seed, purpose::DETECTOR);
    let mut random = source.sequence(0);
    // Halves of the chip, columns of the read-out, two weak lines at the top.
    let columns: Vec<f64> = (0..width)
        .map(|x| (1.0 + 0.006 * random.normal()) * if x >= width / 2 { 1.035 } else { 1.0 })
        .collect();
    let mut lit = Array2::from_shape_fn((height, width), |(y, x)| {
        let (yn, xn) = (y as f64 / h, x as f64 / w);
        let bump = (-(((xn - 0.47) / 0.42).powi(2) + ((yn - 0.38) / 0.55).powi(2))).exp() * (1.0 - 0.15 * yn);
        let line = match y {
            0 => 0.90,
            1 => 0.95,
            _ => 1.0,
        };
        (0.10 + bump) * columns[x] * line / 1.1
    });
    for _ in 0..p.dust {
        let (y0, x0) = (random.range(3.0, h - 3.0), random.range(3.0, w - 3.0));
        let (depth, size) = (random.range(0.08, 0.45), random.range(0.7, 2.6));
        for ((y, x), v) in lit.indexed_iter_mut() {
            let r = (y as f64 - y0).powi(2) + (x as f64 - x0).powi(2);
            *v *= 1.0 - depth * (-r / (2.0 * size * size)).exp();
        }
    }
    let mut hot = vec![0.0; height * width];
    for _ in 0..p.hot {
        let at = random.below(height * width);
        hot[at] = random.range(500.0, 900.0) as f32;
    }
    (lit.iter().map(|&v| v.min(1.0) as f32).collect(), hot)
}
