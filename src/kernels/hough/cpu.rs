//! CPU path: sixteen patterns side by side in lanes, so that one look into the table of bins serves them all.

use super::{BUTTERFLY, Part, Peak, Plan, find_peaks, otsu};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{Frames, Pixel, Sample};
use crate::with_pixel;
use std::sync::Arc;

/// Patterns side by side.
pub const LANES: usize = 16;
type Lanes = [i32; LANES];
const NONE: Lanes = [0; LANES];
/// Reach of the butterfly filter.
const REACH: usize = 4;

/// Buffers for sixteen patterns.
pub struct Worker {
    isa: Isa,
    plan: Arc<Plan>,
    votes: Vec<Lanes>,
    /// (θ, ρ) of the transform, then of the filtered one.
    counts: Vec<Lanes>,
    response: Vec<Lanes>,
    folded: [Vec<Lanes>; REACH + 1],
    single: Vec<i32>,
    grey: Vec<u8>,
}

impl Worker {
    /// Buffers for patterns of `plan`.
    pub fn new(isa: Isa, plan: Arc<Plan>) -> Self {
        let bins = plan.theta.len() * plan.rhos;
        Worker {
            isa,
            votes: vec![NONE; plan.frame.pixels()],
            counts: vec![NONE; bins],
            response: vec![NONE; bins],
            folded: std::array::from_fn(|_| vec![NONE; plan.rhos + 2 * REACH]),
            single: vec![0; bins],
            grey: vec![0; plan.frame.pixels()],
            plan,
        }
    }

    /// Takes pattern `lane` of a group. Anything but 8-bit patterns is spread over 0 … 255 first. Returns Otsu's threshold.
    pub fn set<T: Sample>(&mut self, lane: usize, pattern: &[T]) -> usize {
        if T::PIXEL == Pixel::U8 {
            self.grey.copy_from_slice(bytemuck::cast_slice(pattern));
        } else {
            spread(self.isa, pattern, &mut self.grey);
        }
        let mut counts = [0u32; 256];
        self.grey.iter().for_each(|&v| counts[usize::from(v)] += 1);
        let threshold = otsu(&counts);
        let limit = self.plan.params.factor * threshold as f64;
        let vote: [i32; 256] = std::array::from_fn(|v| match self.plan.params.grey {
            true => v as i32,
            false => i32::from(v as f64 > limit),
        });
        for (votes, &v) in self.votes.iter_mut().zip(&self.grey) {
            votes[lane] = vote[usize::from(v)];
        }
        threshold
    }

    /// The transform of all patterns of the group and its filtered form.
    pub fn transform(&mut self) {
        let plan = self.plan.clone();
        let pixels = plan.frame.pixels();
        for (counts, bins) in self.counts.chunks_exact_mut(plan.rhos).zip(plan.bins.chunks_exact(pixels)) {
            counts.fill(NONE);
            accumulate(self.isa, &self.votes, bins, counts);
        }
        for t in 0..plan.theta.len() {
            for d in 0..=REACH {
                fold(self.isa, &plan, &self.counts, t, d, &mut self.folded[d]);
            }
            filter(self.isa, &self.folded, &mut self.response[t * plan.rhos..(t + 1) * plan.rhos]);
        }
    }

    /// The transform of pattern `lane`: (θ, ρ) counts.
    pub fn counts(&self, lane: usize) -> Vec<i32> {
        self.counts.iter().map(|c| c[lane]).collect()
    }
    /// The filtered transform of pattern `lane`.
    pub fn response(&self, lane: usize) -> Vec<i32> {
        self.response.iter().map(|c| c[lane]).collect()
    }

    /// Bands of pattern `lane`, and how far they stand out: the mean distance of their responses from that of all, in standard deviations.
    pub fn peaks(&mut self, lane: usize) -> (Vec<Peak>, f64) {
        for (to, from) in self.single.iter_mut().zip(&self.response) {
            *to = from[lane];
        }
        let p = &self.plan.params;
        let peaks = find_peaks(&self.single, self.plan.rhos, p.distance, p.threshold, p.peaks);
        if peaks.is_empty() {
            return (peaks, 0.0);
        }
        let n = self.single.len() as f64;
        let (sum, squares) = self.single.iter().fold((0i64, 0i128), |(s, q), &v| {
            let v = i64::from(v);
            (s + v, q + i128::from(v * v))
        });
        let mean = sum as f64 / n;
        let deviation = (squares as f64 / n - mean * mean).max(0.0).sqrt();
        let height = |p: &Peak| f64::from(self.single[p.theta * self.plan.rhos + p.rho]);
        let heights = peaks.iter().map(height).sum::<f64>() / peaks.len() as f64;
        let quality = (heights - mean) / deviation;
        (peaks, quality)
    }
}

