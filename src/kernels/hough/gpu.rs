//! GPU path: five dispatches a round. Votes are bytes, counts and responses 32-bit integers, so that all is exact, Otsu's threshold included; maxima come
//! back with a little more than those above the threshold, and the host chooses. Votes come back too: patterns without bands may have maxima by the
//! thousand, all equal, and are done again by the CPU. Of a pattern it moves its pixels once over the bus, and on the device
//! the table of bins for each angle (2 bytes a pixel), the counts nine times and the responses three times.

use super::cpu::Worker;
use super::peaks::{Maximum, Range, choose};
use super::{BUTTERFLY, Part, Plan, bin_of};
use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::rounds::{Rounds, words_of};
use crate::backend::gpu::shader::{THREADS, WORKGROUP_WORDS, numbering, prelude_of_finite};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{LEAF, Pixel};
use std::sync::Arc;

/// Largest pattern whose threshold is found in 128-bit integers.
const PIXELS: usize = 1 << 18;
/// Words of a pattern's range on the device.
const RANGE: usize = 8;

/// A stage on `gpu`.
///
/// # Errors
/// [`Error::TooLargeForDevice`] for patterns of more than 2¹⁸ pixels or lines that do not fit workgroup memory, [`Error::Kernel`],
/// [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, plan: Arc<Plan>) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let (pixels, thetas, rhos) = (plan.frame.pixels(), plan.theta.len(), plan.rhos);
    if pixels > PIXELS || rhos > WORKGROUP_WORDS {
        let what = format!("bands of patterns of {}×{} pixels", plan.frame.height, plan.frame.width);
        return Err(Error::TooLargeForDevice(what));
    }
    let bins = thetas * rhos;
    let [reach_rho, reach_theta] = plan.params.distance;
    // Boxes of maxima that are no ties overlap by half at most.
    let most = 64 + 2 * bins / ((reach_rho + 1) * (reach_theta + 1));
    let vote_words = pixels.div_ceil(4);
    let rounds = Rounds::new(gpu, 4 * bins as u64, (pixels * thetas + 81 * bins) as u64);
    let frames = rounds.frames() as u64;
    let limits: Vec<u32> = (0..256).map(|t| u32::from(plan.brightest_out(t))).collect();
    Ok(Box::new(Stage {
        pipelines: Pipelines::new(gpu, &plan, most)?,
        limits: gpu.buffer_with("brightest out", bytemuck::cast_slice(&limits))?,
        bins: gpu.buffer_with("line bins", bytemuck::cast_slice(&bin_table(&plan)))?,
        votes: gpu.buffer("votes", 4 * vote_words as u64 * frames)?,
        counts: gpu.buffer("line counts", rounds.bytes())?,
        responses: gpu.buffer("line responses", rounds.bytes())?,
        ranges: gpu.buffer("line ranges", 4 * RANGE as u64 * frames)?,
        maxima: gpu.buffer("line maxima", 8 * most as u64 * frames)?,
        most,
        rounds,
        worker: None,
        plan,
    }))
}

/// Bins of all pixels in C order, two a word, each angle in whole words of four pixels.
fn bin_table(plan: &Plan) -> Vec<u16> {
    let (h, w) = (plan.frame.height, plan.frame.width);
    let padded = plan.frame.pixels().next_multiple_of(4);
    let mut table = Vec::with_capacity(plan.theta.len() * padded);
    for t in &plan.theta {
        let (s, c) = t.sin_cos();
        let end = table.len() + padded;
        table.extend((0..h * w).map(|i| bin_of([s, c], [h - 1 - i / w, i % w], plan.offset)));
        table.resize(end, 0);
    }
    table
}

/// All pipelines, built at start-up.
struct Pipelines {
    votes: Pipeline,
    lines: Pipeline,
    sharpen: Pipeline,
    sums: Pipeline,
    maxima: Pipeline,
}

impl Pipelines {
    fn new(gpu: &Gpu, plan: &Plan, most: usize) -> Result<Self> {
        let pixel = plan.frame.pixel;
        let pixels = plan.frame.pixels();
        let [reach_rho, reach_theta] = plan.params.distance;
        let number = |name: &str, n: usize| format!("const {name} = {n}u;\n");
        let flag = |name: &str, on: bool| format!("const {name} = {on};\n");
        let group = numbering();
        let votes = [
            number("PIXELS", pixels),
            number("VOTE_WORDS", pixels.div_ceil(4)),
            flag("SPREAD", pixel != Pixel::U8),
            flag("GREY", plan.params.grey),
            prelude_of_finite(pixel),
            include_str!("../../../shaders/hough_grey.wgsl").to_owned(),
        ]
        .concat();
        let field = number("THETAS", plan.theta.len()) + &number("RHOS", plan.rhos);
        let lines = [
            field.clone(),
            number("VOTE_WORDS", pixels.div_ceil(4)),
            number("BIN_WORDS", 2 * pixels.div_ceil(4)),
            group.clone(),
            include_str!("../../../shaders/hough_lines.wgsl").to_owned(),
        ]
        .concat();
        let weights: Vec<String> = BUTTERFLY.as_flattened().iter().map(i32::to_string).collect();
        let filter = [
            field,
            flag("PUBLISHED", plan.params.published),
            number("REACH_THETA", reach_theta),
            number("REACH_RHO", reach_rho),
            format!("const THRESHOLD = {:?};\n", plan.params.threshold as f32),
            number("MOST", most),
            format!(
                "var<private> BUTTERFLY: array<i32, 25> = array<i32, 25>({});\n",
                weights.join(", ")
            ),
            group.clone(),
            include_str!("../../../shaders/hough_filter.wgsl").to_owned(),
        ]
        .concat();
        let filter = |entry: &str| gpu.pipeline("hough filter", &filter, entry, &[], 1, 3);
        Ok(Pipelines {
            votes: gpu.pipeline(&format!("hough grey {pixel}"), &votes, "cast_votes", &[], 2, 1)?,
            lines: gpu.pipeline("hough lines", &lines, "count_lines", &[], 2, 1)?,
            sharpen: filter("sharpen")?,
            sums: filter("sum_up")?,
            maxima: filter("find_maxima")?,
        })
    }
}

