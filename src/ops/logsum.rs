//! [`LogSum`]: Σ ln(f − min f + 1), over all frames or one sum per label.

use crate::backend::gpu::Gpu;
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::engine::{Collector, Fold, Job, Needs, Operator};
use crate::error::{Error, Result};
use crate::kernels::logsum::{self, Params, Part};
use std::sync::Arc;

/// Log-sum of the selected frames; see [`crate::kernels::logsum`].
pub struct LogSum {
    params: Params,
    labels: u64,
}

impl LogSum {
    /// One sum over all frames (label 0).
    pub fn all() -> Self {
        LogSum {
            params: Params { labels: None },
            labels: 1,
        }
    }
    /// One sum per label; `labels` has one entry per selected frame, negative ones are left out.
    pub fn by_label(labels: Arc<[i32]>) -> Self {
        let highest = labels.iter().copied().max().unwrap_or(0).max(0) as u64;
        LogSum {
            params: Params { labels: Some(labels) },
            labels: highest + 1,
        }
    }
}

impl Operator for LogSum {
    type Part = Part;
    type Output = Part;
    fn name(&self) -> &'static str {
        "log-sum"
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        if let Some(l) = &self.params.labels
            && l.len() as u64 != job.selection.len()
        {
            return Err(Error::parameter(
                "labels",
                format!("{} labels for {} frames", l.len(), job.selection.len()),
            ));
        }
        let pixels = job.frame.pixels() as u64;
        // A leaf rarely crosses more than three labels; each has a product, a float32 sum and a float64 part.
        let in_a_leaf = self.labels.min(3);
        Ok(Needs {
            worker: Cost {
                fixed: pixels * in_a_leaf * 16,
                per_frame: 0,
            },
            output: pixels * 8 * self.labels * 2,
        })
    }
    fn cpu(&self, job: &Job<'_>) -> Result<Box<dyn CpuStage<Part = Part>>> {
        logsum::cpu::stage(job.frame, &self.params)
    }
    fn gpu(&self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn GpuStage<Part = Part>>> {
        logsum::gpu::stage(gpu, job.frame, &self.params)
    }
    fn collector(&self, _: &Job<'_>) -> Result<Box<dyn Collector<Part = Part, Output = Part>>> {
        Ok(Box::new(Fold::new()))
    }
}
