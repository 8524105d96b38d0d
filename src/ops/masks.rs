//! [`MaskProducts`]: one number per frame and mask, the feature vectors and virtual detectors.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator, Rows};
use crate::error::Result;
use crate::kernels::masks::{self, MaskStack, Part};

/// Products of every selected frame with a mask stack: `frames × masks` values in selection order; see [`crate::kernels::masks`].
pub struct MaskProducts<'a>(pub &'a MaskStack);

impl Operator for MaskProducts<'_> {
    type Part = Part;
    type Output = Vec<f32>;
    fn name(&self) -> &'static str {
        "masks"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        self.0.check(job.frame.height, job.frame.width)?;
        let row = 4 * self.0.len() as u64;
        let entries = match self.0 {
            MaskStack::Stamps { stamp, positions } => 4 * stamp.len() as u64 + 8 * positions.len() as u64,
            MaskStack::Csr { values, .. } => 8 * values.len() as u64,
            MaskStack::Dense { rows } => 4 * rows.len() as u64,
        };
        // Sixteen frames lie side by side as float32 while they meet the masks.
        let worker = Cost {
            fixed: entries + 16 * 4 * job.frame.pixels() as u64 + 64 * row,
            per_frame: 0,
        };
        Ok(Needs {
            worker,
            output: row * job.selection.len(),
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        masks::cpu::stage(job.frame, self.0)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        masks::gpu::stage(gpu, job.frame, self.0)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<f32>>>> {
        Ok(Box::new(Rows::new(job.selection.len(), self.0.len(), |p: Part| {
            (p.first, p.values)
        })))
    }
}
