//! GPU path: a round of patterns lies in two float32 buffers; each step is one to three dispatches over all of them. The static
//! background rides on the conversion, division on the columns of the low-pass, the last stretch on packing: the usual chain reads
//! and writes each pattern five times on the device, and once over the bus in each direction.

use super::plan::{Axis, LEVELS, Plan, Rank, Ready};
use super::{Dynamic, Part, Static};
use crate::backend::gpu::rounds::{Rounds, words_of};
use crate::backend::gpu::shader::{THREADS, lanes, prelude};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, Pipeline, Recorder};
use crate::backend::stage::{Cost, GpuStage};
use crate::error::{Error, Result};
use crate::pixel::{LEAF, Pixel};
use std::sync::Arc;

/// All pipelines, built at start-up.
struct Pipelines {
    begin: Pipeline,
    scaled: Pipeline,
    flatten: Pipeline,
    circle: Pipeline,
    fill: Pipeline,
    square: Pipeline,
    normalise: Pipeline,
    centre: Pipeline,
    rows: Pipeline,
    columns: Pipeline,
    percentiles: Pipeline,
    stretch: Pipeline,
    pack: Pipeline,
    hot: Pipeline,
    maps: Pipeline,
    equalise: Pipeline,
}

impl Pipelines {
    fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        let pixel = plan.frame.pixel;
        let group = include_str!("../../../shaders/common/group.wgsl");
        let floats = format!("const FLOATS = {};\n", pixel == Pixel::F32);
        let begin = prelude(pixel) + &floats + include_str!("../../../shaders/pattern_begin.wgsl");
        let point = group.to_owned() + include_str!("../../../shaders/pattern_point.wgsl");
        let lowpass = group.to_owned() + include_str!("../../../shaders/pattern_lowpass.wgsl");
        let range = group.to_owned() + include_str!("../../../shaders/pattern_range.wgsl");
        let top = if plan.output == Pixel::U8 { "255.0" } else { "65535.0" };
        let pack = format!("const PACK = {}u;\nconst TOP = {top};\n{group}", lanes(plan.output));
        let pack = pack + include_str!("../../../shaders/pattern_stretch.wgsl");
        let hot = group.to_owned() + include_str!("../../../shaders/pattern_hot.wgsl");
        let clahe = group.to_owned() + include_str!("../../../shaders/pattern_clahe.wgsl");
        let point = |entry: &str| gpu.pipeline("pattern point", &point, entry, &[], 3, 2);
        let low = |entry: &str| gpu.pipeline("pattern lowpass", &lowpass, entry, &[], 2, 3);
        let packing = format!("pattern stretch {}", plan.output);
        Ok(Pipelines {
            begin: gpu.pipeline(&format!("pattern {pixel}"), &begin, "begin", &[], 2, 2)?,
            scaled: point("subtract_scaled")?,
            flatten: point("flatten")?,
            circle: point("circle")?,
            fill: point("fill")?,
            square: point("square")?,
            normalise: point("normalise")?,
            centre: point("centre")?,
            rows: low("rows")?,
            columns: low("columns")?,
            percentiles: gpu.pipeline("pattern range", &range, "percentiles", &[], 1, 1)?,
            stretch: gpu.pipeline(&packing, &pack, "stretch", &[], 1, 2)?,
            pack: gpu.pipeline(&packing, &pack, "pack", &[], 1, 2)?,
            hot: gpu.pipeline("pattern hot", &hot, "remove_hot", &[], 1, 1)?,
            maps: gpu.pipeline("pattern clahe", &clahe, "maps", &[], 1, 2)?,
            equalise: gpu.pipeline("pattern clahe", &clahe, "equalise", &[], 1, 2)?,
        })
    }
}

/// Tables of one step on the device.
enum Tables {
    None,
    /// Background and pixels to fill.
    Static {
        image: Buffer,
        fill: Option<Buffer>,
    },
    /// Weights and sources of both axes.
    Window([[Buffer; 2]; 2]),
    Circle(Buffer),
}

