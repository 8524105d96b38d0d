//! Every operator as a pass over a file, on the CPU and (where there is one) on the GPU, beside what the same run measured of
//! the machine: a read sweep and a copy of memory with the same threads, and reading the file without computing.
//!
//!     cargo bench --bench passes -- SCAN… [--threads N] [--repeat N] [--block BYTES] [--json FILE]

use emstream::analysis::template::Template;
use emstream::backend::gpu::{Gpu, GpuChoice};
use emstream::engine::{Backend, Pass, Resident, Selection};
use emstream::io::{self, OpenOptions, Scan};
use emstream::kernels::correlate;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::statistics::Params;
use emstream::ops::{Correlate, Displaced, LogSum, MaskProducts, Statistics};
use emstream::{Control, Result};
use serde_json::json;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

struct Options {
    scans: Vec<PathBuf>,
    threads: usize,
    repeat: usize,
    block: Option<u64>,
    json: Option<PathBuf>,
}

fn options() -> Options {
    let mut o = Options {
        scans: Vec::new(),
        threads: Control::new().threads,
        repeat: 5,
        block: None,
        json: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let mut number = || args.next().and_then(|v| v.parse().ok()).expect("a number");
        match a.as_str() {
            "--bench" => {}
            "--threads" => o.threads = number(),
            "--repeat" => o.repeat = number(),
            "--block" => o.block = Some(number() as u64),
            "--json" => o.json = args.next().map(PathBuf::from),
            _ => o.scans.push(a.into()),
        }
    }
    o
}

/// Median of `repeat` runs after one to warm up, in seconds.
fn median(repeat: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..repeat.max(1))
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Bytes per second of `work` over equal parts of a large buffer, one part a thread.
fn memory_rate(threads: usize, repeat: usize, work: impl Fn(&[u64], &mut [u64]) + Sync) -> f64 {
    let words = 64 << 20 >> 3;
    let mut parts: Vec<(Vec<u64>, Vec<u64>)> = (0..threads).map(|i| (vec![i as u64 + 1; words], vec![1; words])).collect();
    let seconds = median(repeat, || {
        std::thread::scope(|s| {
            for (from, to) in &mut parts {
                let work = &work;
                s.spawn(move || work(from, to));
            }
        })
    });
    (threads * words * 8) as f64 / seconds
}

fn sweep(from: &[u64], _: &mut [u64]) {
    let mut lanes = [0u64; 32];
    for chunk in from.chunks_exact(32) {
        lanes.iter_mut().zip(chunk).for_each(|(a, b)| *a ^= *b);
    }
    black_box(lanes);
}

/// Reads every frame and does nothing.
fn read_only(scan: &dyn Scan, control: &Control) -> Result<()> {
    let frame = scan.info().frame;
    let piece = ((256 << 10) / frame.stride()).clamp(8, 64) as u64;
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..control.threads)
            .map(|_| {
                s.spawn(|| -> Result<()> {
                    let mut buffer = vec![0u8; piece as usize * frame.stride()];
                    loop {
                        let first = next.fetch_add(piece, std::sync::atomic::Ordering::Relaxed);
                        if first >= scan.info().frames() {
                            return Ok(());
                        }
                        let numbers: Vec<u64> = (first..(first + piece).min(scan.info().frames())).collect();
                        scan.read(&numbers, frame.stride(), &mut buffer, control)?;
                        black_box(&buffer);
                    }
                })
            })
            .collect();
        threads.into_iter().try_for_each(|t| t.join().expect("reader"))
    })
}

/// 300 stamps of a disk with its background subtracted: 7 × 7 pixels for small frames, 45 × 45 for large ones.
fn stamps(scan: &dyn Scan) -> Result<MaskStack> {
    let frame = scan.info().frame;
    let (radius, outer) = if frame.width > 200 { (11.0, 22.0) } else { (1.5, 2.5) };
    let stamp = Template::named("background", radius, Some(outer))?.stamp().mapv(|v| v as f32);
    let positions = (0..300)
        .map(|i| [(i * 7919 % frame.height) as i32, (i * 104_729 % frame.width) as i32])
        .collect();
    Ok(MaskStack::Stamps { stamp, positions })
}

