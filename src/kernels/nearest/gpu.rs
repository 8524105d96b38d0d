//! Tiles on a device: 64 × 64 distances a workgroup, coordinates through workgroup memory. Tiles come back to the host, which keeps the
//! candidates; two tiles are under way at a time, each of its own thread, however many threads there are.

use super::{Bounds, Metric, Neighbors, Tiles, check, cpu, select};
use crate::backend::gpu::rounds::words_of;
use crate::backend::gpu::{Buffer, Gpu, Pipeline, Recorder};
use crate::control::Control;
use crate::error::{Error, Result};
use ndarray::ArrayView2;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};

/// Edge of the square of distances that a workgroup makes.
const SQUARE: usize = 64;
/// Terms of one dispatch: 0.1 s on a device that does 10 billion a second, which is a slow one.
const WORK: u64 = 1 << 30;
/// Half a unit in the last place.
const UNIT: f32 = 6.0e-8;

/// [`super::neighbors`] with tiles from a device; the same result.
///
/// # Errors
/// As [`super::neighbors`]; [`Error::Kernel`], [`Error::DeviceMemory`], [`Error::DeviceLost`], [`Error::TooLargeForDevice`] when the device
/// cannot: the CPU can.
pub fn neighbors(gpu: &Gpu, points: ArrayView2<'_, f32>, k: usize, metric: Metric, control: &Control) -> Result<Neighbors> {
    check(points, k)?;
    let points = points.as_standard_layout();
    let flat = points.as_slice().unwrap_or(&[]);
    let tiles = OnDevice::new(gpu, flat, points.ncols(), metric)?;
    select::search(flat, points.ncols(), k, metric, &tiles, control)
}

/// Lets so many threads through at a time.
struct Gate {
    free: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn of(places: usize) -> Gate {
        Gate {
            free: Mutex::new(places),
            left: Condvar::new(),
        }
    }
    /// Runs `f` once there is a place.
    fn within<R>(&self, f: impl FnOnce() -> R) -> R {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .left
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        drop(free);
        // Even a panic gives the place back.
        struct Place<'a>(&'a Gate);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                self.0.left.notify_one();
            }
        }
        let _place = Place(self);
        f()
    }
}

struct OnDevice<'a> {
    gate: Gate,
    gpu: &'a Gpu,
    pipeline: Pipeline,
    points: Cow<'a, [f32]>,
    coordinates: usize,
    block: usize,
    /// Blocks that are on the device already, as far as they fit.
    kept: Mutex<Vec<Option<std::sync::Arc<Buffer>>>>,
    keep: usize,
    relative: f32,
    absolute: Vec<f32>,
}

impl<'a> OnDevice<'a> {
    fn new(gpu: &'a Gpu, points: &'a [f32], coordinates: usize, metric: Metric) -> Result<Self> {
        let (points, coordinates, mode) = match metric {
            Metric::Euclidean => (Cow::Borrowed(points), coordinates, 0),
            Metric::Cosine => (Cow::Owned(cpu::unit(points, coordinates)), coordinates + 1, 0),
            Metric::Manhattan => (Cow::Borrowed(points), coordinates, 1),
            Metric::Chebyshev => (Cow::Borrowed(points), coordinates, 2),
        };
        let n = points.len() / coordinates;
        let bytes = 4 * coordinates as u64;
        // A quarter of the memory for two blocks of each of the two threads that are let in, and a quarter for blocks that stay.
        let room = (gpu.budget() / 16).min(gpu.max_binding()) / bytes;
        let block = (room as usize / SQUARE * SQUARE).min(1024);
        if block == 0 {
            let what = format!("{SQUARE} points of {coordinates} features do not fit its memory");
            return Err(Error::TooLargeForDevice(what));
        }
        let wgsl = format!("const MODE = {mode}u;\n")
            + include_str!("../../../shaders/common/group.wgsl")
            + include_str!("../../../shaders/nearest.wgsl");
        // Sums of runs of 64 terms, then of these sums.
        let terms = coordinates as f32;
        let relative = match metric {
            Metric::Chebyshev => 4.0 * UNIT,
            _ => UNIT * 2.0 * (terms.min(64.0) + terms / 64.0 + 8.0),
        };
        // Unit rows are rounded, which moves squares by some units of 1.
        let absolute = if metric == Metric::Cosine {
            16.0 * UNIT
        } else {
            f32::MIN_POSITIVE
        };
        Ok(OnDevice {
            gate: Gate::of(2),
            pipeline: gpu.pipeline(&format!("neighbors {}", metric.name()), &wgsl, "between", &[], 2, 1)?,
            gpu,
            points,
            coordinates,
            block,
            kept: Mutex::new(vec![None; n.div_ceil(block)]),
            keep: (gpu.budget() / 4 / (bytes * block as u64)) as usize,
            relative,
            absolute: vec![absolute; n],
        })
    }

    fn upload(&self, range: Range<usize>) -> Result<std::sync::Arc<Buffer>> {
        let number = range.start / self.block;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(buffer)) = kept.get(number) {
            return Ok(buffer.clone());
        }
        let rows = &self.points[range.start * self.coordinates..range.end * self.coordinates];
        let buffer = std::sync::Arc::new(self.gpu.buffer_with("points", bytemuck::cast_slice(rows))?);
        if let Some(slot) = kept.get_mut(number).filter(|_| number < self.keep) {
            *slot = Some(buffer.clone());
        }
        Ok(buffer)
    }
}

impl OnDevice<'_> {
    /// Distances of the points `rows` from the points `columns`.
    fn distances(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [f32]) -> Result<()> {
        let (a, b) = (self.upload(rows.clone())?, self.upload(columns.clone())?);
        let bytes = 4 * out.len() as u64;
        let tile = self.gpu.buffer("distances", bytes)?;
        let across = columns.len().div_ceil(SQUARE);
        let work = (SQUARE * columns.len() * self.coordinates) as u64;
        let bands = (WORK / work.max(1)).max(1) as usize;
        let mut rec = Recorder::new(self.gpu)?;
        let all = rows.len().div_ceil(SQUARE);
        for from in (0..all).step_by(bands) {
            let count = bands.min(all - from);
            let params = [
                rows.len() as u32,
                columns.len() as u32,
                self.coordinates as u32,
                from as u32,
                across as u32,
                (count * across) as u32,
            ];
            rec.dispatch(
                &self.pipeline,
                bytemuck::cast_slice(&params),
                &[&a, &b, &tile],
                (count * across) as u64,
            )?;
        }
        rec.read(&tile, 0, bytes)?;
        rec.finish()?.wait_with(|reads| {
            let words = words_of(reads.first().copied().unwrap_or(&[]));
            if words.len() != out.len() {
                let what = format!("{} distances came back, expected {}", words.len(), out.len());
                return Err(Error::Internal(what));
            }
            out.iter_mut().zip(words.iter()).for_each(|(o, &w)| *o = f32::from_bits(w));
            Ok(())
        })?
    }
}

impl Tiles for OnDevice<'_> {
    fn tile(&self, rows: Range<usize>, columns: Range<usize>, _limits: [&[f32]; 2], out: &mut [f32]) -> Result<()> {
        self.gate.within(|| self.distances(rows, columns, out))
    }
    fn block(&self) -> usize {
        self.block
    }
    fn bounds(&self) -> Bounds<'_> {
        Bounds::new(self.relative, &self.absolute)
    }
}