/// A stage on `gpu`.
///
/// # Errors
/// [`Error::Device`] when the frame is too large for this device, [`Error::DeviceMemory`].
pub fn stage(gpu: &Gpu, plan: Arc<Plan>) -> Result<Box<dyn GpuStage<Part = Part>>> {
    let pixels = plan.pixels() as u64;
    let words = plan.pixels().div_ceil(lanes(plan.output));
    let mut per_frame = 4 * pixels;
    // Raw pixels read, and weights of the longest window for each pixel.
    let mut work = (plan.frame.pixels() + 16 * plan.pixels()) as u64;
    for step in &plan.steps {
        match step {
            Ready::Clahe(t) => per_frame = per_frame.max(4 * (t.count[0] * t.count[1] * t.bins) as u64),
            Ready::Lowpass { axes, .. } | Ready::LocalNorm { axes } => {
                work = work.max(pixels * axes.iter().map(|a| a.weights.len() as u64).max().unwrap_or(0));
            }
            _ => {}
        }
    }
    let rounds = Rounds::new(gpu, per_frame, work);
    let frames = rounds.frames() as u64;
    // Only where a step needs them.
    let space = |label: &str, needed: fn(&Ready) -> bool| match plan.steps.iter().any(needed) {
        true => gpu.buffer(label, rounds.bytes()),
        false => gpu.buffer(label, 16),
    };
    let levels = space("grey-level maps", |s| matches!(s, Ready::Clahe(_)))?;
    let local = |s: &Ready| matches!(s, Ready::LocalNorm { .. });
    let aside = [space("means", local)?, space("mean squares", local)?];
    Ok(Box::new(Stage {
        pipelines: Pipelines::new(gpu, &plan)?,
        tables: plan.steps.iter().map(|s| tables(gpu, s)).collect::<Result<_>>()?,
        values: gpu.buffer("patterns", 4 * pixels * frames)?,
        other: gpu.buffer("patterns aside", 4 * pixels * frames)?,
        packed: gpu.buffer("packed patterns", 4 * words as u64 * frames)?,
        ranges: gpu.buffer("pattern ranges", 8 * frames)?,
        filled: gpu.buffer("filled pixels", 4 * frames)?,
        nothing: gpu.buffer("nothing", 16)?,
        levels,
        aside,
        words,
        rounds,
        plan,
    }))
}

/// A buffer with these words.
fn table(gpu: &Gpu, label: &str, words: &[u32]) -> Result<Buffer> {
    let buffer = gpu.buffer(label, 4 * words.len().max(1) as u64)?;
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    Ok(buffer)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn tables(gpu: &Gpu, step: &Ready) -> Result<Tables> {
    let axis = |a: &Axis| -> Result<[Buffer; 2]> {
        Ok([
            table(gpu, "window", &bits(&a.weights))?,
            table(gpu, "window sources", &a.sources)?,
        ])
    };
    Ok(match step {
        Ready::Static { image, fill, .. } => {
            let list: Vec<u32> = [&fill.pixels, &fill.starts, &fill.sources]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            Tables::Static {
                image: table(gpu, "static background", &bits(image))?,
                fill: match fill.pixels.is_empty() {
                    true => None,
                    false => Some(table(gpu, "pixels to fill", &list)?),
                },
            }
        }
        Ready::Lowpass { axes, .. } | Ready::LocalNorm { axes } => Tables::Window([axis(&axes[0])?, axis(&axes[1])?]),
        Ready::Circle(inside) => {
            let inside: Vec<u32> = inside.iter().map(|&i| u32::from(i)).collect();
            Tables::Circle(table(gpu, "circle", &inside)?)
        }
        _ => Tables::None,
    })
}

struct Stage {
    plan: Arc<Plan>,
    pipelines: Pipelines,
    tables: Vec<Tables>,
    values: Buffer,
    other: Buffer,
    packed: Buffer,
    ranges: Buffer,
    filled: Buffer,
    levels: Buffer,
    /// Two more pattern buffers for the local normalisation.
    aside: [Buffer; 2],
    /// Stands where a step has no table.
    nothing: Buffer,
    /// Words of a packed pattern.
    words: usize,
    rounds: Rounds,
}

/// The static background that the conversion takes along.
fn first_static(plan: &Plan) -> Option<u32> {
    match plan.steps.first() {
        Some(Ready::Static { how: Static::Divide, .. }) => Some(1),
        Some(Ready::Static {
            how: Static::Subtract, ..
        }) => Some(2),
        _ => None,
    }
}

/// One of the entries that look at one pixel, and what it is given.
struct Point<'a> {
    pipeline: &'a Pipeline,
    groups: u64,
    fills: usize,
    range: [f32; 2],
    background: Option<&'a Buffer>,
    table: Option<&'a Buffer>,
    other: Option<&'a Buffer>,
}

