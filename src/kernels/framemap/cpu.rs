//! CPU path: frame by frame.

use super::{Params, Part};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::ln::ln;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, LEAF, Sample};
use crate::with_pixel;

per_isa! {
    /// Converts a frame.
    fn convert[T: Sample][T](frame: &[T], out: &mut [f32]) {
        for (o, v) in out.iter_mut().zip(frame) {
            *o = v.to_f32();
        }
    }
}

per_isa! {
    /// Sums blocks of `bin` × `bin` pixels: each row of a block from left to right, then the rows from top to bottom.
    fn sum_blocks[T: Sample][T](frame: &[T], width: usize, bin: usize, out_width: usize, out: &mut [f32]) {
        out.fill(0.0);
        for (out, rows) in out.chunks_exact_mut(out_width).zip(frame.chunks(width * bin)) {
            for row in rows.chunks_exact(width) {
                for (o, block) in out.iter_mut().zip(row.chunks_exact(bin)) {
                    let mut sum = 0.0;
                    for v in block {
                        sum += v.to_f32();
                    }
                    *o += sum;
                }
            }
        }
    }
}

per_isa! {
    /// ln(f − min f + 1) in place.
    fn log_scale(out: &mut [f32]) {
        let mut lanes = [f32::INFINITY; 16];
        let (chunks, rest) = out.as_chunks::<16>();
        for chunk in chunks {
            for (m, &x) in lanes.iter_mut().zip(chunk) {
                *m = if x < *m { x } else { *m };
            }
        }
        let mut min = f32::INFINITY;
        for &x in lanes.iter().chain(rest) {
            min = if x < min { x } else { min };
        }
        for o in out.iter_mut() {
            *o = ln(*o - min + 1.0);
        }
    }
}

/// The mapped frames since the last part.
struct Stage {
    isa: Isa,
    shape: FrameShape,
    params: Params,
    output: (usize, usize),
    first: u64,
    count: usize,
    values: Vec<f32>,
}

impl Stage {
    fn add<T: Sample>(&mut self, frame: &[T]) {
        let start = self.values.len();
        self.values.resize(start + self.output.0 * self.output.1, 0.0);
        let out = &mut self.values[start..];
        if self.params.bin == 1 {
            convert(self.isa, frame, out);
        } else {
            sum_blocks(self.isa, frame, self.shape.width, self.params.bin, self.output.1, out);
        }
        if self.params.log {
            log_scale(self.isa, out);
        }
    }
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "frame map of {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        if self.count == 0 {
            self.first = frames.first();
        }
        for i in 0..frames.count() {
            with_pixel!(self.shape.pixel, T => self.add::<T>(frames.frame(i)));
        }
        self.count += frames.count();
        Ok(())
    }

    fn take(&mut self) -> Option<Part> {
        let count = std::mem::take(&mut self.count);
        (count > 0).then(|| Part {
            first: self.first,
            count,
            values: std::mem::take(&mut self.values),
        })
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        Ok(self.take())
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}

/// A stage for one worker.
///
/// # Errors
/// Those of [`Params::output`].
pub fn stage(shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    stage_with(Isa::active(), shape, params)
}

/// [`stage`] on a given instruction set.
///
/// # Errors
/// Those of [`Params::output`].
pub fn stage_with(isa: Isa, shape: FrameShape, params: &Params) -> Result<Box<dyn CpuStage<Part = Part>>> {
    let output = params.output(shape.height, shape.width)?;
    Ok(Box::new(Stage {
        isa,
        shape,
        params: *params,
        output,
        first: 0,
        count: 0,
        values: Vec::new(),
    }))
}

/// Memory of one worker's stage: 4 bytes for each value of the output frames until they are taken, which is after each
/// call of [`CpuStage::take`] or a leaf at the latest. `together` is the number of frames until then.
///
/// # Errors
/// Those of [`Params::output`].
pub fn cost(shape: FrameShape, params: &Params, together: u64) -> Result<Cost> {
    let (height, width) = params.output(shape.height, shape.width)?;
    Ok(Cost {
        fixed: 4 * (height * width) as u64 * together.min(LEAF),
        per_frame: 0,
    })
}
