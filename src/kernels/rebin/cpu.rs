//! CPU path: a stage that rebins frames and hands them to another.

use super::{Params, Scale};
use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::ln::ln;
use crate::backend::stage::{Cost, CpuStage};
use crate::error::{Error, Result};
use crate::pixel::{FrameShape, Frames, Pixel, Sample};
use crate::with_pixel;

/// Frames rebinned before they are handed on: the number that kernels put side by side.
const TOGETHER: usize = 16;

/// A pixel whose blocks are summed in integers.
trait Counted: Sample {
    fn count(self) -> i32;
}
impl Counted for u8 {
    #[inline(always)]
    fn count(self) -> i32 {
        i32::from(self)
    }
}
impl Counted for i8 {
    #[inline(always)]
    fn count(self) -> i32 {
        i32::from(self)
    }
}
impl Counted for u16 {
    #[inline(always)]
    fn count(self) -> i32 {
        i32::from(self)
    }
}
impl Counted for i16 {
    #[inline(always)]
    fn count(self) -> i32 {
        i32::from(self)
    }
}

per_isa! {
    /// Sums blocks in integers; sums beyond 2³¹ are those of unsigned numbers, whose bits they have.
    fn count_blocks[T: Counted][T](frame: &[T], width: usize, bins: (usize, usize), out_width: usize, out: &mut [u32]) {
        out.fill(0);
        for (out, rows) in out.chunks_exact_mut(out_width).zip(frame.chunks(width * bins.0)) {
            for row in rows.chunks_exact(width) {
                if bins.1 == 2 {
                    for (o, pair) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                        *o = o.wrapping_add((pair[0].count() as u32).wrapping_add(pair[1].count() as u32));
                    }
                } else {
                    for (o, block) in out.iter_mut().zip(row.chunks_exact(bins.1)) {
                        for v in block {
                            *o = o.wrapping_add(v.count() as u32);
                        }
                    }
                }
            }
        }
    }
}

per_isa! {
    /// Sums blocks in float32: each row of a block from left to right, then the rows from top to bottom.
    fn sum_blocks[T: Sample][T](frame: &[T], width: usize, bins: (usize, usize), out_width: usize, out: &mut [f32]) {
        out.fill(0.0);
        for (out, rows) in out.chunks_exact_mut(out_width).zip(frame.chunks(width * bins.0)) {
            for row in rows.chunks_exact(width) {
                for (o, block) in out.iter_mut().zip(row.chunks_exact(bins.1)) {
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
    /// Scales values in place.
    fn scale_values(values: &mut [f32], factor: f32, scale: Scale) {
        match scale {
            Scale::Linear => values.iter_mut().for_each(|v| *v *= factor),
            Scale::Log => values.iter_mut().for_each(|v| {
                let x = *v * factor;
                *v = if x > 0.0 { ln(x) } else { 0.0 };
            }),
            Scale::Log1p => values.iter_mut().for_each(|v| {
                let x = *v * factor;
                let x = if x > 0.0 { x } else { 0.0 };
                *v = ln(x + 1.0);
            }),
            Scale::Root => values.iter_mut().for_each(|v| {
                let x = *v * factor;
                let x = if x > 0.0 { x } else { 0.0 };
                *v = x.sqrt() + (x + 1.0).sqrt();
            }),
        }
    }
}

struct Stage<P> {
    isa: Isa,
    shape: FrameShape,
    to: FrameShape,
    params: Params,
    /// Rows and columns of a block.
    bins: (usize, usize),
    out_width: usize,
    /// The integer type of the sums, where they are exact.
    exact: Option<Pixel>,
    /// One rebinned frame: bits of integers or of float32.
    binned: Vec<u32>,
    /// Frames at the stride of a block.
    frames: Vec<u32>,
    inner: Box<dyn CpuStage<Part = P>>,
}

impl<P> Stage<P> {
    fn bin(&mut self, frames: &Frames<'_>, i: usize) {
        let (isa, width, bins, out_width) = (self.isa, self.shape.width, self.bins, self.out_width);
        let out = &mut self.binned[..];
        if self.exact.is_some() {
            match self.shape.pixel {
                Pixel::U8 => count_blocks(isa, frames.frame::<u8>(i), width, bins, out_width, out),
                Pixel::I8 => count_blocks(isa, frames.frame::<i8>(i), width, bins, out_width, out),
                Pixel::U16 => count_blocks(isa, frames.frame::<u16>(i), width, bins, out_width, out),
                _ => count_blocks(isa, frames.frame::<i16>(i), width, bins, out_width, out),
            }
        } else {
            let out = bytemuck::cast_slice_mut(out);
            with_pixel!(self.shape.pixel, T => sum_blocks::<T>(isa, frames.frame(i), width, bins, out_width, out));
        }
    }

    /// The rebinned frame becomes frame `i` of those that are handed on.
    fn put(&mut self, i: usize) {
        let words = self.to.stride() / 4;
        let out = &mut self.frames[i * words..][..self.to.pixels()];
        let chosen: &mut dyn Iterator<Item = u32> = match &self.params.pixels {
            None => &mut self.binned.iter().copied(),
            Some(list) => &mut list.iter().map(|&p| self.binned[p as usize]),
        };
        if self.to.pixel != Pixel::F32 {
            out.iter_mut().zip(chosen).for_each(|(o, v)| *o = v);
            return;
        }
        let number = match self.exact {
            Some(Pixel::U32) => |v: u32| v as f32,
            Some(_) => |v: u32| v as i32 as f32,
            None => f32::from_bits,
        };
        let out: &mut [f32] = bytemuck::cast_slice_mut(out);
        out.iter_mut().zip(chosen).for_each(|(o, v)| *o = number(v));
        scale_values(self.isa, out, self.params.factor, self.params.scale);
    }
}

impl<P> CpuStage for Stage<P> {
    type Part = P;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            let what = format!("rebinning of {:?} given {:?}", self.shape, frames.shape());
            return Err(Error::Internal(what));
        }
        for from in (0..frames.count()).step_by(TOGETHER) {
            let group = frames.slice(from, (from + TOGETHER).min(frames.count()));
            for i in 0..group.count() {
                self.bin(&group, i);
                self.put(i);
            }
            let bytes = bytemuck::cast_slice(&self.frames);
            self.inner
                .frames(Frames::new(self.to, group.first(), group.count(), bytes)?)?;
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

/// A stage that rebins frames of `shape` and hands them to `inner`, a stage for frames of shape [`Params::output`].
///
/// # Errors
/// Those of [`Params::output`].
pub fn stage<P: 'static>(
    isa: Isa,
    shape: FrameShape,
    params: &Params,
    inner: Box<dyn CpuStage<Part = P>>,
) -> Result<Box<dyn CpuStage<Part = P>>> {
    let to = params.output(shape)?;
    let (h, w) = params.binned(shape)?;
    Ok(Box::new(Stage {
        isa,
        shape,
        to,
        bins: (if shape.height == 1 { 1 } else { params.bin }, params.bin),
        out_width: w,
        exact: params.exact(shape),
        params: params.clone(),
        binned: vec![0; h * w],
        frames: vec![0; TOGETHER * to.stride() / 4],
        inner,
    }))
}

/// Memory of one worker's stage besides that of the stage it hands frames to.
///
/// # Errors
/// Those of [`Params::output`].
pub fn cost(shape: FrameShape, params: &Params) -> Result<Cost> {
    let (h, w) = params.binned(shape)?;
    Ok(Cost {
        fixed: (TOGETHER * params.output(shape)?.stride() + 4 * h * w) as u64,
        per_frame: 0,
    })
}