struct Stage {
    plan: Arc<Plan>,
    pipelines: Pipelines,
    limits: Buffer,
    bins: Buffer,
    votes: Buffer,
    counts: Buffer,
    responses: Buffer,
    ranges: Buffer,
    maxima: Buffer,
    /// Maxima that a pattern may have.
    most: usize,
    rounds: Rounds,
    /// For patterns that are done again.
    worker: Option<Worker>,
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        let buffers = [
            &self.bins,
            &self.votes,
            &self.counts,
            &self.responses,
            &self.ranges,
            &self.maxima,
        ];
        Cost {
            fixed: buffers.iter().map(|b| b.size()).sum(),
            // On their way back.
            per_frame: (4 * RANGE + 8 * self.most + 4 * self.vote_words()) as u64,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        let bins = self.plan.theta.len() * self.plan.rhos;
        for (from, count) in self.rounds.of(block.count) {
            let params = [from as u32, count as u32, block.stride_words];
            let votes: [&wgpu::Buffer; 3] = [block.buffer, &self.limits, &self.votes];
            rec.dispatch(&self.pipelines.votes, bytemuck::cast_slice(&params), &votes, count as u64)?;
            let params = [count as u32];
            let params = bytemuck::cast_slice(&params);
            let lines: [&wgpu::Buffer; 3] = [&self.votes, &self.bins, &self.counts];
            let groups = (count * self.plan.theta.len()) as u64;
            rec.dispatch(&self.pipelines.lines, params, &lines, groups)?;
            let field: [&wgpu::Buffer; 4] = [&self.counts, &self.responses, &self.ranges, &self.maxima];
            let all = ((count * bins) as u64).div_ceil(THREADS);
            rec.dispatch(&self.pipelines.sharpen, params, &field, all)?;
            rec.dispatch(&self.pipelines.sums, params, &field, count as u64)?;
            rec.dispatch(&self.pipelines.maxima, params, &field, all)?;
            rec.read(&self.ranges, 0, (4 * RANGE * count) as u64)?;
            rec.read(&self.maxima, 0, (8 * self.most * count) as u64)?;
            rec.read(&self.votes, 0, (4 * self.vote_words() * count) as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let mut values = Vec::with_capacity(count * self.plan.row());
        for round in reads.chunks_exact(3) {
            let (ranges, maxima) = (words_of(round[0]), words_of(round[1]));
            let maxima = maxima.chunks_exact(2 * self.most);
            let votes = round[2].chunks_exact(4 * self.vote_words());
            for ((range, maxima), votes) in ranges.chunks_exact(RANGE).zip(maxima).zip(votes) {
                if range[7] as usize <= self.most {
                    self.pattern(range, maxima, &mut values);
                } else {
                    self.again(votes, &mut values);
                }
            }
        }
        if values.len() != count * self.plan.row() {
            let what = format!("{} numbers of bands of {count} patterns came back", values.len());
            return Err(Error::Internal(what));
        }
        Ok(vec![(first / LEAF, Part { first, values })])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}

impl Stage {
    /// Appends the bands of one pattern, from its range and maxima as the device wrote them.
    fn pattern(&self, range: &[u32], maxima: &[u32], values: &mut Vec<f32>) {
        let found = range[7] as usize;
        let bins = self.plan.theta.len() * self.plan.rhos;
        let low = i128::from(range[0] as i32);
        let sum = i128::from(range[2]) | i128::from(range[3]) << 32;
        let squares = i128::from(range[4]) | i128::from(range[5]) << 32 | i128::from(range[6]) << 64;
        let range = Range {
            low: range[0] as i32,
            high: range[1] as i32,
            sum: (sum + bins as i128 * low) as i64,
            squares: (squares + 2 * low * sum + bins as i128 * low * low) as f64,
        };
        let limit = range.above(self.plan.params.threshold);
        let mut list: Vec<Maximum> = maxima[..2 * found]
            .chunks_exact(2)
            .map(|m| Maximum {
                theta: (m[0] >> 16) as usize,
                rho: (m[0] & 0xffff) as usize,
                value: m[1] as i32,
            })
            .filter(|m| m.value >= limit)
            .collect();
        // They come in any order.
        list.sort_unstable_by_key(|m| (m.theta, m.rho));
        let peaks = choose(list, &range, &self.plan.field());
        self.plan.write(&peaks, range.quality(&peaks, bins), values);
    }

    /// Appends the bands of a pattern with more maxima than there is room for, from its votes.
    fn again(&mut self, votes: &[u8], values: &mut Vec<f32>) {
        let plan = &self.plan;
        let worker = self.worker.get_or_insert_with(|| Worker::new(Isa::active(), plan.clone()));
        worker.set_votes(0, &votes[..plan.frame.pixels()]);
        worker.transform();
        let (peaks, quality) = worker.peaks(0);
        plan.write(&peaks, quality, values);
    }

    /// Words of a pattern's votes.
    fn vote_words(&self) -> usize {
        self.plan.frame.pixels().div_ceil(4)
    }
}
