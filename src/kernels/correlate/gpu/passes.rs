//! Images too large for workgroup memory, whole frames above all: transforms of rows, then of columns and back, through a device buffer,
//! then windows. Windows of whole frames transform back only the rows they need and write no map, unless there are so many of
//! them that all rows in place are less work; with upsampling the map is needed.
//!
//! Per pixel of a frame, with 8 bytes for each point of a pair: the minimum reads the pixel; rows read it again and write 4 bytes;
//! columns read and write 4; windows read 4 for each window that a row lies in, mostly out of the cache. So 12 bytes and two pixels from and to
//! device memory in four dispatches a round; with maps 24 bytes and more in five.

use super::finer::Layout;
use super::transform::{self, Transform, roots};
use super::{Common, Round, THREADS, constants, fits, fused, pixels};
use crate::backend::gpu::rounds::Rounds;
use crate::backend::gpu::shader::WORKGROUP_WORDS;
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::error::{Error, Result};
use crate::kernels::correlate::plan::Spectral;
use crate::kernels::correlate::{Method, Plan};

/// The kernels and the buffers between them.
pub(super) struct Passes {
    minimum: Pipeline,
    rows: Pipeline,
    columns: Pipeline,
    ending: Ending,
    source: [Buffer; 2],
    roots: [Buffer; 2],
    spectrum: Buffer,
    images: Buffer,
    minima: Buffer,
    pub(super) planes: Buffer,
    pub(super) layout: Layout,
    /// Workgroups of one pair in the passes over rows and columns.
    chunks: [usize; 2],
    /// Pairs of images in a round.
    pub(super) pairs: usize,
}

/// From rows of transforms to peaks.
enum Ending {
    /// Each window transforms the rows it needs: no map is written.
    Windows(Pipeline),
    /// All rows are transformed in place, then windows are looked at.
    Maps { back: Pipeline, windows: Pipeline },
}

/// Rows that a workgroup of [`Ending::Windows`] can transform at a time beside its window of `n` × `n`, if that takes no more transforms
/// than twice those of all rows of the pair; 0 if not.
fn ending_lines(plan: &Plan, n: usize, h: usize, mx: usize) -> usize {
    let maps_are_wanted = plan.params.method != Method::Full || plan.params.upsample.is_some();
    if maps_are_wanted || plan.most() * n > 2 * h {
        return 0;
    }
    match THREADS / 2 + n * n {
        taken if taken < WORKGROUP_WORDS => (fits(taken) / mx).min(n),
        _ => 0,
    }
}

