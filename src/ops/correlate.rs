//! [`Correlate`]: every frame against a template around the peaks that its label expects.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator};
use crate::error::{Error, Result};
use crate::kernels::correlate::{self, Params, Part, Peak, Plan};
use crate::pixel::FrameShape;
use std::sync::Arc;

/// Positions, heights and elevations of the expected peaks of every selected frame; see [`crate::kernels::correlate`].
pub struct Correlate {
    plan: Arc<Plan>,
}

impl Correlate {
    /// Prepares the correlation of frames of shape `frame`.
    ///
    /// # Errors
    /// Those of [`Plan::new`].
    pub fn new(frame: FrameShape, params: Params) -> Result<Self> {
        Ok(Correlate {
            plan: Arc::new(Plan::new(frame, params)?),
        })
    }
}

/// What was found in every selected frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Correlations {
    offsets: Vec<u64>,
    peaks: Vec<Peak>,
}

impl Correlations {
    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.offsets.len().saturating_sub(1) as u64
    }
    /// Peaks of selected frame `n`, in the order of the expected positions of its label; none for a frame without a label.
    pub fn frame(&self, n: u64) -> &[Peak] {
        let at = |n: u64| usize::try_from(n).ok().and_then(|n| self.offsets.get(n)).map(|&o| o as usize);
        match (at(n), at(n.saturating_add(1))) {
            (Some(from), Some(to)) => self.peaks.get(from..to).unwrap_or(&[]),
            _ => &[],
        }
    }
    /// All peaks, frame after frame.
    pub fn peaks(&self) -> &[Peak] {
        &self.peaks
    }
}

impl Operator for Correlate {
    type Part = Part;
    type Output = Correlations;
    fn name(&self) -> &'static str {
        "correlation"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        if job.frame != self.plan.shape() {
            return Err(Error::Internal(format!(
                "correlation planned for {:?}, frames are {:?}",
                self.plan.shape(),
                job.frame
            )));
        }
        let (labels, frames) = (self.plan.params().labels.len() as u64, job.selection.len());
        if labels != frames {
            return Err(Error::parameter("labels", format!("{labels} labels for {frames} frames")));
        }
        let peaks: u64 = (0..frames).map(|n| self.plan.expected(n).len() as u64).sum();
        Ok(Needs {
            worker: correlate::cpu::cost(&self.plan),
            output: 8 * frames + size_of::<Peak>() as u64 * peaks,
        })
    }
    fn cpu(&self, _: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        correlate::cpu::stage(&self.plan)
    }
    fn gpu(&self, _: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        correlate::gpu::stage(gpu, &self.plan)
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Correlations>>> {
        let mut offsets = Vec::with_capacity(job.selection.len() as usize + 1);
        let mut total = 0u64;
        offsets.push(0);
        for n in 0..job.selection.len() {
            total += self.plan.expected(n).len() as u64;
            offsets.push(total);
        }
        let peaks = vec![Peak::default(); total as usize];
        Ok(Box::new(Ragged(Correlations { offsets, peaks })))
    }
}

/// Collector for lists whose lengths are known beforehand.
struct Ragged(Correlations);

impl Collector for Ragged {
    type Part = Part;
    type Output = Correlations;
    fn leaf(&mut self, _: u64, part: Part) -> Result<()> {
        let start = usize::try_from(part.first)
            .ok()
            .and_then(|n| self.0.offsets.get(n))
            .map(|&o| o as usize);
        let rows = start.and_then(|s| self.0.peaks.get_mut(s..s + part.peaks.len()));
        let missing = || Error::Internal(format!("peaks of frame {} lie outside the selection", part.first));
        rows.ok_or_else(missing)?.copy_from_slice(&part.peaks);
        Ok(())
    }
    fn rest(&mut self, part: Part) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<Correlations> {
        Ok(self.0)
    }
}
