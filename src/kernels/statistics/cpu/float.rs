//! Float pixels: Σ(x−s) and Σ(x−s)² in float32, frame by frame, about the first frame s of the leaf.

use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::stage::CpuStage;
use crate::error::{Error, Result};
use crate::kernels::statistics::{Params, Part};
use crate::pixel::{FrameShape, Frames};

/// Frames taken in one sweep over the pixels; the order of additions is by frame whatever this is.
const SWEEP: usize = 8;
/// Pixels whose sums, with a sweep of frames, stay in the first-level cache.
const TILE: usize = 512;

#[inline(always)]
fn add<const F: usize, const SQUARES: bool>(rows: [&[f32]; F], shift: &[f32], sum: &mut [f32], squares: &mut [f32]) {
    let n = sum.len();
    let rows = rows.map(|r| &r[..n]);
    let shift = &shift[..n];
    if SQUARES {
        let squares = &mut squares[..n];
        for p in 0..n {
            let (mut d, mut q) = (sum[p], squares[p]);
            for row in &rows {
                let x = row[p] - shift[p];
                d += x;
                q += x * x;
            }
            (sum[p], squares[p]) = (d, q);
        }
    } else {
        for p in 0..n {
            let mut d = sum[p];
            for row in &rows {
                d += row[p] - shift[p];
            }
            sum[p] = d;
        }
    }
}

per_isa! {
    fn accumulate[const SQUARES: bool][SQUARES](rows: &[&[f32]], shift: &[f32], sum: &mut [f32], squares: &mut [f32]) {
        let pixels = sum.len();
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
            let (shift, sum) = (&shift[start..end], &mut sum[start..end]);
            let squares = if SQUARES { &mut squares[start..end] } else { &mut [] };
            let (sweeps, rest) = rows.as_chunks::<SWEEP>();
            for sweep in sweeps {
                add::<SWEEP, SQUARES>(sweep.map(|r| &r[start..end]), shift, sum, squares);
            }
            for row in rest {
                add::<1, SQUARES>([&row[start..end]], shift, sum, squares);
            }
        }
    }
}

per_isa! {
    /// Takes frames into the extrema; NaN changes neither.
    fn extrema(rows: &[&[f32]], min: &mut [f32], max: &mut [f32]) {
        let pixels = min.len();
        for start in (0..pixels).step_by(TILE) {
            let end = (start + TILE).min(pixels);
            let (min, max) = (&mut min[start..end], &mut max[start..end]);
            for row in rows {
                for ((&x, lo), hi) in row[start..end].iter().zip(&mut *min).zip(&mut *max) {
                    *lo = if x < *lo { x } else { *lo };
                    *hi = if x > *hi { x } else { *hi };
                }
            }
        }
    }
}

/// State of one leaf.
pub(super) struct Stage {
    isa: Isa,
    shape: FrameShape,
    params: Params,
    frames: u64,
    shift: Vec<f32>,
    sum: Vec<f32>,
    squares: Vec<f32>,
    min: Vec<f32>,
    max: Vec<f32>,
}

impl Stage {
    pub(super) fn new(isa: Isa, shape: FrameShape, params: Params) -> Self {
        let pixels = shape.pixels();
        let when = |asked: bool| vec![0.0; if asked { pixels } else { 0 }];
        Stage {
            isa,
            shape,
            params,
            frames: 0,
            shift: vec![0.0; pixels],
            sum: vec![0.0; pixels],
            squares: when(params.squares),
            min: when(params.extrema),
            max: when(params.extrema),
        }
    }
}

impl CpuStage for Stage {
    type Part = Part;

    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        if frames.shape() != self.shape {
            return Err(Error::Internal(format!(
                "statistics of {:?} given {:?}",
                self.shape,
                frames.shape()
            )));
        }
        let rows: Vec<&[f32]> = (0..frames.count()).map(|i| frames.frame(i)).collect();
        if self.frames == 0
            && let Some(first) = rows.first()
        {
            self.shift.copy_from_slice(first);
            self.sum.fill(0.0);
            self.squares.fill(0.0);
            self.min.fill(f32::INFINITY);
            self.max.fill(f32::NEG_INFINITY);
        }
        if self.params.squares {
            accumulate::<true>(self.isa, &rows, &self.shift, &mut self.sum, &mut self.squares);
        } else {
            accumulate::<false>(self.isa, &rows, &self.shift, &mut self.sum, &mut self.squares);
        }
        if self.params.extrema {
            extrema(self.isa, &rows, &mut self.min, &mut self.max);
        }
        self.frames += rows.len() as u64;
        Ok(())
    }

    fn end_leaf(&mut self) -> Result<Option<Part>> {
        if self.frames == 0 {
            return Ok(None);
        }
        let n = self.frames as f64;
        let mean = self
            .shift
            .iter()
            .zip(&self.sum)
            .map(|(&s, &d)| f64::from(s) + f64::from(d) / n)
            .collect();
        // Rounding may leave a hair below zero for a constant pixel far from its first value; NaN must stay NaN.
        let m2 = self
            .squares
            .iter()
            .zip(&self.sum)
            .map(|(&q, &d)| f64::from(q) - f64::from(d) * f64::from(d) / n);
        let m2 = m2.map(|v| if v < 0.0 { 0.0 } else { v }).collect();
        let frames = std::mem::take(&mut self.frames);
        Ok(Some(Part::Float {
            frames,
            mean,
            m2,
            min: self.min.clone(),
            max: self.max.clone(),
        }))
    }

    fn finish(&mut self) -> Result<Option<Part>> {
        Ok(None)
    }
}
