//! CPU path.

use super::{Params, Part};
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::pixel::FrameShape;

/// A stage for one worker.
pub fn stage(_shape: FrameShape, _params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Err(Error::Internal("not written".into()))
}