impl<'a> Point<'a> {
    fn new(pipeline: &'a Pipeline, groups: u64) -> Self {
        Point {
            pipeline,
            groups,
            fills: 0,
            range: [0.0; 2],
            background: None,
            table: None,
            other: None,
        }
    }
}

impl Stage {
    /// Workgroups with a thread for each of `items` of `count` patterns.
    fn groups(items: usize, count: usize) -> u64 {
        ((items * count) as u64).div_ceil(THREADS)
    }

    fn begin(&self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>, from: usize, count: usize) -> Result<()> {
        let plan = &self.plan;
        let mode = first_static(plan);
        let background = match (mode, self.tables.first()) {
            (Some(_), Some(Tables::Static { image, .. })) => image,
            _ => &self.nothing,
        };
        let params = [
            from,
            count,
            block.stride_words as usize,
            plan.frame.height,
            plan.frame.width,
            plan.height,
            plan.width,
            plan.bin,
            mode.unwrap_or(0) as usize,
        ]
        .map(|v| v as u32);
        rec.clear(&self.filled)?;
        rec.dispatch(
            &self.pipelines.begin,
            bytemuck::cast_slice(&params),
            &[block.buffer, background, &self.values, &self.filled],
            Self::groups(plan.pixels(), count),
        )
    }

    /// A dispatch of one of the entries that look at one pixel.
    fn point(&self, rec: &mut Recorder<'_>, what: Point<'_>, count: usize) -> Result<()> {
        let params = [
            count as u32,
            self.plan.pixels() as u32,
            what.fills as u32,
            what.range[0].to_bits(),
            what.range[1].to_bits(),
        ];
        let buffers: [&wgpu::Buffer; 5] = [
            what.background.unwrap_or(&self.nothing),
            what.table.unwrap_or(&self.nothing),
            &self.ranges,
            &self.values,
            what.other.unwrap_or(&self.other),
        ];
        rec.dispatch(what.pipeline, bytemuck::cast_slice(&params), &buffers, what.groups)
    }

    fn range(&self, rec: &mut Recorder<'_>, count: usize, low: Rank, high: Rank) -> Result<()> {
        let params = [
            count as u32,
            self.plan.pixels() as u32,
            low.below as u32,
            high.below as u32,
            (low.part as f32).to_bits(),
            (high.part as f32).to_bits(),
        ];
        rec.dispatch(
            &self.pipelines.percentiles,
            bytemuck::cast_slice(&params),
            &[&self.values, &self.ranges],
            count as u64,
        )
    }

    /// Smallest and largest value of each pattern.
    fn extremes(&self, rec: &mut Recorder<'_>, count: usize) -> Result<()> {
        let n = self.plan.pixels();
        self.range(rec, count, Rank::new(0.0, n), Rank::new(100.0, n))
    }

    fn stretch(&self, rec: &mut Recorder<'_>, pipeline: &Pipeline, count: usize, flags: u32, to: [f32; 2]) -> Result<()> {
        let params = [
            count as u32,
            self.plan.pixels() as u32,
            self.words as u32,
            flags,
            to[0].to_bits(),
            to[1].to_bits(),
        ];
        let items = if std::ptr::eq(pipeline, &self.pipelines.pack) {
            self.words
        } else {
            self.plan.pixels()
        };
        rec.dispatch(
            pipeline,
            bytemuck::cast_slice(&params),
            &[&self.ranges, &self.values, &self.packed],
            Self::groups(items, count),
        )
    }

