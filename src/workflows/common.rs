//! What workflows and small commands share: timings, shapes of results, provenance.

use crate::control::Control;
use crate::engine::{Backend, Done, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::io::results::{Input, Provenance, Timing};
use crate::kernels::{logsum, statistics};
use crate::ops::Statistics;
use crate::pixel::{FrameShape, Frames, Sample};
use crate::with_pixel;
use ndarray::{Array2, Array3};
use serde::Serialize;
use std::time::Instant;

/// Wall-clock seconds of each step, in order.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    pub steps: Vec<Timing>,
}

impl Timings {
    /// Runs `work` as step `name`.
    pub fn time<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let result = work()?;
        let seconds = begun.elapsed().as_secs_f64();
        self.steps.push(Timing {
            step: name.to_owned(),
            seconds,
            ..Timing::default()
        });
        Ok(result)
    }

    /// The same for a pass over all frames of `selection`.
    pub fn pass(
        &mut self,
        name: &str,
        scan: &dyn Scan,
        selection: &Selection,
        work: impl FnOnce() -> Result<Done>,
    ) -> Result<Done> {
        let done = self.frames(name, scan, selection, work)?;
        if let Some(last) = self.steps.last_mut() {
            let t = done.times();
            last.split = [t.read, t.upload, t.device, t.read_back, t.host];
            last.uploaded = t.uploaded;
        }
        Ok(done)
    }

    /// The same for other work on all frames of `selection`.
    pub fn frames<T>(
        &mut self,
        name: &str,
        scan: &dyn Scan,
        selection: &Selection,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let result = self.time(name, work)?;
        if let Some(last) = self.steps.last_mut() {
            last.frames = selection.len();
            last.bytes = selection.len() * scan.info().frame.bytes() as u64;
        }
        Ok(result)
    }
}

/// Pixels in C order as (h, w).
pub fn frame_array<T>(frame: FrameShape, values: Vec<T>) -> Result<Array2<T>> {
    Array2::from_shape_vec((frame.height, frame.width), values).map_err(|e| Error::Internal(format!("frame-shaped result: {e}")))
}

/// One frame of a scan, by its number in the scan, as (h, w).
pub fn read_frame(scan: &dyn Scan, number: u64, control: &Control) -> Result<Array2<f64>> {
    let shape = scan.info().frame;
    let mut words = vec![0u32; shape.stride() / 4];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    scan.read(&[number], shape.stride(), bytes, control)?;
    let frames = Frames::new(shape, 0, 1, bytes)?;
    with_pixel!(shape.pixel, T => frame_array(shape, frames.frame::<T>(0).iter().map(|v| v.to_f64()).collect()))
}

/// The mean of all frames of a scan (h, w).
///
/// # Errors
/// Whatever reading reports.
pub fn mean_frame(scan: &dyn Scan, control: &Control) -> Result<Array2<f64>> {
    let all = Selection::all(scan.info().nav);
    let mut pass = Pass::new("mean", scan, &all);
    let moments = pass.add(Statistics(statistics::Params {
        squares: false,
        extrema: false,
    }));
    let moments = pass.run(&Backend::Cpu, &Resident::none(), control)?.take(moments)?;
    frame_array(scan.info().frame, moments.mean())
}

/// Rows of `width` values per selected frame as (ny, nx, width), `fill` elsewhere.
pub fn scatter_rows(selection: &Selection, width: usize, rows: Vec<f32>, fill: f32) -> Result<Array3<f32>> {
    let [ny, nx] = selection.nav();
    let shape = (ny, nx, width);
    let wrong = |e: ndarray::ShapeError| Error::Internal(format!("per-frame result: {e}"));
    if selection.is_all() {
        return Array3::from_shape_vec(shape, rows).map_err(wrong);
    }
    let mut out = vec![fill; ny * nx * width];
    for (frame, row) in selection.iter().zip(rows.chunks_exact(width)) {
        let at = frame as usize * width;
        out[at..at + width].copy_from_slice(row);
    }
    Array3::from_shape_vec(shape, out).map_err(wrong)
}

/// One of `sum mean var std min max` by its name in result files.
pub fn statistic(part: &statistics::Part, name: &str) -> Vec<f64> {
    match name {
        "sum" => part.sum(),
        "mean" => part.mean(),
        "var" => part.variance(),
        "std" => part.std(),
        "min" => part.extrema().0,
        "max" => part.extrema().1,
        _ => Vec::new(),
    }
}

/// Unit of a `/stats` dataset, for its attribute.
pub fn unit(name: &str) -> &'static str {
    match name {
        "var" => "counts^2",
        "logsum" => "",
        _ => "counts",
    }
}

/// What a `/stats` dataset means, for its attribute.
pub fn meaning(name: &str) -> &'static str {
    match name {
        "sum" => "sum over the selected frames",
        "mean" => "mean over the selected frames",
        "var" => "population variance over the selected frames",
        "std" => "population standard deviation over the selected frames",
        "min" => "smallest value over the selected frames",
        "max" => "largest value over the selected frames",
        "logsum" => "sum over frames of ln(f - min(f) + 1), the minimum taken over each frame",
        _ => "",
    }
}

/// The log-sum of label 0, zero where no frame had it.
pub fn single_logsum(mut part: logsum::Part, frame: FrameShape) -> Vec<f64> {
    part.sums.remove(&0).map_or_else(|| vec![0.0; frame.pixels()], |s| s.values)
}

/// Parameters as TOML text.
pub fn to_toml(parameters: &impl Serialize) -> Result<String> {
    toml::to_string(parameters).map_err(|e| Error::Internal(format!("parameters as TOML: {e}")))
}

/// Who made a result, from what, how, and how long it took. `command` is the subcommand.
pub fn provenance(
    command: &str,
    scan: &dyn Scan,
    backend: &Backend,
    parameters: String,
    timings: &Timings,
) -> Result<Provenance> {
    let info = scan.info();
    let path = &info.path;
    let axes = info.nav_axes.iter().chain(&info.sig_axes);
    let named = ["scan_y", "scan_x", "y", "x"].into_iter().zip(axes);
    Ok(Provenance {
        calibration: named
            .filter(|(_, axis)| axis.scale.is_some())
            .map(|(name, axis)| (name.to_owned(), axis.clone()))
            .collect(),
        command: command.to_owned(),
        backend: backend.name().to_owned(),
        adapter: backend.adapter(),
        parameters,
        timings: timings.steps.clone(),
        // A scan in memory or a simulated one has no file.
        inputs: if path.exists() { vec![Input::of(path)?] } else { Vec::new() },
    })
}
