//! What an operator tells the engine.

use super::{Collector, Selection};
use crate::backend::gpu::Gpu;
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::error::Result;
use crate::pixel::FrameShape;

/// The pass that an operator is asked to join.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub frame: FrameShape,
    pub selection: &'a Selection,
}

/// Host memory that an operator takes, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// State of each worker thread, and what it adds for each frame of a block.
    pub worker: Cost,
    /// Collected results.
    pub output: u64,
    /// Frames that are best worked on together on the CPU, e.g. those that fill a vector; 0 if it does not matter.
    pub together: usize,
}

/// A question asked of every frame of a pass.
pub trait Operator: Send + Sync {
    /// What a leaf, worker or device contributes.
    type Part: Send + 'static;
    type Output: Send + 'static;
    /// Short name for messages.
    fn name(&self) -> &'static str;
    /// Checks parameters against the scan and says what memory is needed; called before anything is read.
    fn needs(&self, job: &Job<'_>) -> Result<Needs>;
    /// State for one worker thread.
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Self::Part>>>;
    /// State on a device.
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Self::Part>>>;
    /// Where parts go.
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Self::Part, Output = Self::Output>>>;
}

/// One operator for several passes: what it prepared for the first one serves the others.
impl<O: Operator> Operator for &O {
    type Part = O::Part;
    type Output = O::Output;
    fn name(&self) -> &'static str {
        O::name(self)
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        O::needs(self, job)
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Self::Part>>> {
        O::cpu(self, job)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Self::Part>>> {
        O::gpu(self, job, gpu)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Self::Part, Output = Self::Output>>> {
        O::collector(self, job)
    }
}