    /// Low-pass of `from` by way of `aside`; what becomes of it is `mode`.
    fn lowpass(
        &self,
        rec: &mut Recorder<'_>,
        window: &[[Buffer; 2]; 2],
        axes: &[Axis; 2],
        count: usize,
        mode: (u32, f32),
        buffers: [&Buffer; 2],
    ) -> Result<()> {
        for (axis, pipeline) in [(1, &self.pipelines.rows), (0, &self.pipelines.columns)] {
            let params = [
                count as u32,
                self.plan.height as u32,
                self.plan.width as u32,
                axes[axis].weights.len() as u32,
                mode.0,
                mode.1.to_bits(),
            ];
            let [weights, sources] = &window[axis];
            rec.dispatch(
                pipeline,
                bytemuck::cast_slice(&params),
                &[weights, sources, buffers[0], buffers[1], &self.filled],
                Self::groups(self.plan.pixels(), count),
            )?;
        }
        Ok(())
    }

    fn step(&self, rec: &mut Recorder<'_>, number: usize, count: usize) -> Result<()> {
        let pixels = self.plan.pixels();
        let all = Self::groups(pixels, count);
        match (&self.plan.steps[number], &self.tables[number]) {
            (Ready::Hot(factor), _) => {
                let params = [
                    count as u32,
                    self.plan.height as u32,
                    self.plan.width as u32,
                    factor.to_bits(),
                ];
                let buffers: [&wgpu::Buffer; 2] = [&self.values, &self.other];
                rec.dispatch(&self.pipelines.hot, bytemuck::cast_slice(&params), &buffers, all)?;
                rec.copy(&self.other, 0, &self.values, 0, 4 * (pixels * count) as u64)
            }
            (Ready::Static { range, how, fill, .. }, Tables::Static { image, fill: list }) => {
                match how {
                    Static::SubtractScaled => {
                        self.extremes(rec, count)?;
                        let scaled = Point {
                            background: Some(image),
                            range: *range,
                            ..Point::new(&self.pipelines.scaled, all)
                        };
                        self.point(rec, scaled, count)?;
                    }
                    _ if number == 0 => {}
                    how => {
                        let divide = f32::from(u8::from(*how == Static::Divide));
                        let flatten = Point {
                            background: Some(image),
                            range: [divide, 0.0],
                            ..Point::new(&self.pipelines.flatten, all)
                        };
                        self.point(rec, flatten, count)?;
                    }
                }
                let Some(list) = list else { return Ok(()) };
                let fills = fill.pixels.len();
                let filling = Point {
                    table: Some(list),
                    fills,
                    ..Point::new(&self.pipelines.fill, Self::groups(fills, count))
                };
                self.point(rec, filling, count)
            }
            (Ready::Lowpass { axes, how }, Tables::Window(window)) => {
                let mode = match how {
                    Dynamic::Divide => (0, 1.0),
                    Dynamic::Subtract { scale } => (1, *scale),
                    Dynamic::Background => (2, 1.0),
                };
                self.lowpass(rec, window, axes, count, mode, [&self.values, &self.other])
            }
            (Ready::LocalNorm { axes }, Tables::Window(window)) => self.local_norm(rec, window, axes, count),
            (Ready::Clahe(t), _) => {
                self.extremes(rec, count)?;
                let params = [
                    count,
                    self.plan.height,
                    self.plan.width,
                    t.count[0],
                    t.count[1],
                    t.size[0],
                    t.size[1],
                    t.limit as usize,
                    t.bins,
                    1 + LEVELS / t.bins,
                ]
                .map(|v| v as u32);
                let buffers: [&wgpu::Buffer; 3] = [&self.ranges, &self.values, &self.levels];
                let tiles = (t.count[0] * t.count[1] * count) as u64;
                rec.dispatch(&self.pipelines.maps, bytemuck::cast_slice(&params), &buffers, tiles)?;
                rec.dispatch(&self.pipelines.equalise, bytemuck::cast_slice(&params), &buffers, all)?;
                self.extremes(rec, count)?;
                self.stretch(rec, &self.pipelines.stretch, count, 1, [0.0, 1.0])
            }
            (Ready::Stretch { low, high, to, whole }, _) => {
                self.range(rec, count, *low, *high)?;
                if number + 1 == self.plan.steps.len() {
                    return Ok(()); // Packing does the rest.
                }
                let flags = 1 | if *whole { 2 } else { 0 };
                self.stretch(rec, &self.pipelines.stretch, count, flags, *to)
            }
            (Ready::Circle(_), Tables::Circle(inside)) => {
                let circle = Point {
                    table: Some(inside),
                    ..Point::new(&self.pipelines.circle, all)
                };
                self.point(rec, circle, count)
            }
            _ => Err(Error::Internal("a step without its tables".into())),
        }
    }