/// Fast correlation of 25 peaks in windows of 8 × 8 pixels (small frames) or 44 × 44 (large ones), as `strain` refines.
fn peaks(scan: &dyn Scan) -> Result<Correlate> {
    let frame = scan.info().frame;
    let (radius, outer) = if frame.width > 200 { (11.0, 22.0) } else { (1.5, 4.0) };
    let template = Template::named("background", radius, Some(outer))?;
    let crop = template.crop();
    let place = |k: usize, n: usize| n as f64 * (0.5 + 0.13 * (k as f64 - 2.0));
    let positions = (0..25)
        .map(|i| [place(i / 5, frame.height), place(i % 5, frame.width)])
        .collect();
    Correlate::new(
        frame,
        correlate::Params {
            method: correlate::Method::Fast,
            recipe: correlate::Recipe::Default,
            template: template.window(2 * crop, 2 * crop),
            crop,
            labels: vec![0; scan.info().frames() as usize].into(),
            positions: vec![positions].into(),
            upsample: None,
        },
    )
}

fn run(step: &str, scan: &dyn Scan, masks: &MaskStack, backend: &Backend, control: &Control) -> Result<()> {
    let all = Selection::all(scan.info().nav);
    let mut pass = Pass::new(step, scan, &all);
    if step == "sum" {
        pass.add(Statistics(Params {
            squares: false,
            extrema: false,
        }));
    }
    if step == "sum+std" || step == "everything" {
        pass.add(Statistics(Params {
            squares: true,
            extrema: false,
        }));
    }
    if step == "sum+std+min+max" {
        pass.add(Statistics(Params {
            squares: true,
            extrema: true,
        }));
    }
    if step == "log-sum" || step == "everything" {
        pass.add(LogSum::all());
    }
    if step == "300 masks" || step == "everything" {
        pass.add(MaskProducts::new(masks));
    }
    if step == "300 masks moved" {
        let shifts = (0..scan.info().frames()).map(|n| [n as f64 * 0.01 % 3.0, 0.5]).collect();
        pass.add(Displaced::new(MaskProducts::new(masks), shifts));
    }
    if step == "25 peaks" {
        pass.add(peaks(scan)?);
    }
    pass.run(backend, &Resident::none(), control).map(|_| ())
}

fn main() -> Result<()> {
    let o = options();
    let control = Control {
        threads: o.threads,
        block: o.block,
        ..Control::new()
    };
    let sweep_rate = memory_rate(o.threads, o.repeat, sweep) / 1e9;
    let copy_rate = memory_rate(o.threads, o.repeat, |from, to| to.copy_from_slice(from)) / 1e9;
    println!(
        "{} threads: read sweep {sweep_rate:.1} GB/s, copy {copy_rate:.1} GB/s (bytes counted once)",
        o.threads
    );
    let mut backends = vec![Backend::Cpu];
    match Gpu::open(GpuChoice::Auto) {
        Ok(gpu) => {
            println!("GPU: {}", gpu.summary.name);
            backends.push(Backend::gpu(gpu));
        }
        Err(e) => println!("no GPU in this run: {e}"),
    }
    let mut rows = Vec::new();
    println!(
        "{:<24}{:<18}{:<5}{:>11}{:>9}{:>12}",
        "scan", "step", "on", "frames/s", "GB/s", "of sweep"
    );
    for path in &o.scans {
        let scan = io::open(path, &OpenOptions::default(), &control)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let frames = scan.info().frames() as f64;
        let bytes = frames * scan.info().frame.bytes() as f64;
        let masks = stamps(&*scan)?;
        let mut row = |step: &str, on: &str, seconds: f64| {
            let rate = bytes / seconds / 1e9;
            println!(
                "{name:<24}{step:<18}{on:<5}{:>11.0}{rate:>9.2}{:>11.0}%",
                frames / seconds,
                100.0 * rate / sweep_rate
            );
            rows.push(
                json!({"scan": name, "step": step, "backend": on, "frames_per_s": frames / seconds, "GB_per_s": rate,
                "share_of_read_sweep": rate / sweep_rate, "median_s": seconds}),
            );
        };
        row(
            "file read",
            "cpu",
            median(o.repeat, || read_only(&*scan, &control).expect("readable")),
        );
        for backend in &backends {
            for step in [
                "sum",
                "sum+std",
                "sum+std+min+max",
                "log-sum",
                "300 masks",
                "300 masks moved",
                "everything",
                "25 peaks",
            ] {
                let seconds = median(o.repeat, || run(step, &*scan, &masks, backend, &control).expect("pass"));
                row(step, backend.name(), seconds);
            }
        }
    }
    if let Some(file) = o.json {
        let out = json!({"threads": o.threads, "read_sweep_GB_per_s": sweep_rate, "copy_GB_per_s": copy_rate,
            "adapter": backends.get(1).map(Backend::adapter), "repeat": o.repeat, "rows": rows});
        std::fs::write(&file, format!("{out:#}\n")).map_err(|e| emstream::Error::io(&file, "cannot write", e))?;
    }
    Ok(())
}
