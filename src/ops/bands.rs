//! [`Bands`]: the bands of every pattern.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator, Rows};
use crate::error::Result;
use crate::kernels::hough::{self, Part, Plan};
use std::sync::Arc;

/// Height, θ and ρ of the bands of every selected pattern and its band quality, a row of [`Plan::row`] numbers each; see
/// [`crate::kernels::hough`].
pub struct Bands(pub Arc<Plan>);

impl Operator for Bands {
    type Part = Part;
    type Output = Vec<f32>;
    fn name(&self) -> &'static str {
        "bands"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        Ok(Needs {
            together: self.0.group(),
            worker: hough::cpu::cost(&self.0),
            output: 4 * self.0.row() as u64 * job.selection.len(),
        })
    }
    fn cpu(&self, _: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        Ok(hough::cpu::stage(self.0.clone()))
    }
    fn gpu(&self, _: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        hough::gpu::stage(gpu, self.0.clone())
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<f32>>>> {
        Ok(Box::new(Rows::new(job.selection.len(), self.0.row(), |p: Part| {
            (p.first, p.values)
        })))
    }
}
