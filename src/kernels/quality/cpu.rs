//! CPU path, pattern by pattern: transforms along y for 32 columns at a time (two real ones make a complex one), then along x for 16 rows of
//! the half spectrum, whose magnitudes are summed at once.

use super::{Part, Plan, WIDTH};
use crate::backend::cpu::fft::AnyFft;
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{Complex, LANES, Lanes};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{Frames, LEAF, Sample};
use crate::with_pixel;
use std::sync::Arc;

per_isa! {
    /// Sum of a pattern in float64, exact for integers; pixels that are not finite count 0.
    fn sum_of[T: Sample][T](frame: &[T]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let (chunks, rest) = frame.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                let v = chunk[l].to_f64();
                lanes[l] += if v.abs() <= f64::MAX { v } else { 0.0 };
            }
        }
        for (lane, v) in lanes.iter_mut().zip(rest) {
            let v = v.to_f64();
            *lane += if v.abs() <= f64::MAX { v } else { 0.0 };
        }
        lanes.iter().sum()
    }
}

per_isa! {
    /// Differences to the mean, 0 where a pixel is not finite, and the sum of their squares.
    fn deviations[T: Sample][T](frame: &[T], mean: f64, out: &mut [f32]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let ((from, rest), (to, to_rest)) = (frame.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
        for (from, to) in from.iter().zip(to) {
            for l in 0..LANES {
                let v = from[l].to_f64() - mean;
                let v = if v.abs() <= f64::MAX { v } else { 0.0 };
                to[l] = v as f32;
                lanes[l] += v * v;
            }
        }
        for ((lane, v), o) in lanes.iter_mut().zip(rest).zip(to_rest) {
            let v = v.to_f64() - mean;
            let v = if v.abs() <= f64::MAX { v } else { 0.0 };
            *o = v as f32;
            *lane += v * v;
        }
        lanes.iter().sum()
    }
}

per_isa! {
    /// Sums of magnitudes and of magnitudes times weights, lane by lane.
    fn magnitudes(x: &[Complex], weights: &[Lanes], sums: &mut [Lanes; 2]) {
        let [power, weighted] = sums;
        for (z, w) in x.iter().zip(weights) {
            for l in 0..LANES {
                let m = (z.re.0[l] * z.re.0[l] + z.im.0[l] * z.im.0[l]).sqrt();
                power.0[l] += m;
                weighted.0[l] += m * w.0[l];
            }
        }
    }
}

/// State of a worker.
struct Stage {
    isa: Isa,
    plan: Arc<Plan>,
    along_y: AnyFft,
    along_x: AnyFft,
    /// How often each row of the half spectrum counts, and its k²; 16 rows in lanes.
    counts: Vec<Lanes>,
    weights: Vec<Lanes>,
    /// The pattern without its mean, and its half spectrum along y, rows of `columns` numbers.
    pixels: Vec<f32>,
    re: Vec<f32>,
    im: Vec<f32>,
    x: Vec<Complex>,
    scratch: Vec<Complex>,
    first: u64,
    values: Vec<f32>,
}

/// Rows and columns of the half spectrum in memory: whole groups of lanes.
fn padded(plan: &Plan) -> (usize, usize) {
    (
        plan.rows().next_multiple_of(LANES),
        plan.frame.width.next_multiple_of(2 * LANES),
    )
}

impl Stage {
    fn pattern<T: Sample>(&mut self, frame: &[T]) {
        let n = frame.len() as f64;
        let mean = sum_of(self.isa, frame) / n;
        let deviation = (deviations(self.isa, frame, mean, &mut self.pixels) / n).sqrt();
        self.transform_along_y();
        let (power, weighted) = self.sum_along_x();
        self.values.extend(self.plan.numbers(power, weighted, mean, deviation));
    }

    fn transform_along_y(&mut self) {
        let (h, w) = (self.plan.frame.height, self.plan.frame.width);
        let (rows, columns) = (self.plan.rows(), padded(&self.plan).1);
        for x0 in (0..w).step_by(2 * LANES) {
            // Columns beyond the last are zero.
            let [one, two] = [x0, x0 + LANES].map(|from| from.min(w)..(from + LANES).min(w));
            for (y, z) in self.x[..h].iter_mut().enumerate() {
                *z = Complex::ZERO;
                let line = &self.pixels[y * w..(y + 1) * w];
                z.re.0[..one.len()].copy_from_slice(&line[one.clone()]);
                z.im.0[..two.len()].copy_from_slice(&line[two.clone()]);
            }
            self.along_y.forward(self.isa, &mut self.x, &mut self.scratch);
            // The spectra of the real and of the imaginary columns.
            for k in 0..rows {
                let (a, b) = (&self.x[k], &self.x[(h - k) % h]);
                let at = k * columns + x0;
                for l in 0..LANES {
                    self.re[at + l] = (a.re.0[l] + b.re.0[l]) / 2.0;
                    self.im[at + l] = (a.im.0[l] - b.im.0[l]) / 2.0;
                    self.re[at + LANES + l] = (a.im.0[l] + b.im.0[l]) / 2.0;
                    self.im[at + LANES + l] = (b.re.0[l] - a.re.0[l]) / 2.0;
                }
            }
        }
    }

    fn sum_along_x(&mut self) -> (f64, f64) {
        let (w, columns) = (self.plan.frame.width, padded(&self.plan).1);
        let (mut power, mut weighted) = (0.0, 0.0);
        for (group, counts) in self.counts.iter().enumerate() {
            for (l, row) in (group * LANES..(group + 1) * LANES).enumerate() {
                let at = row * columns;
                for (j, z) in self.x[..w].iter_mut().enumerate() {
                    z.re.0[l] = self.re[at + j];
                    z.im.0[l] = self.im[at + j];
                }
            }
            self.along_x.forward(self.isa, &mut self.x, &mut self.scratch);
            let mut sums = [Lanes::ZERO; 2];
            let weights = &self.weights[group * w..(group + 1) * w];
            magnitudes(self.isa, &self.x[..w], weights, &mut sums);
            for l in 0..LANES {
                power += f64::from(sums[0].0[l]) * f64::from(counts.0[l]);
                weighted += f64::from(sums[1].0[l]);
            }
        }
        (power, weighted)
    }
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.plan.frame {
            let what = format!("quality of {:?} given {:?}", self.plan.frame, frames.shape());
            return Err(Error::Internal(what));
        }
        if self.values.is_empty() {
            self.first = frames.first();
        }
        for i in 0..frames.count() {
            with_pixel!(frames.shape().pixel, T => self.pattern::<T>(frames.frame(i)));
        }
        Ok(())
    }

    fn take(&mut self) -> Option<Part> {
        let values = std::mem::take(&mut self.values);
        (!values.is_empty()).then_some(Part {
            first: self.first,
            values,
        })
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(self.take())
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker.
///
/// # Errors
/// None today; a `Result` as transforms are planned here.
pub fn stage(plan: Arc<Plan>) -> Result<Box<dyn CpuStage<Part = Part>>> {
    stage_with(Isa::active(), plan)
}

/// [`stage`] on a given instruction set.
///
/// # Errors
/// As [`stage`].
pub fn stage_with(isa: Isa, plan: Arc<Plan>) -> Result<Box<dyn CpuStage<Part = Part>>> {
    let (h, w) = (plan.frame.height, plan.frame.width);
    let (along_y, along_x) = (AnyFft::new(h)?, AnyFft::new(w)?);
    let (rows, columns) = padded(&plan);
    let lanes = |group: usize, value: &dyn Fn(usize) -> f64| {
        // Rows beyond the half spectrum have no weight.
        let of = |row: usize| if row < plan.rows() { value(row) } else { 0.0 };
        Lanes(std::array::from_fn(|l| of(group * LANES + l) as f32))
    };
    let groups = 0..rows / LANES;
    let counts = groups.clone().map(|g| lanes(g, &|ky| plan.weight(ky, 0)[0])).collect();
    let weights = groups
        .flat_map(|g| (0..w).map(move |kx| (g, kx)))
        .map(|(g, kx)| lanes(g, &|ky| plan.weight(ky, kx)[1]))
        .collect();
    let room = along_y.room().max(along_x.room());
    Ok(Box::new(Stage {
        isa,
        pixels: vec![0.0; h * w],
        re: vec![0.0; rows * columns],
        im: vec![0.0; rows * columns],
        x: vec![Complex::ZERO; room],
        scratch: vec![Complex::ZERO; room],
        along_y,
        along_x,
        counts,
        weights,
        plan,
        first: 0,
        values: Vec::new(),
    }))
}

/// Memory of one worker.
pub fn cost(plan: &Plan) -> Cost {
    let (rows, columns) = padded(plan);
    let lines = 4 * plan.frame.height.max(plan.frame.width).next_power_of_two();
    let numbers = plan.frame.pixels() + 3 * rows * columns + 2 * 2 * LANES * lines;
    Cost {
        fixed: 4 * (numbers as u64 + LEAF * WIDTH as u64),
        per_frame: 0,
    }
}
