//! The dispatches of each step.

use super::Stage;
use super::tables::Tables;
use crate::backend::gpu::shader::THREADS;
use crate::backend::gpu::{Buffer, GpuBlock, Pipeline, Recorder};
use crate::error::{Error, Result};
use crate::kernels::pattern::plan::{Axis, LEVELS, Plan, Rank, Ready};
use crate::kernels::pattern::{Dynamic, Static};

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

    pub(super) fn begin(&self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>, from: usize, count: usize) -> Result<()> {
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

    pub(super) fn stretch(
        &self,
        rec: &mut Recorder<'_>,
        pipeline: &Pipeline,
        count: usize,
        flags: u32,
        to: [f32; 2],
    ) -> Result<()> {
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

    pub(super) fn step(&self, rec: &mut Recorder<'_>, number: usize, count: usize) -> Result<()> {
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
