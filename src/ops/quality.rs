//! [`Quality`]: image quality, mean and standard deviation of every pattern.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator, Rows};
use crate::error::Result;
use crate::kernels::quality::{self, Part, Plan, WIDTH};
use std::sync::Arc;

/// [`WIDTH`] numbers for each selected pattern; see [`crate::kernels::quality`].
pub struct Quality(pub Arc<Plan>);

impl Operator for Quality {
    type Part = Part;
    type Output = Vec<f32>;
    fn name(&self) -> &'static str {
        "image quality"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        Ok(Needs {
            worker: quality::cpu::cost(&self.0),
            output: 4 * WIDTH as u64 * job.selection.len(),
            ..Needs::default()
        })
    }
    fn cpu(&self, _: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        quality::cpu::stage(self.0.clone())
    }
    fn gpu(&self, _: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        quality::gpu::stage(gpu, self.0.clone())
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<f32>>>> {
        Ok(Box::new(Rows::new(job.selection.len(), WIDTH, |p: Part| (p.first, p.values))))
    }
}
