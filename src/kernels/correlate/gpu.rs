//! GPU path: not written yet.

use super::{Part, Plan};
use crate::backend::gpu::Gpu;
use crate::backend::stage::GpuStage;
use crate::error::{Error, Result};
use std::sync::Arc;

/// A stage on `gpu`.
///
/// # Errors
/// Always, for now.
pub fn stage(_gpu: &Gpu, _plan: &Arc<Plan>) -> Result<Box<dyn GpuStage<Part = Part>>> {
    Err(Error::Device(
        "correlation does not run on GPUs yet (use --backend cpu)".into(),
    ))
}
