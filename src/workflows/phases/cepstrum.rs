//! Features of patterns whose spots lie on a lattice but change in brightness with tilt: the cepstrum.
//!
//! Fourier amplitudes of the logarithm of a pattern (E. Padgett et al., *Ultramicroscopy* 214 (2020) 112994: the power cepstrum). Distances
//! between spots show as peaks, while smooth changes of intensity stay near the origin.

use super::features::{Features, Run, budget, top};
use super::signals::Signal;
use crate::control::Control;
use crate::engine::{Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::kernels::rebin::{self, Scale};
use crate::ops::{FrameRows, Rebinned};
use crate::workflows::Timings;
use ndarray::Array2;
use rayon::prelude::*;
use rustfft::{Fft, FftPlanner, num_complex::Complex};
use std::sync::Arc;

/// Amplitudes nearer to the origin than this are those of the window.
const ORIGIN: f64 = 2.5;
/// Bytes of rebinned patterns that are held at a time.
const BLOCK: u64 = 64 << 20;

/// Features of one signal: one reading for what varies, one for the values.
pub(super) fn extract(
    signal: &Signal,
    selection: &Selection,
    run: &Run<'_>,
    resident: &Resident,
    timings: &mut Timings,
) -> Result<Features> {
    let rebin = rebin::Params {
        scale: Scale::Log1p,
        ..rebin::Params::sums(run.params.rebin)
    };
    let (h, w) = rebin.binned(signal.scan.info().frame)?;
    let transform = Transform::new(h, w);
    let width = transform.width();
    let frames: Vec<u64> = selection.iter().collect();
    let n = frames.len() as f64;
    // Moments about the first pattern's amplitudes, added in the order of the positions.
    let (mut first, mut sums, mut squares) = (Vec::new(), vec![0.0f64; h * width], vec![0.0f64; h * width]);
    let read = Reading {
        signal,
        frames: &frames,
        selection,
        rebin: &rebin,
        run,
        resident,
    };
    read.each(&format!("cepstra of {}", signal.name), timings, |_, rows| {
        for amplitudes in transform.all(rows)? {
            if first.is_empty() {
                first.clone_from(&amplitudes);
            }
            for ((a, o), (s, q)) in amplitudes.iter().zip(&first).zip(sums.iter_mut().zip(&mut squares)) {
                let d = f64::from(*a) - f64::from(*o);
                *s += d;
                *q += d * d;
            }
        }
        Ok(())
    })?;
    let shape =
        |values: Vec<f64>| Array2::from_shape_vec((h, width), values).map_err(|e| Error::Internal(format!("cepstrum: {e}")));
    let mean = sums.iter().zip(&first).map(|(s, o)| s / n + f64::from(*o)).collect();
    let std = sums
        .iter()
        .zip(&squares)
        .map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0).sqrt());
    let std: Vec<f64> = std.zip(transform.counts()).map(|(s, c)| if c { s } else { 0.0 }).collect();
    let (mean, std) = (shape(mean)?, shape(std)?);
    let mask = top(&std, run.params.keep, crate::analysis::Recipe::Default);
    let kept: Vec<usize> = mask.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i).collect();
    if kept.is_empty() {
        let what = format!("no amplitude of the cepstra of '{}' varies over the scan", signal.name);
        return Err(Error::parameter(signal.path.display().to_string(), what));
    }
    let mut values = Array2::zeros((frames.len(), kept.len()));
    read.each(&format!("features of {}", signal.name), timings, |at, rows| {
        for (i, amplitudes) in transform.all(rows)?.into_iter().enumerate() {
            let mut row = values.row_mut(at + i);
            row.iter_mut().zip(&kept).for_each(|(v, &k)| *v = amplitudes[k]);
        }
        Ok(())
    })?;
    Ok(Features {
        name: signal.name.clone(),
        kind: signal.kind,
        mean,
        std,
        mask,
        beam: None,
        values,
    })
}

/// How patterns are read, some at a time.
struct Reading<'a> {
    signal: &'a Signal,
    frames: &'a [u64],
    selection: &'a Selection,
    rebin: &'a rebin::Params,
    run: &'a Run<'a>,
    resident: &'a Resident,
}

