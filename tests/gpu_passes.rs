//! Passes on a device: what stays there between passes, how much is uploaded, and what happens when things go wrong at any
//! point. Needs an adapter; a software one will do.

mod common;

use common::{gpu, scan};
use emstream::backend::gpu::{Fault, FaultPoint, Tuning};
use emstream::control::Control;
use emstream::engine::{Backend, Operator, Pass, PassTimes, Resident, Selection};
use emstream::io::{Scan, ScanInfo};
use emstream::kernels::correlate::Method;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::{correlate, logsum, statistics};
use emstream::ops::{Correlate, LogSum, MaskProducts, Statistics};
use emstream::workflows::tune;
use emstream::{Error, Result};
use ndarray::Array2;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, PartialEq, Clone)]
struct Results {
    moments: statistics::Part,
    logs: logsum::Part,
    products: Vec<f32>,
}

/// Three operators in one pass.
fn pass(scan: &dyn Scan, backend: &Backend, resident: &Resident, control: &Control) -> Result<(Results, PassTimes)> {
    let frame = scan.info().frame;
    let selection = Selection::all(scan.info().nav);
    let stamp = Array2::from_shape_fn((5, 5), |(y, x)| 0.25 * y as f32 - 0.5 * x as f32);
    let positions = (0..30)
        .map(|i| [(i * 7 % frame.height) as i32, (i * 11 % frame.width) as i32])
        .collect();
    let stack = MaskStack::Stamps { stamp, positions };
    let mut pass = Pass::new("test", scan, &selection);
    let moments = pass.add(Statistics(statistics::Params {
        squares: true,
        extrema: true,
    }));
    let logs = pass.add(LogSum::all());
    let products = pass.add(MaskProducts::new(&stack));
    let mut done = pass.run(backend, resident, control)?;
    let times = done.times().clone();
    let results = Results {
        moments: done.take(moments)?,
        logs: done.take(logs)?,
        products: done.take(products)?,
    };
    Ok((results, times))
}

fn control(block: Option<u64>) -> Control {
    Control {
        threads: 2,
        memory: 1 << 30,
        block,
        ..Control::new()
    }
}

fn set_budget(backend: &Backend, bytes: u64) {
    let Backend::Gpu(device) = backend else { unreachable!() };
    device.current().set_budget(bytes);
}

#[test]
fn frames_that_fit_are_uploaded_once() {
    let scan = scan([25, 40], [33, 31], 1, |v| v as u16);
    let bytes = 1000 * scan.info().frame.stride() as u64;
    let backend = gpu();
    let resident = Resident::new(0);
    let (first, t) = pass(&scan, &backend, &resident, &control(None)).unwrap();
    assert_eq!((t.uploaded, t.resident), (bytes, 0));
    assert!(t.wall > 0.0 && t.read > 0.0 && t.host > 0.0 && t.dispatches > 0);
    for _ in 0..2 {
        let (again, t) = pass(&scan, &backend, &resident, &control(None)).unwrap();
        assert_eq!((t.uploaded, t.resident, t.read), (0, 1000, 0.0));
        assert!(again == first);
    }
    // Single passes keep nothing.
    let (_, t) = pass(&scan, &backend, &Resident::none(), &control(None)).unwrap();
    assert_eq!(t.uploaded, bytes);
    let (_, t) = pass(&scan, &backend, &Resident::none(), &control(None)).unwrap();
    assert_eq!(t.uploaded, bytes);
}

#[test]
fn frames_on_the_device_are_done_in_pieces() {
    let scan = scan([25, 40], [33, 31], 1, |v| v as u16);
    let stride = scan.info().frame.stride() as u64;
    let backend = gpu();
    let resident = Resident::new(0);
    let (wanted, t) = pass(&scan, &backend, &resident, &control(None)).unwrap();
    // 256, 256, 256 and 232 frames.
    assert_eq!((t.blocks, t.resident), (4, 0));
    for (frames, pieces) in [(64, 4 + 4 + 4 + 4), (40, 7 + 7 + 7 + 6), (8, 32 + 32 + 32 + 29), (256, 4)] {
        let (again, t) = pass(&scan, &backend, &resident, &control(Some(frames * stride))).unwrap();
        assert_eq!((t.blocks, t.resident, t.uploaded), (pieces, 1000, 0), "{frames}");
        assert!(again == wanted, "{frames} frames at a time");
    }
}

