//! Crops in workgroup memory, from pixels to peaks in one kernel: direct sums, or a transform of two crops.

use super::finer::Layout;
use super::transform::{self, Transform, roots};
use super::{THREADS, WORK, constants, fits, pixels};
use crate::backend::gpu::rounds::Rounds;
use crate::backend::gpu::shader::{WORKGROUP_WORDS, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::error::{Error, Result};
use crate::kernels::correlate::plan::{Direct, Spectral};
use crate::kernels::correlate::{Method, Peak, Plan, Recipe};

/// One kernel for a crop or a pair of crops.
pub(super) struct Fused {
    pipeline: Pipeline,
    /// Least pixel of every frame of a block, where the method wants it.
    minimum: Option<Pipeline>,
    minima: Option<(usize, Buffer)>,
    /// What the template became, in the order of the bindings.
    tables: Vec<Buffer>,
    /// Maps for upsampling, or crops that workgroup memory cannot hold.
    pub(super) store: Buffer,
    pub(super) layout: Layout,
    /// Crops of one workgroup, and of one round.
    pub(super) together: usize,
    pub(super) capacity: usize,
}

/// Work that every window costs besides its sums, per value: logarithm, maximum, elevation.
const EVALUATION: usize = 60;

/// Windows of a round; `words` of `store` belong to each.
fn capacity(gpu: &Gpu, words: usize, work: usize) -> usize {
    let per = (size_of::<Peak>() + 4 * words) as u64;
    (Rounds::new(gpu, per, work as u64).bytes() / per).max(2) as usize / 2 * 2
}

impl Fused {
    pub(super) fn direct(gpu: &Gpu, plan: &Plan, d: &Direct) -> Result<Self> {
        let (edge, before) = plan.reach();
        let n = d.out;
        let whole = matches!(plan.params.method, Method::Sparse { .. });
        if (n * n) as u64 * d.taps.len() as u64 > WORK {
            return Err(Error::TooLargeForDevice(format!(
                "direct sums over {} template values at {n}×{n} places would block the device",
                d.taps.len()
            )));
        }
        let wrapped = !whole;
        let region = if wrapped { edge * edge } else { 0 };
        let map = region + d.width * d.height;
        let words = map + n * n;
        let threads = threads(n * n);
        let staged = words + threads / 2 <= WORKGROUP_WORDS;
        let finer = plan.params.upsample.is_some();
        let kept = match (staged, finer) {
            (false, _) => words,
            (true, true) => n * n,
            (true, false) => 0,
        };
        let wgsl = [
            &pixels(plan),
            &constants(&[
                ("THREADS", threads),
                ("TEAMS", 1),
                ("N", n),
                ("HEIGHT", n),
                ("WIDTH", n),
                ("EDGE", edge),
                ("REGION", region),
                ("REGION_WIDTH", d.width),
                ("MAP", map),
                ("WORDS", words),
                ("SHARED", if staged { words } else { 1 }),
            ]),
            &format!(
                "const BEFORE = {before};\nconst MARGIN = {};\nconst STAGED = {staged};\nconst WRAPPED = {wrapped};\n\
                 const WHOLE = {whole};\nconst FINER = {finer};\n",
                (edge - n) / 2
            ),
            include_str!("../../../../shaders/common/team.wgsl"),
            include_str!("../../../../shaders/common/rows.wgsl"),
            include_str!("../../../../shaders/common/peak.wgsl"),
            include_str!("../../../../shaders/correlate_direct.wgsl"),
        ]
        .concat();
        let taps: Vec<[u32; 2]> = d.taps.iter().map(|&(offset, v)| [offset, v.to_bits()]).collect();
        let capacity = capacity(gpu, kept, n * n * d.taps.len() + EVALUATION * edge * edge);
        let pixel = plan.shape.pixel;
        let minimum = prelude(pixel) + include_str!("../../../../shaders/logsum_minimum.wgsl");
        Ok(Fused {
            pipeline: gpu.pipeline(&format!("correlate_direct {pixel}"), &wgsl, "correlate", &[], 6, 2)?,
            minimum: match whole {
                true => Some(gpu.pipeline(&format!("logsum_minimum {pixel}"), &minimum, "minimum", &[], 1, 1)?),
                false => None,
            },
            minima: None,
            tables: vec![
                gpu.buffer_with("correlation region", bytemuck::cast_slice(&d.source))?,
                gpu.buffer_with("template", bytemuck::cast_slice(&taps))?,
            ],
            store: gpu.buffer("correlations", (4 * kept * capacity) as u64)?,
            layout: Layout {
                plane: if staged { n * n } else { words },
                pitch: n,
                offset: if staged { 0 } else { map },
                interleaved: false,
            },
            together: 1,
            capacity,
        })
    }

    /// True if a pair of crops fits.
    pub(super) fn takes(s: &Spectral) -> bool {
        s.y.m * s.x.m <= fits(THREADS / 2 + 2)
    }

    pub(super) fn transforms(gpu: &Gpu, plan: &Plan, s: &Spectral) -> Result<Self> {
        let (n, my, mx) = (s.y.n, s.y.m, s.x.m);
        let threads = threads(my * mx / 2);
        let finer = plan.params.upsample.is_some();
        let rows = Transform {
            n: mx,
            lines: my,
            element: 1,
            line: mx,
            threads,
            roots: my,
        };
        let columns = Transform {
            n: my,
            lines: mx,
            element: mx,
            line: 1,
            threads,
            roots: 0,
        };
        let wgsl = [
            &pixels(plan),
            &constants(&[
                ("THREADS", threads),
                ("TEAMS", 2),
                ("N", n),
                ("HEIGHT", n),
                ("WIDTH", n),
                ("MY", my),
                ("MX", mx),
            ]),
            &format!("const BEFORE = {};\nconst FINER = {finer};\n", plan.reach().1),
            &transform::wgsl(my * mx, &[("transform_rows", rows), ("transform_columns", columns)]),
            include_str!("../../../../shaders/common/team.wgsl"),
            include_str!("../../../../shaders/common/rows.wgsl"),
            include_str!("../../../../shaders/common/peak.wgsl"),
            include_str!("../../../../shaders/correlate_fused.wgsl"),
        ]
        .concat();
        let source: Vec<u32> = s.y.source.iter().chain(&s.x.source).copied().collect();
        let roots: Vec<[f32; 2]> = roots(my).chain(roots(mx)).collect();
        let kept = if finer { n * n } else { 0 };
        let work = 2 * (my * s.x.fft.operations() + mx * s.y.fft.operations()) / 2 + EVALUATION * my * mx;
        let capacity = capacity(gpu, kept, work);
        Ok(Fused {
            pipeline: gpu.pipeline(
                &format!("correlate_fused {}", plan.shape.pixel),
                &wgsl,
                "correlate",
                &[],
                6,
                2,
            )?,
            minimum: None,
            minima: None,
            tables: vec![
                gpu.buffer_with("transform source", bytemuck::cast_slice(&source))?,
                gpu.buffer_with("transform roots", bytemuck::cast_slice(&roots))?,
                gpu.buffer_with("template spectrum", bytemuck::cast_slice(&super::by_row(s)))?,
            ],
            store: gpu.buffer("correlations", (4 * kept * capacity) as u64)?,
            layout: Layout {
                plane: n * n,
                pitch: n,
                offset: 0,
                interleaved: false,
            },
            together: 2,
            capacity,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.store.size() + self.tables.iter().map(|b| b.size()).sum::<u64>() + self.minima.as_ref().map_or(0, |m| m.1.size())
    }
    /// Bytes on the device for each frame of a block.
    pub(super) fn per_frame(&self) -> u64 {
        if self.minimum.is_some() { 4 } else { 0 }
    }

    /// What a block needs before its first round.
    pub(super) fn begin(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>, pixels: usize) -> Result<()> {
        let Some(minimum) = &self.minimum else { return Ok(()) };
        if self.minima.as_ref().is_some_and(|m| m.0 < block.count) {
            self.minima = None;
        }
        let (_, minima) = match &mut self.minima {
            Some(m) => m,
            none => none.insert((block.count, rec.gpu.buffer("frame minima", block.count as u64 * 4)?)),
        };
        let params = [block.count as u32, block.stride_words, pixels as u32];
        rec.dispatch(
            minimum,
            bytemuck::cast_slice(&params),
            &[block.buffer, minima],
            block.count as u64,
        )
    }

    /// Peaks of one round.
    pub(super) fn encode(
        &self,
        rec: &mut Recorder<'_>,
        block: &GpuBlock<'_>,
        round: &super::Round,
        common: &super::Common,
    ) -> Result<()> {
        let mut buffers: Vec<&wgpu::Buffer> = vec![block.buffer, &common.rows, &common.positions];
        buffers.extend(self.tables.iter().map(|b| -> &wgpu::Buffer { b }));
        if self.together == 1 {
            // Kernels that take the crop's own minimum look at no others.
            buffers.push(self.minima.as_ref().map_or(&common.positions, |m| &m.1));
        }
        buffers.extend([&*common.peaks, &*self.store]);
        let params = [round.groups as u32, round.rows.len() as u32 - 1, block.stride_words];
        rec.dispatch(&self.pipeline, bytemuck::cast_slice(&params), &buffers, round.groups as u64)
    }
}

/// Threads for so many independent values: powers of two from 64 to 256.
pub(super) fn threads(values: usize) -> usize {
    values.next_power_of_two().clamp(64, THREADS)
}

/// True for crops whose pixels outside the frame count as 0.
pub(super) fn zero_outside(plan: &Plan) -> bool {
    plan.params.recipe == Recipe::Published && plan.params.method == Method::Fast
}
