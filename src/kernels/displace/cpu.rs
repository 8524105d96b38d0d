//! CPU path: a stage that moves frames and hands them to another.

use super::{Along, Move, Params, TAPS, moved};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, Sample};
use crate::with_pixel;

/// Frames moved before they are handed on: the number that kernels put side by side.
const TOGETHER: usize = 16;

per_isa! {
    /// Four neighbours of each pixel of a row, weighted; `row` has room for the row and three pixels around it.
    fn along_row[T: Sample][T](source: &[T], x: &Along, row: &mut [f32], out: &mut [f32]) {
        let n = source.len() as i64;
        // Pixel i of `row` is pixel i + first of the source, or zero.
        let first = i64::from(x.first);
        let (from, to) = (first.clamp(0, n), (first + row.len() as i64).clamp(0, n));
        row.fill(0.0);
        let at = (from - first).clamp(0, row.len() as i64) as usize;
        for (r, v) in row[at..].iter_mut().zip(&source[from as usize..to as usize]) {
            *r = v.to_f32();
        }
        let w = x.weights;
        let n = out.len();
        let (a, b, c, d) = (&row[..n], &row[1..n + 1], &row[2..n + 2], &row[3..n + 3]);
        for i in 0..n {
            out[i] = ((w[0] * a[i] + w[1] * b[i]) + w[2] * c[i]) + w[3] * d[i];
        }
    }
}

per_isa! {
    /// Four rows, weighted.
    fn along_column(rows: [&[f32]; TAPS], weights: &[f32; TAPS], out: &mut [f32]) {
        let n = out.len();
        let [a, b, c, d] = rows.map(|r| &r[..n]);
        let w = *weights;
        for i in 0..n {
            out[i] = ((w[0] * a[i] + w[1] * b[i]) + w[2] * c[i]) + w[3] * d[i];
        }
    }
}

/// Scratch space of one frame.
struct Scratch {
    /// A row with three pixels around it.
    row: Vec<f32>,
    /// The last four rows after the weights along x; row r of the frame is in place r mod 4.
    ring: [Vec<f32>; TAPS],
    zeros: Vec<f32>,
}

impl Scratch {
    fn new(width: usize) -> Self {
        Scratch {
            row: vec![0.0; width + TAPS - 1],
            ring: std::array::from_fn(|_| vec![0.0; width]),
            zeros: vec![0.0; width],
        }
    }

    /// Moves one frame.
    fn displace<T: Sample>(&mut self, isa: Isa, frame: &[T], width: usize, by: &Move, out: &mut [f32]) {
        let height = (frame.len() / width) as i64;
        let first = i64::from(by.y.first);
        let mut next = first.max(0);
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let from = first + y as i64;
            let to = from + TAPS as i64;
            while next < to.min(height) {
                let start = next as usize * width;
                let filtered = &mut self.ring[next as usize % TAPS];
                along_row(isa, &frame[start..start + width], &by.x, &mut self.row, filtered);
                next += 1;
            }
            let rows = std::array::from_fn(|j| {
                let r = from + j as i64;
                if (0..height).contains(&r) {
                    &self.ring[r as usize % TAPS][..]
                } else {
                    &self.zeros[..]
                }
            });
            along_column(isa, rows, &by.y.weights, out);
        }
    }
}

struct Stage<P> {
    isa: Isa,
    shape: FrameShape,
    params: Params,
    scratch: Scratch,
    /// Moved frames at the stride of a block.
    frames: Vec<u32>,
    inner: Box<dyn CpuStage<Part = P>>,
}

impl<P> CpuStage for Stage<P> {
    type Part = P;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "shifts for {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        let to = moved(self.shape);
        for from in (0..frames.count()).step_by(TOGETHER) {
            let group = frames.slice(from, (from + TOGETHER).min(frames.count()));
            for (i, out) in self.frames.chunks_exact_mut(to.stride() / 4).take(group.count()).enumerate() {
                let by = self.params.of(group.first() + i as u64, self.shape)?;
                let out = &mut bytemuck::cast_slice_mut(out)[..to.pixels()];
                with_pixel!(self.shape.pixel, T => self.scratch.displace(self.isa, group.frame::<T>(i), to.width, &by, out));
            }
            let bytes = bytemuck::cast_slice(&self.frames);
            self.inner.frames(Frames::new(to, group.first(), group.count(), bytes)?)?;
        }
        Ok(())
    }
    fn take(&mut self) -> Option<P> {
        self.inner.take()
    }
    fn end_leaf(&mut self) -> Result<Option<P>> {
        self.inner.end_leaf()
    }
    fn finish(&mut self) -> Result<Option<P>> {
        self.inner.finish()
    }
}

/// A stage that moves frames of `shape` and hands them to `inner`, a stage for frames of [`moved`] shape.
pub fn stage<P: 'static>(
    isa: Isa,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn CpuStage<Part = P>>,
) -> Box<dyn CpuStage<Part = P>> {
    Box::new(Stage {
        isa,
        shape,
        params: params.clone(),
        scratch: Scratch::new(shape.width),
        frames: vec![0; TOGETHER * moved(shape).stride() / 4],
        inner,
    })
}

/// Memory of one worker's stage besides that of the stage it hands frames to.
pub fn cost(shape: FrameShape) -> Cost {
    Cost {
        fixed: (TOGETHER * moved(shape).stride() + 4 * (TAPS + 3) * shape.width) as u64,
        per_frame: 0,
    }
}