#[test]
fn what_does_not_fit_is_streamed_again() {
    let scan = scan([50, 64], [64, 64], 2, |v| v as u16);
    let bytes = 3200 * scan.info().frame.stride() as u64;
    let backend = gpu();
    let (wanted, _) = pass(&scan, &backend, &Resident::none(), &control(Some(1 << 20))).unwrap();
    set_budget(&backend, 20 << 20);
    let resident = Resident::new(0);
    let (first, t) = pass(&scan, &backend, &resident, &control(Some(1 << 20))).unwrap();
    assert_eq!(t.uploaded, bytes);
    let (second, t) = pass(&scan, &backend, &resident, &control(Some(1 << 20))).unwrap();
    let kept = t.resident * scan.info().frame.stride() as u64;
    assert!(kept > 8 << 20 && kept < 20 << 20, "{kept} bytes stay");
    assert_eq!(t.uploaded, bytes - kept);
    assert!(first == wanted && second == wanted);
    // A pass with less memory drops blocks and goes on.
    set_budget(&backend, 14 << 20);
    let (third, t) = pass(&scan, &backend, &resident, &control(Some(1 << 20))).unwrap();
    assert!(t.resident * scan.info().frame.stride() as u64 <= 14 << 20);
    assert!(third == wanted);
}

/// A scan that says it is costly, and counts frames read.
struct Costly<S> {
    scan: S,
    info: ScanInfo,
    read: AtomicU64,
}

impl<S: Scan> Scan for Costly<S> {
    fn info(&self) -> &ScanInfo {
        &self.info
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        self.read.fetch_add(frames.len() as u64, Ordering::Relaxed);
        self.scan.read(frames, stride, out, control)
    }
}

#[test]
fn costly_frames_stay_decoded_on_the_host() {
    let scan = scan([50, 64], [64, 64], 3, |v| v as u8);
    let info = ScanInfo {
        costly: true,
        ..scan.info().clone()
    };
    let scan = Costly {
        scan,
        info,
        read: AtomicU64::new(0),
    };
    for backend in [gpu(), Backend::Cpu] {
        set_small(&backend);
        scan.read.store(0, Ordering::Relaxed);
        let resident = Resident::new(1 << 30);
        let (first, _) = pass(&scan, &backend, &resident, &control(Some(1 << 20))).unwrap();
        let (second, _) = pass(&scan, &backend, &resident, &control(Some(1 << 20))).unwrap();
        assert!(first == second);
        assert_eq!(scan.read.load(Ordering::Relaxed), 3200, "every frame is decoded once");
    }
}

fn set_small(backend: &Backend) {
    if let Backend::Gpu(device) = backend {
        device.current().set_budget(8 << 20);
    }
}

/// Runs a pass with `fault` at the n-th passage of `point`, for every n that the pass reaches.
fn strike(point: FaultPoint, fault: Fault, mut check: impl FnMut(u32, Result<(Results, PassTimes)>)) -> u32 {
    let scan = scan([11, 23], [13, 17], 4, |v| v as u16);
    for n in 0.. {
        let backend = gpu();
        let Backend::Gpu(device) = &backend else { unreachable!() };
        let faulty = device.current();
        faulty.faults.inject(point, n, fault);
        let resident = Resident::new(0);
        let result = pass(&scan, &backend, &resident, &control(Some(8192)));
        if faulty.faults.waiting() > 0 {
            result.unwrap();
            return n;
        }
        check(n, result);
        // The next pass of the workflow finds nothing wrong.
        pass(&scan, &backend, &resident, &control(Some(8192))).unwrap();
    }
    unreachable!()
}

fn undisturbed() -> Results {
    let scan = scan([11, 23], [13, 17], 4, |v| v as u16);
    pass(&scan, &gpu(), &Resident::none(), &control(Some(8192))).unwrap().0
}

#[test]
fn out_of_memory_at_any_allocation() {
    let wanted = undisturbed();
    let points = strike(FaultPoint::Buffer, Fault::OutOfMemory, |n, result| {
        assert!(result.unwrap().0 == wanted, "allocation {n}");
    });
    assert!(points > 15, "{points} allocations");
}

#[test]
fn device_lost_at_any_submission() {
    let wanted = undisturbed();
    let points = strike(FaultPoint::Submit, Fault::Lost, |n, result| {
        assert!(result.unwrap().0 == wanted, "submission {n}");
    });
    assert!(points > 3, "{points} submissions");
}