impl Reading<'_> {
    /// Hands over the logarithms of rebinned patterns, row by row, with the number of the first among the selected.
    fn each(&self, title: &str, timings: &mut Timings, mut take: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        let scan = &*self.signal.scan;
        let pixels = self.rebin.output(scan.info().frame)?.pixels();
        let room = (self.run.control.memory / 8).min(BLOCK) / (4 * pixels as u64);
        let together = (room as usize).max(1);
        let control: Control = budget(self.run);
        for (b, frames) in self.frames.chunks(together).enumerate() {
            let mut mask = Array2::from_elem((self.selection.nav()[0], self.selection.nav()[1]), false);
            let flat = mask.as_slice_mut().unwrap_or(&mut []);
            frames.iter().for_each(|&f| flat[f as usize] = true);
            let part = Selection::from_mask(self.selection.nav(), mask.view())?;
            let mut pass = Pass::new(title, scan, &part);
            let values = pass.add(Rebinned::new(FrameRows, self.rebin.clone()));
            let mut done = timings.pass(title, scan, &part, || pass.run(self.run.backend, self.resident, &control))?;
            take(b * together, &done.take(values)?)?;
        }
        Ok(())
    }
}

/// The transform of patterns of one shape.
struct Transform {
    h: usize,
    w: usize,
    /// Hann's window, that a lattice cut off by the edge leaves no cross.
    window: [Vec<f64>; 2],
    along: Arc<dyn Fft<f64>>,
    across: Arc<dyn Fft<f64>>,
}

impl Transform {
    fn new(h: usize, w: usize) -> Transform {
        let mut planner = FftPlanner::new();
        let hann = |n: usize| {
            (0..n)
                .map(|i| (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).sin().powi(2))
                .collect()
        };
        Transform {
            h,
            w,
            window: [hann(h), hann(w)],
            along: planner.plan_fft_forward(w),
            across: planner.plan_fft_forward(h),
        }
    }

    /// Columns of amplitudes: the other half is the same by symmetry.
    fn width(&self) -> usize {
        self.w / 2 + 1
    }

    /// Which amplitudes count: those off the origin, and of two that are equal by symmetry one.
    fn counts(&self) -> impl Iterator<Item = bool> + '_ {
        let (h, w, width) = (self.h, self.w, self.width());
        (0..h * width).map(move |i| {
            let (y, x) = ((i / width) as isize - (h / 2) as isize, i % width);
            let twice = (x == 0 || 2 * x == w) && y < 0;
            (y as f64).hypot(x as f64) >= ORIGIN && !twice
        })
    }

    /// Amplitudes (h, w/2 + 1) of each of `rows`, frequency 0 along y in row h/2.
    fn all(&self, rows: &[f32]) -> Result<Vec<Vec<f32>>> {
        let scratch = || (vec![Complex::default(); self.h * self.w], vec![Complex::default(); self.h]);
        let one = |(image, column): &mut (Vec<Complex<f64>>, Vec<Complex<f64>>), row: &[f32]| self.one(row, image, column);
        Ok(rows.par_chunks_exact(self.h * self.w).map_init(scratch, one).collect())
    }

    fn one(&self, row: &[f32], image: &mut [Complex<f64>], column: &mut [Complex<f64>]) -> Vec<f32> {
        let (h, w, width) = (self.h, self.w, self.width());
        let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / row.len() as f64;
        for (i, (to, v)) in image.iter_mut().zip(row).enumerate() {
            *to = Complex::new((f64::from(*v) - mean) * self.window[0][i / w] * self.window[1][i % w], 0.0);
        }
        self.along.process(image);
        let mut amplitudes = vec![0.0; h * width];
        for x in 0..width {
            column.iter_mut().enumerate().for_each(|(y, c)| *c = image[y * w + x]);
            self.across.process(column);
            for (y, c) in column.iter().enumerate() {
                amplitudes[(y + h / 2) % h * width + x] = c.norm() as f32;
            }
        }
        amplitudes
    }
}
