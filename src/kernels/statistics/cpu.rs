//! CPU path: integers in narrow partial sums, then in 64 or 128 bits; floats about the leaf's first frame.
//!
//! What limits it: small integers (8-bit, 16-bit below 2¹³) take 0.14 to 0.16 vector operations a byte, so reading the block and its sums from
//! the second-level cache does; large ones the widening of every pixel to 32 bits.

mod float;
mod integer;
mod narrow;

use super::{Params, Part};
use crate::backend::cpu::isa::Isa;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::Result;
use crate::pixel::{FrameShape, Pixel};

/// A stage for one worker.
///
/// # Errors
/// None; frames of another shape than `shape` are refused by the stage.
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    stage_with(Isa::active(), shape, params)
}

/// [`stage`] on a given instruction set.
///
/// # Errors
/// None.
pub fn stage_with(isa: Isa, shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    Ok(match shape.pixel {
        Pixel::U8 | Pixel::I8 => Box::new(integer::Stage::<u8>::new(isa, shape, *params)),
        Pixel::U16 | Pixel::I16 => Box::new(integer::Stage::<u16>::new(isa, shape, *params)),
        Pixel::U32 | Pixel::I32 => Box::new(integer::Stage::<u32>::new(isa, shape, *params)),
        Pixel::F32 => Box::new(float::Stage::new(isa, shape, *params)),
    })
}

/// Memory of one worker's stage. Per pixel: 8 bytes for the sum, 8 (8- and 16-bit) or 16 (32-bit) for the squares, for 8- and 16-bit
/// pixels 4 more for each in narrow sums, two pixels for the extrema; for floats 8 bytes, 4 more for squares, 8 more for extrema, and the part of one leaf.
pub fn cost(shape: FrameShape, params: &Params) -> Cost {
    let on = |asked: bool, bytes: usize| if asked { bytes } else { 0 };
    let size = shape.pixel.bytes();
    let per_pixel = match shape.pixel {
        Pixel::F32 => 8 + 8 + on(params.squares, 4 + 8) + on(params.extrema, 8 + 8),
        _ => {
            let narrow = on(size < 4, 4);
            8 + narrow + on(params.squares, if size == 4 { 16 } else { 8 + narrow }) + on(params.extrema, 2 * size)
        }
    };
    Cost {
        fixed: (shape.pixels() * per_pixel) as u64,
        per_frame: 0,
    }
}