#[test]
fn a_device_lost_twice_is_an_error() {
    let scan = scan([11, 23], [13, 17], 4, |v| v as u16);
    let backend = gpu();
    let Backend::Gpu(device) = &backend else { unreachable!() };
    // The second device breaks, too: it is met in the reader of the scan, after the first was lost.
    struct Breaks<'a, S>(S, &'a emstream::engine::Device);
    impl<S: Scan> Scan for Breaks<'_, S> {
        fn info(&self) -> &ScanInfo {
            self.0.info()
        }
        fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
            let gpu = self.1.current();
            if gpu.faults.waiting() == 0 {
                gpu.faults.inject(FaultPoint::Submit, 0, Fault::Lost);
            }
            self.0.read(frames, stride, out, control)
        }
    }
    let result = pass(&Breaks(scan, device), &backend, &Resident::none(), &control(Some(8192)));
    let error = result.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::DeviceLost(_)), "{error}");
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn kernels_that_cannot_be_built_run_on_the_cpu() {
    let wanted = undisturbed();
    let mut fell_back = Vec::new();
    strike(FaultPoint::Pipeline, Fault::Refused, |n, result| {
        let (got, times) = result.unwrap();
        assert_eq!(times.on_cpu.len(), 1, "kernel {n}");
        assert!(times.blocks > 0, "the others stay on the device");
        assert_eq!(got.moments, wanted.moments, "kernel {n}");
        close(&got, &wanted);
        fell_back.extend(times.on_cpu);
    });
    fell_back.dedup();
    assert_eq!(fell_back, ["statistics", "log-sum", "masks"]);
}

/// What differs between backends by rounding alone.
fn close(a: &Results, b: &Results) {
    let near = |x: f64, y: f64, scale: f64| assert!((x - y).abs() <= 1e-6 * scale, "{x} {y}");
    for (x, y) in a.logs.sums[&0].values.iter().zip(&b.logs.sums[&0].values) {
        near(*x, *y, y.abs());
    }
    let scale = b.products.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (x, y) in a.products.iter().zip(&b.products) {
        near(f64::from(*x), f64::from(*y), f64::from(scale));
    }
}

#[test]
fn what_no_binding_holds_runs_on_the_cpu() {
    let limits = wgpu::Limits::default();
    let scan = scan([4, 4], [64, 64], 5, |v| v as u8);
    // 10 000 dense masks take 164 MB.
    let rows = Array2::from_shape_fn((10_000, 4096), |(m, p)| if p % 97 == m % 97 { 1.0 } else { 0.0 });
    let stack = MaskStack::Dense { rows };
    let choice = emstream::backend::gpu::GpuChoice::Name("llvmpipe".into());
    let gpu = emstream::backend::gpu::Gpu::open_with_limits(choice, Some(&limits)).unwrap();
    let run = |backend: &Backend| {
        let selection = Selection::all([4, 4]);
        let mut pass = Pass::new("test", &scan, &selection);
        let products = pass.add(MaskProducts::new(&stack));
        let mut done = pass.run(backend, &Resident::none(), &control(None)).unwrap();
        (done.times().on_cpu.clone(), done.take(products).unwrap())
    };
    let (on_cpu, products) = run(&Backend::gpu(gpu));
    assert_eq!(on_cpu, ["masks"]);
    assert!(products == run(&Backend::Cpu).1);
}

/// A pass of one operator.
fn single<O: Operator>(scan: &dyn Scan, backend: &Backend, operator: O) -> PassTimes {
    let selection = Selection::all(scan.info().nav);
    let mut pass = Pass::new("test", scan, &selection);
    let handle = pass.add(operator);
    let mut done = pass.run(backend, &Resident::none(), &control(Some(1 << 20))).unwrap();
    done.take(handle).unwrap();
    done.times().clone()
}

