//! [`MaskProducts`]: one number per frame and mask, the feature vectors and virtual detectors; the masks may follow a pattern that
//! wanders.

use crate::backend::cpu::isa::Isa;
use crate::backend::gpu::Gpu;
use crate::backend::stage::{CpuStage, GpuStage};
use crate::engine::{Collector, Job, Needs, Operator, Rows};
use crate::error::Result;
use crate::kernels::displace;
use crate::kernels::masks::cpu::Plan;
use crate::kernels::masks::{self, MaskStack, Part};
use crate::pixel::FrameShape;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Products of every selected frame with a mask stack: `frames × masks` values in selection order; see [`crate::kernels::masks`].
pub struct MaskProducts<'a> {
    stack: Cow<'a, MaskStack>,
    shifts: Option<displace::Params>,
    /// The CPU kernel's order of work, shared by all workers.
    plan: Mutex<Option<(FrameShape, Arc<Plan>)>>,
}

impl<'a> MaskProducts<'a> {
    pub fn new(stack: &'a MaskStack) -> Self {
        Self::of(Cow::Borrowed(stack))
    }

    fn of(stack: Cow<'a, MaskStack>) -> Self {
        MaskProducts {
            stack,
            shifts: None,
            plan: Mutex::new(None),
        }
    }

    /// The same with the masks moved by a vector (y, x) of its own in every selected frame, for patterns that wander over the
    /// detector; see [`crate::kernels::displace`].
    pub fn shifted(mut self, shifts: Arc<[[f64; 2]]>) -> Self {
        self.shifts = Some(displace::Params { shifts });
        self
    }

    /// Frames as the mask kernel sees them.
    fn frame(&self, job: &Job<'_>) -> FrameShape {
        match self.shifts {
            Some(_) => displace::moved(job.frame),
            None => job.frame,
        }
    }

    fn plan(&self, frame: FrameShape) -> Result<Arc<Plan>> {
        let mut made = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((shape, plan)) if *shape == frame => Ok(plan.clone()),
            _ => {
                let plan = Plan::new(frame, &self.stack)?;
                *made = Some((frame, plan.clone()));
                Ok(plan)
            }
        }
    }
}

impl MaskProducts<'static> {
    /// With a stack of its own.
    pub fn owned(stack: MaskStack) -> Self {
        Self::of(Cow::Owned(stack))
    }
}

impl Operator for MaskProducts<'_> {
    type Part = Part;
    type Output = Vec<f32>;
    fn name(&self) -> &'static str {
        "masks"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        self.stack.check(job.frame.height, job.frame.width)?;
        let mut worker = masks::cpu::cost(self.stack.len());
        let mut output = 0;
        if let Some(shifts) = &self.shifts {
            shifts.check(job.selection.len())?;
            worker = worker + displace::cpu::cost(job.frame);
            output += 16 * job.selection.len();
        }
        let row = 4 * self.stack.len() as u64;
        // The plan: an index and a value for each pixel that a mask touches.
        let plan = match &*self.stack {
            MaskStack::Stamps { stamp, positions } => 6 * (stamp.len() * positions.len()) as u64,
            MaskStack::Csr { values, .. } => 6 * values.len() as u64,
            MaskStack::Dense { rows } => 4 * rows.len() as u64,
        };
        Ok(Needs {
            // The kernel puts 16 frames side by side.
            together: 16,
            worker,
            output: output + row * job.selection.len() + plan,
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        let (isa, frame) = (Isa::active(), self.frame(job));
        let stage = masks::cpu::stage_on_plan(isa, frame, self.plan(frame)?);
        Ok(match &self.shifts {
            Some(shifts) => displace::cpu::stage(isa, job.frame, shifts, stage),
            None => stage,
        })
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        let stage = masks::gpu::stage(gpu, self.frame(job), &self.stack)?;
        match &self.shifts {
            Some(shifts) => displace::gpu::stage(gpu, job.frame, shifts, stage),
            None => Ok(stage),
        }
    }
    fn collector(&self, job: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Vec<f32>>>> {
        Ok(Box::new(Rows::new(job.selection.len(), self.stack.len(), |p: Part| {
            (p.first, p.values)
        })))
    }
}
