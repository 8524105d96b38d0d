//! [`FrameMap`]: one frame in, one float32 frame out, delivered in order to a sink. [`FrameRows`]: every frame a row of a matrix.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::engine::{Collector, FrameSink, Job, Needs, Operator, Ordered, Rows};
use crate::error::Result;
use crate::kernels::framemap::{self, Params, Part};
use crate::pixel::LEAF;
use std::sync::{Arc, Mutex};

/// Binned and log-scaled frames, in selection order, into a [`FrameSink`]; see [`crate::kernels::framemap`].
pub struct FrameMap {
    params: Params,
    sink: Arc<Mutex<Box<dyn FrameSink>>>,
}

impl FrameMap {
    /// Hands every mapped frame to `sink`, whose owner keeps another handle to finish it after the pass.
    pub fn new(params: Params, sink: Arc<Mutex<Box<dyn FrameSink>>>) -> Self {
        FrameMap { params, sink }
    }
}

impl Operator for FrameMap {
    type Part = Part;
    type Output = ();
    fn name(&self) -> &'static str {
        "frame map"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        let (h, w) = self.params.output(job.frame.height, job.frame.width)?;
        let frame = 4 * (h * w) as u64;
        // The leaf that is being mapped and up to four that wait for their turn, per worker.
        Ok(Needs {
            worker: Cost {
                fixed: 5 * LEAF * frame,
                per_frame: 0,
            },
            output: 0,
            ..Needs::default()
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        framemap::cpu::stage(job.frame, &self.params)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        framemap::gpu::stage(gpu, job.frame, &self.params)
    }
    fn collector(&self, _: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = ()>>> {
        Ok(Box::new(Ordered::new(self.sink.clone(), |p: Part| {
            (p.first, p.count, p.values)
        })?))
    }
}

/// All pixels of every selected frame as a row of float32: `frames × pixels` values. For frames that another stage made small.
pub struct FrameRows;

const AS_IT_IS: Params = Params { bin: 1, log: false };

impl Operator for FrameRows {
    type Part = Part;
    type Output = Vec<f32>;
    fn name(&self) -> &'static str {
        "features"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        Ok(Needs {
            worker: framemap::cpu::cost(job.frame, &AS_IT_IS, LEAF)?,
            output: 4 * job.frame.pixels() as u64 * job.selection.len(),
            ..Needs::default()
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        framemap::cpu::stage(job.frame, &AS_IT_IS)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        framemap::gpu::stage(gpu, job.frame, &AS_IT_IS)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<f32>>>> {
        Ok(Box::new(Rows::new(job.selection.len(), job.frame.pixels(), |p: Part| {
            (p.first, p.values)
        })))
    }
}