impl Passes {
    pub(super) fn new(gpu: &Gpu, plan: &Plan, s: &Spectral) -> Result<Self> {
        let (h, w, my, mx) = (s.y.n, s.x.n, s.y.m, s.x.m);
        // Lines that 16 KiB cannot hold get what the device has; shorter ones are worked on alike everywhere.
        let here = gpu.limits.max_compute_workgroup_storage_size as usize / 8;
        let longest = if my.max(mx) > fits(0) { here } else { fits(0) };
        if my.max(mx) > longest {
            return Err(Error::TooLargeForDevice(format!(
                "transforms of {my}×{mx} points for correlations of {h}×{w} (at most {longest} in a row)"
            )));
        }
        let full = plan.params.method == Method::Full;
        let pixel = plan.shape.pixel;
        let group = include_str!("../../../../shaders/common/group.wgsl");
        let team = include_str!("../../../../shaders/common/team.wgsl");
        let image = constants(&[("THREADS", THREADS), ("TEAMS", 1), ("HEIGHT", h), ("WIDTH", w)]);
        let minimum = [
            &pixels(plan),
            &image,
            team,
            include_str!("../../../../shaders/correlate_minimum.wgsl"),
        ]
        .concat();
        let lines = [(longest / mx).min(h), (longest / my).min(mx)];
        let across = Transform {
            n: mx,
            lines: lines[0],
            element: 1,
            line: mx,
            threads: THREADS,
            roots: 0,
        };
        let down = Transform {
            n: my,
            lines: lines[1],
            element: lines[1],
            line: 1,
            threads: THREADS,
            roots: 0,
        };
        let along = |n: usize, t: Transform| {
            let sizes = constants(&[
                ("THREADS", THREADS),
                ("HEIGHT", h),
                ("COLUMNS", mx),
                ("LENGTH", n),
                ("LINES", t.lines),
            ]);
            sizes + &transform::wgsl(n * t.lines, &[("transform", t)])
        };
        let rows = [
            &pixels(plan),
            &along(mx, across),
            include_str!("../../../../shaders/correlate_rows.wgsl"),
        ]
        .concat();
        let columns = [
            group,
            &along(my, down),
            include_str!("../../../../shaders/correlate_columns.wgsl"),
        ]
        .concat();
        let back = [
            group,
            &along(mx, across),
            include_str!("../../../../shaders/correlate_back.wgsl"),
        ]
        .concat();
        let n = plan.window();
        let few = ending_lines(plan, n, h, mx);
        let some = Transform { lines: few, ..across };
        let ending = [
            &constants(&[("TEAMS", 1), ("N", n), ("WIDTH", w)]),
            group,
            &along(mx, some),
            &format!("const BEFORE = {};\nconst FINER = false;\n", plan.reach().1),
            team,
            include_str!("../../../../shaders/common/rows.wgsl"),
            include_str!("../../../../shaders/common/peak.wgsl"),
            include_str!("../../../../shaders/correlate_ending.wgsl"),
        ];
        let windows = [
            group,
            &constants(&[
                ("THREADS", fused::threads(n * n)),
                ("TEAMS", 1),
                ("N", n),
                ("HEIGHT", h),
                ("WIDTH", w),
                ("LENGTH", mx),
            ]),
            &format!(
                "const BEFORE = {};\nconst WHOLE = {full};\nconst FINER = {};\n",
                plan.reach().1,
                plan.params.upsample.is_some()
            ),
            team,
            include_str!("../../../../shaders/common/rows.wgsl"),
            include_str!("../../../../shaders/common/peak.wgsl"),
            include_str!("../../../../shaders/correlate_windows.wgsl"),
        ];
        let plane = (8 * h * mx) as u64;
        let work = 2 * (my * s.x.fft.operations() + mx * s.y.fft.operations()) + 60 * h * w;
        let pairs = (Rounds::new(gpu, plane, work as u64).bytes() / plane) as usize;
        let table = |name: &str, axis: &[u32]| gpu.buffer_with(name, bytemuck::cast_slice(axis));
        let circle = |n: usize| gpu.buffer_with("transform roots", bytemuck::cast_slice(&roots(n).collect::<Vec<_>>()));
        Ok(Passes {
            minimum: gpu.pipeline(&format!("correlate_minimum {pixel}"), &minimum, "minimum", &[], 2, 1)?,
            rows: gpu.pipeline(&format!("correlate_rows {pixel}"), &rows, "rows", &[], 5, 1)?,
            columns: gpu.pipeline("correlate_columns", &columns, "columns", &[], 3, 1)?,
            ending: match few {
                0 => Ending::Maps {
                    back: gpu.pipeline("correlate_back", &back, "back", &[], 1, 1)?,
                    windows: gpu.pipeline("correlate_windows", &windows.concat(), "windows", &[], 3, 1)?,
                },
                _ => Ending::Windows(gpu.pipeline("correlate_ending", &ending.concat(), "ending", &[], 4, 1)?),
            },
            source: [table("row source", &s.y.source)?, table("column source", &s.x.source)?],
            roots: [circle(my)?, circle(mx)?],
            spectrum: gpu.buffer_with("template spectrum", bytemuck::cast_slice(&super::by_row(s)))?,
            images: gpu.buffer("images", 32 * pairs as u64)?,
            minima: gpu.buffer("image minima", 8 * pairs as u64)?,
            planes: gpu.buffer("correlations", pairs as u64 * plane)?,
            layout: Layout {
                plane: h * mx,
                pitch: 2 * mx,
                offset: 0,
                interleaved: true,
            },
            chunks: [h.div_ceil(lines[0]), mx.div_ceil(lines[1])],
            pairs,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        let small: u64 = self.source.iter().chain(&self.roots).map(|b| b.size()).sum();
        small + self.spectrum.size() + self.images.size() + self.minima.size() + self.planes.size()
    }

    /// Correlations and peaks of one round.
    pub(super) fn encode(&self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>, round: &Round, common: &Common) -> Result<()> {
        let images = round.images.len();
        let pairs = images / 2;
        rec.write(&self.images, 0, bytemuck::cast_slice(&round.images))?;
        rec.dispatch(
            &self.minimum,
            bytemuck::cast_slice(&[images as u32, block.stride_words]),
            &[block.buffer, &self.images, &self.minima],
            images as u64,
        )?;
        let groups = self.chunks.map(|c| c * pairs);
        let params = [0, 1].map(|k| [groups[k] as u32, self.chunks[k] as u32, block.stride_words]);
        let buffers: [&wgpu::Buffer; 6] = [
            block.buffer,
            &self.images,
            &self.minima,
            &self.source[1],
            &self.roots[1],
            &self.planes,
        ];
        rec.dispatch(&self.rows, bytemuck::cast_slice(&params[0]), &buffers, groups[0] as u64)?;
        let buffers: [&wgpu::Buffer; 4] = [&self.source[0], &self.roots[0], &self.spectrum, &self.planes];
        rec.dispatch(&self.columns, bytemuck::cast_slice(&params[1]), &buffers, groups[1] as u64)?;
        let of_windows = [round.windows as u32, round.rows.len() as u32 - 1, 0];
        let [of_windows, of_rows] = [bytemuck::cast_slice(&of_windows), bytemuck::cast_slice(&params[0])];
        match &self.ending {
            Ending::Windows(ending) => {
                let buffers: [&wgpu::Buffer; 5] = [&common.rows, &common.positions, &self.roots[1], &self.planes, &common.peaks];
                rec.dispatch(ending, of_windows, &buffers, round.windows as u64)
            }
            Ending::Maps { back, windows } => {
                rec.dispatch(back, of_rows, &[&self.roots[1], &self.planes], groups[0] as u64)?;
                let buffers: [&wgpu::Buffer; 4] = [&common.rows, &common.positions, &self.planes, &common.peaks];
                rec.dispatch(windows, of_windows, &buffers, round.windows as u64)
            }
        }
    }
}
