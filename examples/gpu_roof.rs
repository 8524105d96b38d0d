//! How near passes on a GPU come to the limits of the machine: `gpu_roof [--gib N] [--json FILE]`.
//!
//! Measures the bandwidth of uploads and of copies on the device, then runs every kind of pass over N GiB of frames in memory (default 4):
//! streamed, and again with the frames resident. Streamed passes are reported as a share of the upload bandwidth, resident ones
//! as a share of the copy bandwidth (bytes read plus bytes written) for the bytes that they must move. `EMSTREAM_GPU` names the adapter.

use emstream::backend::gpu::{Gpu, GpuChoice, Recorder, UploadRing};
use emstream::engine::{Backend, Operator, Pass, PassTimes, Resident, Selection};
use emstream::io::Scan;
use emstream::io::memory::MemoryScan;
use emstream::kernels::correlate::{Method, Params, Recipe};
use emstream::kernels::masks::MaskStack;
use emstream::kernels::statistics;
use emstream::ops::{Correlate, LogSum, MaskProducts, Statistics};
use emstream::pixel::Sample;
use emstream::{Control, Error, Result};
use ndarray::Array2;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let flag = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let gib: f64 = flag("--gib").and_then(|v| v.parse().ok()).unwrap_or(4.0);
    let bytes = (gib * (1u64 << 30) as f64) as u64;
    let gpu = Gpu::open(GpuChoice::Required)?;
    gpu.set_budget(bytes + bytes / 8 + (3 << 30));
    let name = gpu.summary.name.clone();
    let upload = upload_rate(&gpu, bytes.min(4 << 30))?;
    let copy = copy_rate(&gpu, bytes / 4)?;
    println!(
        "{name}: upload {:.1} GB/s, copy on the device {:.1} GB/s (read + written)",
        upload / 1e9,
        copy / 1e9
    );
    let backend = Backend::gpu(gpu);
    let mut rows = Vec::new();
    shape::<u8>(&backend, [144, 144], 7, 4, bytes, [upload, copy], &mut rows, |v| v as u8 & 15)?;
    shape::<u16>(&backend, [256, 256], 45, 22, bytes, [upload, copy], &mut rows, |v| {
        v as u16 & 1023
    })?;
    if let Some(path) = flag("--json") {
        let all = json!({ "adapter": name, "gib": gib, "upload_bytes_per_s": upload, "copy_bytes_per_s": copy, "passes": rows });
        std::fs::write(&path, format!("{all:#}\n")).map_err(|e| Error::io(&path, "cannot write", e))?;
    }
    Ok(())
}

