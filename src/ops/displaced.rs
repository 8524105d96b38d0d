//! [`Displaced`]: another operator on frames that are moved first.

use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator};
use crate::error::Result;
use crate::kernels::displace::{self, Params};
use std::sync::Arc;

/// What `O` says of every selected frame moved by −s, s a vector (y, x) of its own, for patterns that wander over the detector;
/// see [`crate::kernels::displace`]. Moved frames are float32.
pub struct Displaced<O> {
    inner: O,
    params: Params,
}

impl<O> Displaced<O> {
    /// `shifts` has one entry for each selected frame.
    pub fn new(inner: O, shifts: Arc<[[f64; 2]]>) -> Self {
        Displaced {
            inner,
            params: Params { shifts },
        }
    }
}

/// The pass as the inner operator sees it.
fn moved<'a>(job: &Job<'a>) -> Job<'a> {
    Job {
        frame: displace::moved(job.frame),
        selection: job.selection,
    }
}

impl<O: Operator> Operator for Displaced<O> {
    type Part = O::Part;
    type Output = O::Output;
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        self.params.check(job.selection.len())?;
        let needs = self.inner.needs(&moved(job))?;
        Ok(Needs {
            worker: needs.worker + displace::cpu::cost(job.frame),
            ..needs
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = O::Part>>> {
        let inner = self.inner.cpu(&moved(job))?;
        Ok(displace::cpu::stage(Isa::active(), job.frame, &self.params, inner))
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = O::Part>>> {
        let inner = self.inner.gpu(&moved(job), gpu)?;
        displace::gpu::stage(gpu, job.frame, &self.params, inner)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = O::Part, Output = O::Output>>> {
        self.inner.collector(&moved(job))
    }
}
