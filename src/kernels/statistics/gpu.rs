//! GPU path.

use super::{Params, Part};
use crate::backend::gpu::Gpu;
use crate::backend::stage::GpuStage;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;

/// A stage on `gpu`.
pub fn stage(_gpu: &Gpu, _shape: FrameShape, _params: &Params) -> Result<Box<dyn GpuStage<Part = Part>>> {
    Err(Error::Internal("not written".into()))
}
