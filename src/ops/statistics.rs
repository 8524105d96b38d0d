//! [`Statistics`]: sum, mean, variance, standard deviation, minimum, maximum of every pixel.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::engine::{Collector, Fold, Job, Needs, Operator};
use crate::error::{Error, Result};
use crate::kernels::statistics::{self, Params, Part};

/// Per-pixel statistics over the selected frames; see [`crate::kernels::statistics`].
pub struct Statistics(pub Params);

impl Operator for Statistics {
    type Part = Part;
    type Output = Part;
    fn name(&self) -> &'static str {
        "statistics"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        if job.selection.len() >= 1 << 32 {
            return Err(Error::parameter("--roi", "more than 2^32 - 1 frames in one pass"));
        }
        let wide = job.frame.pixel.bytes() == 4;
        let squares = if self.0.squares { 8 + 8 * u64::from(wide) } else { 0 };
        let extrema = if self.0.extrema { 8 } else { 0 };
        let part = job.frame.pixels() as u64 * (8 + squares + extrema);
        // A worker's own state, and as much again on its way into the collector.
        Ok(Needs {
            worker: Cost {
                fixed: 2 * part,
                per_frame: 0,
            },
            output: 2 * part,
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        statistics::cpu::stage(job.frame, &self.0)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        statistics::gpu::stage(gpu, job.frame, &self.0)
    }
    fn collector(&self, _: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Part>>> {
        Ok(Box::new(Fold::new()))
    }
}
