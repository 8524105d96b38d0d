//! CPU path: patterns side by side in lanes, up to 64 for the transform and sixteen for the filter and the search for maxima.

mod votes;

use super::peaks::{Maximum, Range, choose};
use super::{BUTTERFLY, Part, Peak, Plan, REACH, otsu};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{Frames, Pixel, Sample};
use crate::with_pixel;
use std::sync::Arc;
use votes::{Row, Votes};

/// Patterns that are filtered side by side.
pub(super) const PART: usize = 16;

/// One number of each of these.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Numbers([i32; PART]);
const NONE: Numbers = Numbers([0; PART]);

/// Buffers for a group of patterns: as many as [`Plan::group`] says.
pub struct Worker {
    isa: Isa,
    plan: Arc<Plan>,
    /// Votes of all patterns, one after another.
    flat: Vec<u8>,
    votes: Votes,
    folded: [Vec<Numbers>; REACH + 1],
    /// (θ, ρ) of the filtered transforms of sixteen patterns, and of which.
    response: Vec<Numbers>,
    filtered: Option<usize>,
    ranges: [Range; PART],
    maxima: [Vec<Maximum>; PART],
    grey: Vec<u8>,
}

impl Worker {
    /// Buffers for patterns of `plan`.
    pub fn new(isa: Isa, plan: Arc<Plan>) -> Self {
        let pixels = plan.frame.pixels();
        Worker {
            isa,
            flat: vec![0; pixels * plan.group()],
            votes: Votes::new(&plan),
            folded: std::array::from_fn(|_| vec![NONE; plan.rhos + 2 * REACH]),
            response: vec![NONE; plan.theta.len() * plan.rhos],
            filtered: None,
            ranges: [Range::default(); PART],
            maxima: Default::default(),
            grey: vec![0; pixels],
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
        let counts = histogram(&self.grey);
        let threshold = otsu(&counts);
        let pixels = self.grey.len();
        let out = &mut self.flat[lane * pixels..(lane + 1) * pixels];
        match self.plan.params.grey {
            true => out.copy_from_slice(&self.grey),
            false => binarise(self.isa, &self.grey, self.plan.brightest_out(threshold), out),
        }
        threshold
    }

    /// Takes the votes of all pixels of pattern `lane`.
    pub(super) fn set_votes(&mut self, lane: usize, votes: &[u8]) {
        let pixels = self.grey.len();
        self.flat[lane * pixels..(lane + 1) * pixels].copy_from_slice(votes);
    }

    /// The transform of all patterns of the group.
    pub fn transform(&mut self) {
        self.votes.transform(self.isa, &self.plan, &self.flat);
        self.filtered = None;
    }

    /// The transform of pattern `lane`: (θ, ρ) counts.
    pub fn counts(&self, lane: usize) -> Vec<i32> {
        let bins = self.response.len();
        (0..bins).map(|bin| self.votes.count(bin, lane)).collect()
    }
    /// The filtered transform of pattern `lane`.
    pub fn response(&mut self, lane: usize) -> Vec<i32> {
        self.filter(lane / PART);
        self.response.iter().map(|c| c.0[lane % PART]).collect()
    }

    /// Bands of pattern `lane`, and how far they stand out: the mean distance of their responses from that of all, in standard deviations.
    pub fn peaks(&mut self, lane: usize) -> (Vec<Peak>, f64) {
        self.filter(lane / PART);
        let lane = lane % PART;
        let (plan, response) = (&self.plan, &self.response);
        let at = |t: usize, r: usize| response[t * plan.rhos + r].0[lane];
        let field = plan.field();
        self.maxima[lane].retain(|m| field.is_largest(m, at));
        let peaks = choose(std::mem::take(&mut self.maxima[lane]), &self.ranges[lane], &field);
        let quality = self.ranges[lane].quality(&peaks, self.response.len());
        (peaks, quality)
    }

    /// Filters sixteen patterns, and finds where they may have peaks.
    fn filter(&mut self, part: usize) {
        if self.filtered == Some(part) {
            return;
        }
        let (isa, plan) = (self.isa, &*self.plan);
        let mut sums = Sums::default();
        for (t, response) in self.response.chunks_exact_mut(plan.rhos).enumerate() {
            for (d, folded) in self.folded.iter_mut().enumerate() {
                let rows = [plan.row_at(t as isize - d as isize), plan.row_at(t as isize + d as isize)];
                let rows = rows.map(|(theta, turned)| Row { theta, turned });
                self.votes.fold(isa, rows, plan.rhos, part, folded);
            }
            filter(isa, &self.folded, response, &mut sums);
        }
        self.ranges = std::array::from_fn(|l| Range {
            low: sums.low.0[l],
            high: sums.high.0[l],
            sum: sums.sum[l],
            squares: sums.squares[l],
        });
        let limits = Numbers(std::array::from_fn(|l| self.ranges[l].above(plan.params.threshold)));
        self.maxima.iter_mut().for_each(Vec::clear);
        let rows = |t: usize| &self.response[t * plan.rhos..(t + 1) * plan.rhos];
        for t in 0..plan.theta.len() {
            let around = [rows(t.saturating_sub(1)), rows(t), rows((t + 1).min(plan.theta.len() - 1))];
            let mut from = 0;
            while let Some(rho) = maximum(isa, around, &limits, from) {
                for (lane, maxima) in self.maxima.iter_mut().enumerate() {
                    let value = around[1][rho].0[lane];
                    let near = |row: &[Numbers]| {
                        let row = &row[rho.saturating_sub(1)..(rho + 2).min(plan.rhos)];
                        row.iter().all(|n| n.0[lane] <= value)
                    };
                    if value >= limits.0[lane] && around.into_iter().all(near) {
                        maxima.push(Maximum { theta: t, rho, value });
                    }
                }
                from = rho + 1;
            }
        }
        self.filtered = Some(part);
    }
}

fn histogram(grey: &[u8]) -> [u32; 256] {
    // Two tables: equal neighbours would wait for each other.
    let mut counts = [[0u32; 256]; 2];
    for pair in grey.chunks(2) {
        for (counts, &v) in counts.iter_mut().zip(pair) {
            counts[usize::from(v)] += 1;
        }
    }
    std::array::from_fn(|v| counts[0][v] + counts[1][v])
}

per_isa! {
    /// 1 above `limit`, else 0.
    fn binarise(grey: &[u8], limit: u8, out: &mut [u8]) {
        for (o, &v) in out.iter_mut().zip(grey) {
            *o = u8::from(v > limit);
        }
    }
}

per_isa! {
    /// Grey values 0 … 255 over the range of the finite pixels; the others are 0.
    fn spread[T: Sample][T](pattern: &[T], out: &mut [u8]) {
        let (mut low, mut high) = ([f32::INFINITY; PART], [f32::NEG_INFINITY; PART]);
        for chunk in pattern.chunks(PART) {
            for (l, v) in chunk.iter().enumerate() {
                let v = v.to_f32();
                low[l] = if v < low[l] && v > f32::NEG_INFINITY { v } else { low[l] };
                high[l] = if v > high[l] && v < f32::INFINITY { v } else { high[l] };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
        for (o, v) in out.iter_mut().zip(pattern) {
            let v = v.to_f32();
            *o = if v.abs() < f32::INFINITY { ((v - low) * scale) as u8 } else { 0 };
        }
    }
}

/// Of all responses of each lane.
struct Sums {
    low: Numbers,
    high: Numbers,
    sum: [i64; PART],
    squares: [f64; PART],
}

impl Default for Sums {
    fn default() -> Self {
        Sums {
            low: Numbers([i32::MAX; PART]),
            high: Numbers([i32::MIN; PART]),
            sum: [0; PART],
            squares: [0.0; PART],
        }
    }
}

per_isa! {
    fn filter(folded: &[Vec<Numbers>; REACH + 1], out: &mut [Numbers], sums: &mut Sums) {
        let mut squares = [0f64; PART];
        for (r, out) in out.iter_mut().enumerate() {
            let mut sum = NONE;
            for (d, folded) in folded.iter().enumerate() {
                let around = &folded[r..r + 2 * REACH + 1];
                for l in 0..PART {
                    sum.0[l] += BUTTERFLY[0][d] * around[REACH].0[l];
                }
                for k in 1..=REACH {
                    for l in 0..PART {
                        sum.0[l] += BUTTERFLY[k][d] * (around[REACH - k].0[l] + around[REACH + k].0[l]);
                    }
                }
            }
            *out = sum;
            for (l, square) in squares.iter_mut().enumerate() {
                let v = sum.0[l];
                sums.low.0[l] = sums.low.0[l].min(v);
                sums.high.0[l] = sums.high.0[l].max(v);
                sums.sum[l] += i64::from(v);
                *square += f64::from(v) * f64::from(v);
            }
        }
        for (sum, square) in sums.squares.iter_mut().zip(squares) {
            *sum += square;
        }
    }
}

per_isa! {
    /// The first ρ from `from` on where some lane reaches its limit and is not below its neighbours along the row.
    fn maximum(rows: [&[Numbers]; 3], limits: &Numbers, from: usize) -> Option<usize> {
        let last = rows[1].len() - 1;
        for r in from..=last {
            let (before, after) = (&rows[1][r.saturating_sub(1)], &rows[1][(r + 1).min(last)]);
            let (above, below, here) = (&rows[0][r], &rows[2][r], &rows[1][r]);
            let mut any = 0u32;
            for l in 0..PART {
                let v = here.0[l];
                let most = before.0[l].max(after.0[l]).max(above.0[l]).max(below.0[l]).max(limits.0[l]);
                any |= u32::from(v >= most);
            }
            if any != 0 {
                return Some(r);
            }
        }
        None
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
        for from in (0..frames.count()).step_by(plan.group()) {
            let live = plan.group().min(frames.count() - from);
            for lane in 0..live {
                with_pixel!(plan.frame.pixel, T => self.worker.set::<T>(lane, frames.frame(from + lane)));
            }
            self.worker.transform();
            for lane in 0..live {
                let (peaks, quality) = self.worker.peaks(lane);
                plan.write(&peaks, quality, &mut self.values);
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
    stage_with(Isa::active(), plan)
}

/// [`stage`] on a given instruction set.
pub fn stage_with(isa: Isa, plan: Arc<Plan>) -> Box<dyn CpuStage<Part = Part>> {
    Box::new(Stage {
        worker: Worker::new(isa, plan),
        first: 0,
        values: Vec::new(),
    })
}

/// Memory of one worker.
pub fn cost(plan: &Plan) -> Cost {
    let (bins, pixels) = ((plan.theta.len() * plan.rhos) as u64, plan.frame.pixels() as u64);
    Cost {
        // Cache lines of votes, counts and responses, and the patterns' own bytes.
        fixed: 64 * (2 * bins + pixels) + (plan.group() as u64 + 1) * pixels,
        per_frame: 0,
    }
}