#[test]
fn dispatches_and_bytes_are_as_documented() {
    let (frames, edge) = (512u64, 64usize);
    let scan = scan([8, 64], [edge, edge], 6, |v| v as u16);
    let backend = gpu();
    // One number for each pixel in 32 bits.
    let plane = 4 * (edge * edge) as u64;
    let check = |name: &str, t: PassTimes, dispatches: u64, returned: u64| {
        assert_eq!((t.blocks, t.uploaded), (4, frames * 2 * plane / 4), "{name}");
        assert_eq!((t.dispatches, t.returned), (4 * dispatches, returned), "{name}");
    };
    let params = statistics::Params {
        squares: true,
        extrema: true,
    };
    check("statistics", single(&scan, &backend, Statistics(params)), 1, 6 * plane);
    check("log-sum", single(&scan, &backend, LogSum::all()), 2, frames / 64 * plane);
    let stack = MaskStack::Stamps {
        stamp: Array2::from_elem((7, 7), 0.5),
        positions: (0..300).map(|i| [i % 64, i * 7 % 64]).collect(),
    };
    check(
        "masks",
        single(&scan, &backend, MaskProducts::new(&stack)),
        1,
        frames * 300 * 4,
    );
    let correlate = |method, size: usize| {
        let centre = size as f64 / 2.0;
        let template = Array2::from_shape_fn((size, size), |(y, x)| {
            (2.5 - (y as f64 - centre).hypot(x as f64 - centre)).clamp(0.0, 1.0)
        });
        let params = correlate::Params {
            method,
            recipe: correlate::Recipe::Default,
            template,
            crop: 4,
            labels: (0..frames as i32).map(|_| 0).collect(),
            positions: std::iter::once((0..5).map(|i| [10.0 + 9.0 * f64::from(i), 40.0]).collect()).collect(),
            upsample: None,
        };
        Correlate::new(scan.info().frame, params).unwrap()
    };
    check(
        "fast",
        single(&scan, &backend, correlate(Method::Fast, 8)),
        1,
        frames * 5 * 20,
    );
    check(
        "full",
        single(&scan, &backend, correlate(Method::Full, edge)),
        4,
        frames * 5 * 20,
    );
}

#[test]
fn every_tuning_gives_the_same_bits() {
    let scan = scan([11, 23], [45, 51], 4, |v| v as u16);
    let backend = gpu();
    let Backend::Gpu(device) = &backend else { unreachable!() };
    let summary = device.current().summary.clone();
    let (wanted, _) = pass(&scan, &backend, &Resident::none(), &control(None)).unwrap();
    let all = Tuning::candidates(&summary);
    assert!(all.len() >= 4);
    for tuning in all {
        device.current().set_tuning(tuning);
        assert_eq!(device.current().tuning(), tuning);
        let (got, _) = pass(&scan, &backend, &Resident::none(), &control(None)).unwrap();
        assert!(got == wanted, "{tuning:?}");
    }
}

#[test]
fn tuning_is_measured_and_remembered() {
    let gpu = |()| match gpu() {
        Backend::Gpu(device) => std::sync::Arc::into_inner({
            let gpu = device.current();
            drop(device);
            gpu
        })
        .unwrap(),
        Backend::Cpu => unreachable!(),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("emstream").join("tuning.toml");
    let device = gpu(());
    let (name, driver) = (device.summary.name.clone(), device.summary.driver.clone());
    assert_eq!(tune::recall(&file, &device).unwrap(), None);
    let all = tune::measure(device, 64, &control(None)).unwrap();
    assert_eq!(all.len(), Tuning::candidates(&gpu(()).summary).len());
    assert!(all.windows(2).all(|w| w[0].seconds <= w[1].seconds && w[0].seconds > 0.0));
    for m in [all[1], all[0]] {
        tune::remember(&file, &name, &driver, m.tuning).unwrap();
    }
    tune::remember(&file, "another", "1.0", all[1].tuning).unwrap();
    assert_eq!(tune::recall(&file, &gpu(())).unwrap(), Some(all[0].tuning));
    // Numbers that no device could use are brought into range; another text is one clear line.
    let text = std::fs::read_to_string(&file).unwrap();
    let huge = text.replace("workgroup_words = ", "workgroup_words = 9");
    std::fs::write(&file, huge).unwrap();
    let found = tune::recall(&file, &gpu(())).unwrap().unwrap();
    assert!(found.workgroup_words <= 8192);
    std::fs::write(&file, "[[adapter]]\nname = 3\n").unwrap();
    let error = tune::recall(&file, &gpu(())).unwrap_err().to_string();
    assert!(error.contains("tuning.toml") && !error.contains('\n'), "{error}");
    // Measuring anew mends it.
    tune::remember(&file, &name, &driver, all[1].tuning).unwrap();
    assert_eq!(tune::recall(&file, &gpu(())).unwrap(), Some(all[1].tuning));
}