/// Bytes a second from host memory through the staging ring to the device.
fn upload_rate(gpu: &Gpu, bytes: u64) -> Result<f64> {
    const BLOCK: u64 = 64 << 20;
    let ring = UploadRing::new(gpu, 6, BLOCK)?;
    let target = gpu.buffer("target", BLOCK)?;
    let blocks = (bytes / BLOCK).max(4);
    let mut best = 0.0f64;
    for _ in 0..2 {
        let mut last = None;
        let begun = Instant::now();
        for _ in 0..blocks {
            // Nothing is written: the bus is measured, not the host's memory.
            let staged = ring.slot(gpu)?.fill(gpu, BLOCK, |_| Ok(()))?;
            let mut rec = Recorder::new(gpu)?;
            rec.upload(staged, &target, 0)?;
            last = Some(rec.finish()?);
        }
        if let Some(last) = last {
            last.wait()?;
        }
        best = best.max((blocks * BLOCK) as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Bytes read plus bytes written a second by copies on the device.
fn copy_rate(gpu: &Gpu, bytes: u64) -> Result<f64> {
    let size = bytes.min(gpu.max_binding()).min(1 << 30) / 4 * 4;
    let (from, to) = (gpu.buffer("from", size)?, gpu.buffer("to", size)?);
    let mut best = 0.0f64;
    for _ in 0..3 {
        let mut rec = Recorder::timed(gpu)?;
        for _ in 0..8 {
            rec.copy(&from, 0, &to, 0, size)?;
        }
        let begun = Instant::now();
        let submission = rec.finish()?;
        submission.wait()?;
        let seconds = match submission.spans()? {
            Some(s) => s.upload + s.work,
            None => begun.elapsed().as_secs_f64(),
        };
        best = best.max((16 * size) as f64 / seconds);
    }
    Ok(best)
}

/// All passes over frames of one shape. `crop` is half the edge of correlation windows.
#[allow(clippy::too_many_arguments)]
fn shape<T: Sample>(
    backend: &Backend,
    [h, w]: [usize; 2],
    stamp: usize,
    crop: usize,
    bytes: u64,
    limits: [f64; 2],
    rows: &mut Vec<Value>,
    make: impl Fn(u32) -> T,
) -> Result<()> {
    let frames = (bytes as usize / (h * w * size_of::<T>())).max(256);
    let pattern: Vec<T> = (0..(h * w * 64) as u32)
        .map(|i| make((i ^ 77).wrapping_mul(2_654_435_761) >> 12))
        .collect();
    let pixels: Vec<T> = pattern.iter().copied().cycle().take(frames * h * w).collect();
    let scan = MemoryScan::new([1, frames], [h, w], pixels)?;
    let frame = scan.info().frame;
    let kept = Resident::new(0);
    let mut go = |name: &str, must: f64, pass: &dyn Fn(&Resident) -> Result<PassTimes>| -> Result<()> {
        let streamed = pass(&Resident::none())?;
        pass(&kept)?;
        let resident = pass(&kept)?;
        let all = (frames * frame.stride()) as f64;
        let device = if resident.device > 0.0 {
            resident.device
        } else {
            resident.wall
        };
        let row = json!({
            "pass": name, "frame": [h, w], "pixel": frame.pixel.to_string(), "frames": frames, "bytes": all, "must_move": must * frames as f64,
            "streamed": split(&streamed), "resident": split(&resident),
            "streamed_share_of_upload": all / streamed.wall / limits[0],
            "resident_share_of_copy": must * frames as f64 / device / limits[1],
            "resident_frames_per_s": frames as f64 / resident.wall,
        });
        println!(
            "{h}x{w} {} {name:<12} streamed {:7.1} GB/s = {:5.1} % of upload; resident {:9.0} frames/s, {:5.1} % of copy; {resident}",
            frame.pixel,
            all / streamed.wall / 1e9,
            100.0 * all / streamed.wall / limits[0],
            frames as f64 / resident.wall,
            100.0 * must * frames as f64 / device / limits[1],
        );
        rows.push(row);
        Ok(())
    };
    let stride = frame.stride() as f64;
    let all = Selection::all([1, frames]);
    let control = Control::new();
    let params = statistics::Params {
        squares: true,
        extrema: false,
    };
    go("statistics", stride, &|k| {
        run(Statistics(params), &scan, &all, backend, k, &control)
    })?;
    // The minimum of a frame must be known before its first logarithm.
    go("log-sum", 2.0 * stride, &|k| {
        run(LogSum::all(), &scan, &all, backend, k, &control)
    })?;
    let positions = |n: usize| {
        (0..n).map(move |i| {
            [
                (i * 37 % (h - 2 * crop) + crop) as i32,
                (i * 53 % (w - 2 * crop) + crop) as i32,
            ]
        })
    };
    let stack = MaskStack::Stamps {
        stamp: Array2::from_elem((stamp, stamp), 1.0),
        positions: positions(300).collect(),
    };
    go("masks", stride + 1200.0, &|k| {
        run(MaskProducts::new(&stack), &scan, &all, backend, k, &control)
    })?;
    let expected: Vec<[f64; 2]> = positions(25).map(|p| p.map(f64::from)).collect();
    let correlation = |method: Method| -> Result<Correlate> {
        let (th, tw) = match method {
            Method::Full => (h, w),
            _ => (2 * crop, 2 * crop),
        };
        let disk = |(y, x): (usize, usize)| (y as f64 - (th / 2) as f64).hypot(x as f64 - (tw / 2) as f64);
        let radius = crop as f64 / 2.0;
        let template = Array2::from_shape_fn((th, tw), |at| (radius + 0.5 - disk(at)).clamp(0.0, 1.0));
        Correlate::new(
            frame,
            Params {
                method,
                recipe: Recipe::Default,
                template,
                crop,
                labels: Arc::from(vec![0; frames]),
                positions: Arc::from(vec![expected.clone()]),
                upsample: None,
            },
        )
    };
    let crops = 25.0 * (4 * crop * crop * size_of::<T>()) as f64;
    go("fast", crops + 500.0, &|k| {
        run(correlation(Method::Fast)?, &scan, &all, backend, k, &control)
    })?;
    let full = 2.0 * stride + 12.0 * frame.pixels() as f64;
    go("full", full, &|k| {
        run(correlation(Method::Full)?, &scan, &all, backend, k, &control)
    })
}

fn run<O: Operator>(
    operator: O,
    scan: &dyn Scan,
    all: &Selection,
    backend: &Backend,
    kept: &Resident,
    control: &Control,
) -> Result<PassTimes> {
    let mut pass = Pass::new("bench", scan, all);
    let handle = pass.add(operator);
    let mut done = pass.run(backend, kept, control)?;
    done.take(handle)?;
    Ok(done.times().clone())
}

fn split(t: &PassTimes) -> Value {
    json!({
        "wall_s": t.wall, "read_s": t.read, "upload_s": t.upload, "device_s": t.device, "read_back_s": t.read_back, "host_s": t.host,
        "uploaded_bytes": t.uploaded, "returned_bytes": t.returned, "resident_frames": t.resident, "blocks": t.blocks,
        "dispatches": t.dispatches,
    })
}