per_isa! {
    /// Grey values 0 … 255 over the range of the pattern; what is not finite is 0.
    fn spread[T: Sample][T](pattern: &[T], out: &mut [u8]) {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for v in pattern {
            let v = v.to_f32();
            low = if v < low { v } else { low };
            high = if v > high && v < f32::INFINITY { v } else { high };
        }
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        for (o, v) in out.iter_mut().zip(pattern) {
            *o = ((v.to_f32() - low) * scale) as u8;
        }
    }
}

per_isa! {
    fn accumulate(votes: &[Lanes], bins: &[u16], counts: &mut [Lanes]) {
        for (vote, &bin) in votes.iter().zip(bins) {
            let count = &mut counts[usize::from(bin)];
            for l in 0..LANES {
                count[l] += vote[l];
            }
        }
    }
}

per_isa! {
    /// The rows `d` angles before and after `t` added, with `REACH` more numbers at either end.
    fn fold(plan: &Plan, counts: &[Lanes], t: usize, d: usize, out: &mut [Lanes]) {
        let (n, rhos) = (plan.theta.len(), plan.rhos);
        // Row t + d, and whether its ρ runs the other way.
        let row = |k: isize| {
            let last = n as isize - 1;
            if plan.params.published {
                (k.clamp(0, last) as usize, false)
            } else {
                (k.rem_euclid(n as isize) as usize, k < 0 || k > last)
            }
        };
        let (before, turned_before) = row(t as isize - d as isize);
        let (after, turned_after) = row(t as isize + d as isize);
        let (a, b) = (&counts[before * rhos..][..rhos], &counts[after * rhos..][..rhos]);
        for (i, out) in out.iter_mut().enumerate() {
            let r = i.saturating_sub(REACH).min(rhos - 1);
            let (ra, rb) = (
                if turned_before { rhos - 1 - r } else { r },
                if turned_after { rhos - 1 - r } else { r },
            );
            for l in 0..LANES {
                out[l] = if d == 0 { a[ra][l] } else { a[ra][l] + b[rb][l] };
            }
        }
    }
}

per_isa! {
    fn filter(folded: &[Vec<Lanes>; REACH + 1], out: &mut [Lanes]) {
        for (r, out) in out.iter_mut().enumerate() {
            let mut sum = NONE;
            for (d, folded) in folded.iter().enumerate() {
                let around: &[Lanes; 2 * REACH + 1] = folded[r..r + 2 * REACH + 1].try_into().expect("as long as the filter");
                for l in 0..LANES {
                    sum[l] += BUTTERFLY[0][d] * around[REACH][l];
                }
                for k in 1..=REACH {
                    for l in 0..LANES {
                        sum[l] += BUTTERFLY[k][d] * (around[REACH - k][l] + around[REACH + k][l]);
                    }
                }
            }
            *out = sum;
        }
    }
}

/// The bands of one leaf.
struct Stage {
    worker: Worker,
    first: u64,
    values: Vec<f32>,
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        let plan = self.worker.plan.clone();
        if frames.shape() != plan.frame {
            let what = format!("bands of {:?} given {:?}", plan.frame, frames.shape());
            return Err(Error::Internal(what));
        }
        if self.values.is_empty() {
            self.first = frames.first();
        }
        for from in (0..frames.count()).step_by(LANES) {
            let live = LANES.min(frames.count() - from);
            for lane in 0..live {
                with_pixel!(plan.frame.pixel, T => self.worker.set::<T>(lane, frames.frame(from + lane)));
            }
            self.worker.transform();
            for lane in 0..live {
                let (peaks, quality) = self.worker.peaks(lane);
                let rho = |p: &Peak| (p.rho as f64 - plan.offset as f64) as f32;
                for i in 0..plan.params.peaks {
                    let row = peaks.get(i).map(|p| [p.value as f32, plan.theta[p.theta] as f32, rho(p)]);
                    self.values.extend(row.unwrap_or([f32::NAN; 3]));
                }
                self.values.push(quality as f32);
            }
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        let values = std::mem::take(&mut self.values);
        let first = self.first;
        Ok((!values.is_empty()).then_some(Part { first, values }))
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker on a shared plan.
pub fn stage(plan: Arc<Plan>) -> Box<dyn CpuStage<Part = Part>> {
    Box::new(Stage {
        worker: Worker::new(Isa::active(), plan),
        first: 0,
        values: Vec::new(),
    })
}

/// Memory of one worker.
pub fn cost(plan: &Plan) -> Cost {
    let lanes = size_of::<Lanes>() as u64;
    let bins = (plan.theta.len() * plan.rhos) as u64;
    Cost {
        fixed: lanes * (2 * bins + plan.frame.pixels() as u64) + 4 * bins,
        per_frame: 0,
    }
}
