//! [`PatternChain`]: one raw pattern in, one processed pattern out, delivered in order to a sink.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator, Ordered, SharedSink};
use crate::error::{Error, Result};
use crate::kernels::pattern::{self, Part, Plan};
use std::sync::Arc;

/// Processed patterns, as bytes of their type, in selection order into a sink; see [`crate::kernels::pattern`]. The output is the number of
/// pixels that had to be filled.
pub struct PatternChain {
    plan: Arc<Plan>,
    sink: SharedSink<u8>,
}

impl PatternChain {
    /// Hands every pattern to `sink`, whose owner keeps another handle to finish it after the pass.
    pub fn new(plan: Arc<Plan>, sink: SharedSink<u8>) -> Self {
        PatternChain { plan, sink }
    }
}

impl Operator for PatternChain {
    type Part = Part;
    type Output = u64;
    fn name(&self) -> &'static str {
        "patterns"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        if job.frame != self.plan.raw() {
            let what = format!("a chain for {:?} on {:?}", self.plan.raw(), job.frame);
            return Err(Error::Internal(what));
        }
        let mut worker = pattern::cpu::cost(&self.plan);
        // Leaves that wait for their turn in the collector.
        worker.fixed += 4 * crate::pixel::LEAF * self.plan.output().bytes() as u64;
        Ok(Needs {
            worker,
            ..Needs::default()
        })
    }
    fn cpu(&self, _: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        Ok(pattern::cpu::stage(self.plan.clone()))
    }
    fn gpu(&self, _: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        pattern::gpu::stage(gpu, self.plan.clone())
    }
    fn collector(&self, _: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = u64>>> {
        let patterns = Ordered::new(self.sink.clone(), |p: Part| (p.first, p.count, p.bytes))?;
        Ok(Box::new(Counted { patterns, filled: 0 }))
    }
}

/// Passes patterns on and counts filled pixels.
struct Counted {
    patterns: Ordered<Part, u8>,
    filled: u64,
}

impl Collector for Counted {
    type Part = Part;
    type Output = u64;
    fn leaf(&mut self, leaf: u64, part: Part) -> Result<()> {
        self.filled += part.filled;
        self.patterns.leaf(leaf, part)
    }
    fn rest(&mut self, part: Part) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<u64> {
        Box::new(self.patterns).finish()?;
        Ok(self.filled)
    }
}
