//! [`JointFit`]: the lattice of every frame from the pixels of all its disks.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator};
use crate::error::{Error, Result};
use crate::kernels::correlate::joint::{self, Fit, Params, Part, Range};

/// Fits of every selected frame, in selection order; see [`crate::kernels::correlate::joint`].
pub struct JointFit(pub Params);

impl Operator for JointFit {
    type Part = Part;
    type Output = Vec<Fit>;
    fn name(&self) -> &'static str {
        "joint fit"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        let (starts, frames) = (self.0.starts.len() as u64, job.selection.len());
        if starts != frames {
            return Err(Error::parameter("start lattices", format!("{starts} for {frames} frames")));
        }
        if let Some(pixel) = self.0.masked.iter().find(|&&p| p as usize >= job.frame.pixels()) {
            let what = format!("{pixel} in frames of {} pixels", job.frame.pixels());
            return Err(Error::parameter("masked pixels", what));
        }
        if !self.0.pedestal.is_finite() {
            return Err(Error::parameter("pedestal", format!("{} is not finite", self.0.pedestal)));
        }
        let Range { first, last } = self.0.indices;
        if first >= last || first < -1000 || last > 1000 {
            let what = format!("{first}..{last} (want at least two, from −1000 to 1000)");
            return Err(Error::parameter("--indices", what));
        }
        Ok(Needs {
            worker: joint::cost(job.frame),
            output: size_of::<Option<Fit>>() as u64 * frames,
            ..Needs::default()
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        joint::cpu::stage(job.frame, &self.0)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        joint::gpu::stage(gpu, job.frame, &self.0)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<Fit>>>> {
        Ok(Box::new(InOrder(vec![None; job.selection.len() as usize])))
    }
}

struct InOrder(Vec<Option<Fit>>);

impl Collector for InOrder {
    type Part = Part;
    type Output = Vec<Fit>;
    fn leaf(&mut self, _: u64, part: Part) -> Result<()> {
        let first = usize::try_from(part.first).unwrap_or(usize::MAX);
        let rows = self.0.get_mut(first..first.saturating_add(part.fits.len()));
        let missing = || Error::Internal(format!("fits of frame {} lie outside the selection", part.first));
        rows.ok_or_else(missing)?
            .iter_mut()
            .zip(part.fits)
            .for_each(|(row, fit)| *row = Some(fit));
        Ok(())
    }
    fn rest(&mut self, part: Part) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<Vec<Fit>> {
        let all: Option<Vec<Fit>> = self.0.into_iter().collect();
        all.ok_or_else(|| Error::Internal("a frame was never fitted".into()))
    }
}
