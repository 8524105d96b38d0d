//! [`Rebinned`]: another operator on frames that are rebinned, scaled and reduced to chosen pixels first.

use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator};
use crate::error::Result;
use crate::kernels::rebin::{self, Params};

/// What `O` says of every selected frame after [`crate::kernels::rebin`].
pub struct Rebinned<O> {
    inner: O,
    params: Params,
}

impl<O> Rebinned<O> {
    /// `inner` sees frames of shape [`Params::output`].
    pub fn new(inner: O, params: Params) -> Self {
        Rebinned { inner, params }
    }

    /// The pass as the inner operator sees it.
    fn job<'a>(&self, job: &Job<'a>) -> Result<Job<'a>> {
        Ok(Job {
            frame: self.params.output(job.frame)?,
            selection: job.selection,
        })
    }
}

impl<O: Operator> Operator for Rebinned<O> {
    type Part = O::Part;
    type Output = O::Output;
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        let needs = self.inner.needs(&self.job(job)?)?;
        Ok(Needs {
            worker: needs.worker + rebin::cpu::cost(job.frame, &self.params)?,
            ..needs
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = O::Part>>> {
        rebin::cpu::stage(Isa::active(), job.frame, &self.params, self.inner.cpu(&self.job(job)?)?)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = O::Part>>> {
        rebin::gpu::stage(gpu, job.frame, &self.params, self.inner.gpu(&self.job(job)?, gpu)?)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = O::Part, Output = O::Output>>> {
        self.inner.collector(&self.job(job)?)
    }
}