    /// Mean and mean square of the window around by the low-pass, then (x − mean) / deviation.
    fn local_norm(&self, rec: &mut Recorder<'_>, window: &[[Buffer; 2]; 2], axes: &[Axis; 2], count: usize) -> Result<()> {
        let pixels = self.plan.pixels();
        let all = Self::groups(pixels, count);
        let bytes = 4 * (pixels * count) as u64;
        let [mean, second] = &self.aside;
        self.point(rec, Point::new(&self.pipelines.centre, count as u64), count)?;
        rec.copy(&self.values, 0, mean, 0, bytes)?;
        self.lowpass(rec, window, axes, count, (2, 1.0), [mean, &self.other])?;
        self.point(rec, Point::new(&self.pipelines.square, all), count)?;
        rec.copy(&self.other, 0, second, 0, bytes)?;
        self.lowpass(rec, window, axes, count, (2, 1.0), [second, &self.other])?;
        let normalise = Point {
            background: Some(mean),
            other: Some(second),
            ..Point::new(&self.pipelines.normalise, all)
        };
        self.point(rec, normalise, count)
    }
}

impl GpuStage for Stage {
    type Part = Part;

    fn cost(&self) -> Cost {
        let buffers = [
            &self.values,
            &self.other,
            &self.packed,
            &self.levels,
            &self.aside[0],
            &self.aside[1],
        ];
        Cost {
            fixed: buffers.iter().map(|b| b.size()).sum(),
            // On their way back.
            per_frame: 4 * self.words as u64,
        }
    }

    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        for (from, count) in self.rounds.of(block.count) {
            self.begin(rec, block, from, count)?;
            for number in 0..self.plan.steps.len() {
                self.step(rec, number, count)?;
            }
            let round = if self.plan.round { 4 } else { 0 };
            let (flags, to) = match self.plan.steps.last() {
                Some(Ready::Stretch { to, whole, .. }) => (1 | if *whole { 2 } else { 0 }, *to),
                _ => (0, [0.0, 1.0]),
            };
            self.stretch(rec, &self.pipelines.pack, count, flags | round, to)?;
            rec.read(&self.packed, 0, 4 * (self.words * count) as u64)?;
            rec.read(&self.filled, 0, 4 * count as u64)?;
        }
        Ok(())
    }

    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<Vec<(u64, Part)>> {
        let frame = self.plan.output().bytes();
        let fixed: u64 = self.plan.bad_background() as u64;
        let mut part = Part {
            first,
            count,
            bytes: Vec::with_capacity(count * frame),
            filled: fixed * count as u64,
        };
        for pair in reads.chunks_exact(2) {
            for pattern in pair[0].chunks_exact(4 * self.words) {
                part.bytes.extend_from_slice(&pattern[..frame]);
            }
            part.filled += words_of(pair[1]).iter().map(|&n| u64::from(n)).sum::<u64>();
        }
        if part.bytes.len() != count * frame {
            let what = format!("{} bytes of {count} patterns came back", part.bytes.len());
            return Err(Error::Internal(what));
        }
        Ok(vec![(first / LEAF, part)])
    }

    fn encode_finish(&mut self, _rec: &mut Recorder<'_>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _reads: &[&[u8]]) -> Result<Option<Part>> {
        Ok(None)
    }
}
