//! CPU path: 16 frames side by side in vector lanes, pixel after pixel.
//!
//! A tile of pixels of up to 16 frames is turned into lanes once, as float32 or, where most pixels belong to one mask at most, as they are; every
//! mask that touches the tile then adds its products. Inside a tile sums run in float32, in four interleaved chains (sparse) or runs of 128 pixels (dense); tiles and
//! runs add up in float64. So the order of additions depends on the mask alone and lanes never mix.
//!
//! What limits it: small stamps, turning every pixel into lanes; large ones, one load of 64 bytes for each value of a mask.

mod lanes;
mod plan;

pub use plan::Plan;

use super::{MaskStack, Part};
use crate::backend::cpu::isa::Isa;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Pixel, Sample};
use lanes::{LANES, Lanes, TILE};
use plan::Work;
use std::sync::Arc;

/// State of one leaf and the scratch space of one group of frames.
struct Stage {
    isa: Isa,
    shape: FrameShape,
    plan: Arc<Plan>,
    tile: Box<[Lanes; TILE]>,
    narrow: Box<lanes::Narrow>,
    totals: Vec<[f64; LANES]>,
    first: u64,
    values: Vec<f32>,
}

impl Stage {
    /// Products of at most 16 frames, appended to the leaf's values.
    fn add<T: Sample>(&mut self, frames: Frames<'_>) {
        let pixels = self.shape.pixels();
        let mut totals = std::mem::take(&mut self.totals);
        totals.fill([0.0; LANES]);
        // Lanes without a frame repeat the first one; their sums are not looked at.
        let lane = |i: usize| frames.frame::<T>(if i < frames.count() { i } else { 0 });
        for tile in &self.plan.tiles {
            let end = (tile.start + TILE).min(pixels);
            let rows: [&[T]; LANES] = std::array::from_fn(|i| &lane(i)[tile.start..end]);
            let width = end - tile.start;
            let small = size_of::<T>() <= 2;
            let late = small && self.plan.narrow;
            if small {
                lanes::interleave_narrow(self.isa, &rows, width, &mut self.narrow);
            } else {
                lanes::interleave(self.isa, &rows, width, &mut self.tile);
            }
            if small && !late {
                lanes::widen::<T>(self.isa, &self.narrow, width, &mut self.tile);
            }
            match &self.plan.work {
                Work::Sparse { segments, index, value } => {
                    let segments = &segments[tile.work.clone()];
                    if late {
                        lanes::sparse_narrow::<T>(self.isa, &self.narrow, segments, index, value, &mut totals);
                    } else {
                        lanes::sparse(self.isa, &self.tile, segments, index, value, &mut totals);
                    }
                }
                Work::Dense { value } => {
                    lanes::dense(self.isa, &self.tile[..width], &value[tile.work.clone()], &mut totals);
                }
            }
        }
        let masks = self.plan.masks;
        let before = self.values.len();
        if before == 0 {
            self.values.reserve_exact(masks * LEAF as usize);
        }
        self.values.resize(before + masks * frames.count(), 0.0);
        lanes::by_frame(self.isa, &totals, masks, frames.count(), &mut self.values[before..]);
        self.totals = totals;
    }
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "masks for {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        if self.values.is_empty() {
            self.first = frames.first();
        }
        for from in (0..frames.count()).step_by(LANES) {
            let group = frames.slice(from, (from + LANES).min(frames.count()));
            match self.shape.pixel {
                Pixel::U8 => self.add::<u8>(group),
                Pixel::I8 => self.add::<i8>(group),
                Pixel::U16 => self.add::<u16>(group),
                Pixel::I16 => self.add::<i16>(group),
                Pixel::U32 => self.add::<u32>(group),
                Pixel::I32 => self.add::<i32>(group),
                Pixel::F32 => self.add::<f32>(group),
            }
        }
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        Ok(Some(Part {
            first: self.first,
            values: std::mem::take(&mut self.values),
        }))
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker with its own [`Plan`]. Workers that share one save memory: see [`stage_on_plan`].
///
/// # Errors
/// Those of [`MaskStack::check`].
pub fn stage(shape: FrameShape, params: &MaskStack) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(stage_on_plan(Isa::active(), shape, Plan::new(shape, params)?))
}

/// A stage for one worker that reads a plan made for the same shape.
pub fn stage_on_plan(isa: Isa, shape: FrameShape, plan: Arc<Plan>) -> Box<dyn CpuStage<Part = Part>> {
    let totals = vec![[0.0; LANES]; plan.masks.next_multiple_of(lanes::BLOCK)];
    Box::new(Stage {
        isa,
        shape,
        plan,
        tile: lanes::tile(),
        narrow: lanes::narrow(),
        totals,
        first: 0,
        values: Vec::new(),
    })
}

/// Memory of one worker's stage: 128 bytes a mask, 48 KiB of frames in lanes, and 4 bytes per mask and frame
/// of a leaf. The [`Plan`], shared or not, comes on top: [`Plan::bytes`].
pub fn cost(masks: usize) -> Cost {
    let scratch = TILE * LANES * (4 + 2);
    Cost {
        fixed: (masks.next_multiple_of(lanes::BLOCK) * 8 * LANES + scratch + masks * 4 * crate::pixel::LEAF as usize) as u64,
        per_frame: 0,
    }
}
