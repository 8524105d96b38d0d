//! The joint fit as a stage of a pass.

use super::{Fit, Joint, Lattice, Settings, Status};
use crate::backend::stage::{Cost, CpuStage, Work};
use crate::error::Result;
use crate::pixel::{FrameShape, Frames, LEAF};
use crate::with_pixel;
use std::sync::Arc;

/// What is fitted in which frame.
#[derive(Debug, Clone)]
pub struct Params {
    pub settings: Settings,
    /// Where the fit starts, for each selected frame; `None`: not fitted.
    pub starts: Arc<[Option<Lattice>]>,
    /// Indices h and k run from −`most` to `most`, as far as spots lie in the frame.
    pub most: i32,
}

/// The fits of some consecutive frames; frames that were not fitted are `Undetermined`.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number, in the selection, of the first frame.
    pub first: u64,
    pub fits: Vec<Fit>,
}

/// Memory of one worker: the windows, at most some frames' worth of pixels, and the fits of a leaf.
pub fn cost(shape: FrameShape) -> Cost {
    Cost {
        fixed: 4 * 16 * shape.pixels() as u64 + 2 * LEAF * size_of::<Fit>() as u64,
        per_frame: 0,
    }
}

/// Work on a frame whose lattice is `lattice`: about three iterations of ten operations on each pixel of the windows.
pub fn work(shape: FrameShape, settings: &Settings, lattice: &Lattice, most: i32) -> Work {
    let spots = lattice.indices(shape.height, shape.width, 0.0, most).len() as f64;
    let window = super::window(&settings.shape, lattice);
    let pixels = (spots * std::f64::consts::PI * window * window) as u64;
    Work {
        read: pixels * shape.pixel.bytes() as u64,
        written: size_of::<Fit>() as u64,
        operations: 30 * pixels,
    }
}

/// A stage for one worker.
///
/// # Errors
/// Those of [`Joint::new`].
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(Box::new(Stage {
        shape,
        joint: Joint::new(shape.height, shape.width, params.settings)?,
        params: params.clone(),
        part: None,
    }))
}

struct Stage {
    shape: FrameShape,
    joint: Joint,
    params: Params,
    part: Option<Part>,
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        let part = self.part.get_or_insert_with(|| Part {
            first: frames.first(),
            fits: Vec::with_capacity(LEAF as usize),
        });
        for i in 0..frames.count() {
            let number = frames.first() + i as u64;
            let start = usize::try_from(number)
                .ok()
                .and_then(|n| self.params.starts.get(n))
                .copied()
                .flatten();
            part.fits.push(match start {
                None => Fit::failed(Status::Undetermined, self.params.settings.shape),
                Some(start) => {
                    let indices = start.indices(self.shape.height, self.shape.width, 0.0, self.params.most);
                    with_pixel!(self.shape.pixel, T => self.joint.fit(frames.frame::<T>(i), &start, &indices))
                }
            });
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(self.part.take())
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}
