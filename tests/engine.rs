//! Passes: the same bits whatever threads, blocks and memory; both backends; operators together; errors and cancellation.

mod common;

use common::{gpu, scan};
use emstream::control::Control;
use emstream::engine::{Backend, FrameSink, Pass, Resident, Selection};
use emstream::io::Scan;
use emstream::kernels::masks::MaskStack;
use emstream::kernels::{framemap, logsum, statistics};
use emstream::ops::{FrameMap, LogSum, MaskProducts, Statistics};
use emstream::{Error, Result};
use ndarray::Array2;
use std::sync::{Arc, Mutex};

/// Everything that a pass can give.
#[derive(Debug, PartialEq, Clone)]
struct Everything {
    moments: statistics::Part,
    logs: logsum::Part,
    by_label: logsum::Part,
    products: Vec<f32>,
    frames: Vec<f32>,
}

struct Keep(Arc<Mutex<Vec<f32>>>);
impl FrameSink for Keep {
    fn put(&mut self, first: u64, count: usize, values: &[f32]) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        assert_eq!(all.len() / (values.len() / count), first as usize, "frames arrive in order");
        all.extend_from_slice(values);
        Ok(())
    }
    fn restart(&mut self) -> Result<()> {
        self.0.lock().unwrap().clear();
        Ok(())
    }
}

fn stack(h: usize, w: usize) -> MaskStack {
    let stamp = Array2::from_shape_fn((5, 5), |(y, x)| (y as f32 - 2.0) * 0.25 + x as f32 * 0.5 - 1.0);
    let positions = (0..40).map(|i| [(i * 7 % h) as i32, (i * 11 % w) as i32]).collect();
    MaskStack::Stamps { stamp, positions }
}

fn everything(
    scan: &dyn Scan,
    selection: &Selection,
    backend: &Backend,
    control: &Control,
    resident: &Resident,
) -> Result<Everything> {
    let frame = scan.info().frame;
    let labels: Arc<[i32]> = (0..selection.len())
        .map(|i| (i / 50 % 3) as i32 - i32::from(i % 17 == 0))
        .collect();
    let stack = stack(frame.height, frame.width);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink: Box<dyn FrameSink> = Box::new(Keep(kept.clone()));
    let mut pass = Pass::new("test", scan, selection);
    let moments = pass.add(Statistics(statistics::Params {
        squares: true,
        extrema: true,
    }));
    let logs = pass.add(LogSum::all());
    let by_label = pass.add(LogSum::by_label(labels));
    let products = pass.add(MaskProducts::new(&stack));
    let map = pass.add(FrameMap::new(
        framemap::Params { bin: 2, log: true },
        Arc::new(Mutex::new(sink)),
    ));
    let mut done = pass.run(backend, resident, control)?;
    done.take(map)?;
    let frames = kept.lock().unwrap().clone();
    Ok(Everything {
        moments: done.take(moments)?,
        logs: done.take(logs)?,
        by_label: done.take(by_label)?,
        products: done.take(products)?,
        frames,
    })
}

fn control(threads: usize, memory: u64, block: Option<u64>) -> Control {
    Control {
        threads,
        memory,
        block,
        ..Control::new()
    }
}

/// Scans of several pixel types with awkward frame sizes and numbers of frames.
fn scans() -> Vec<Box<dyn Scan>> {
    vec![
        Box::new(scan([11, 23], [13, 17], 1, |v| v as u8)),
        Box::new(scan([11, 23], [13, 17], 2, |v| v as u16)),
        Box::new(scan([7, 19], [9, 11], 3, |v| v as i16)),
        Box::new(scan([5, 29], [9, 11], 4, |v| v)),
        Box::new(scan([9, 21], [13, 17], 5, |v| (v & 0xffff) as f32 * 0.37 - 1000.0)),
    ]
}

fn same_bits(backend: &Backend) {
    for scan in scans() {
        let all = Selection::all(scan.info().nav);
        let reference = everything(&*scan, &all, backend, &control(1, 1 << 30, None), &Resident::none()).unwrap();
        for threads in [1, 2, 3] {
            for block in [Some(1), Some(5000), Some(1 << 20)] {
                for memory in [64 << 20, 1 << 30] {
                    let c = control(threads, memory, block);
                    let again = everything(&*scan, &all, backend, &c, &Resident::none()).unwrap();
                    assert!(
                        again == reference,
                        "{:?}: {threads} threads, block {block:?}",
                        scan.info().frame
                    );
                }
            }
        }
    }
}

#[test]
fn same_bits_for_any_threads_blocks_memory_on_the_cpu() {
    same_bits(&Backend::Cpu);
}

#[test]
fn same_bits_for_any_threads_blocks_memory_on_the_gpu() {
    same_bits(&gpu());
}

#[test]
fn resident_blocks_change_nothing() {
    let gpu = gpu();
    for backend in [&Backend::Cpu, &gpu] {
        for scan in scans() {
            let all = Selection::all(scan.info().nav);
            let resident = Resident::new(1 << 30);
            let c = control(2, 1 << 30, None);
            let first = everything(&*scan, &all, backend, &c, &resident).unwrap();
            let second = everything(&*scan, &all, backend, &c, &resident).unwrap();
            assert!(first == second);
            let part = Selection::from_rect(scan.info().nav, 1..4, 2..9).unwrap();
            let on_part = everything(&*scan, &part, backend, &c, &resident).unwrap();
            assert!(on_part == everything(&*scan, &part, backend, &c, &Resident::none()).unwrap());
        }
    }
}

fn close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
    let worst = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance * scale, "{what}: {worst} of {scale}");
}

fn singles(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn backends_agree() {
    let gpu = gpu();
    for scan in scans() {
        let nav = scan.info().nav;
        for selection in [Selection::all(nav), Selection::from_rect(nav, 1..4, 3..nav[1]).unwrap()] {
            let c = control(2, 1 << 30, None);
            let a = everything(&*scan, &selection, &Backend::Cpu, &c, &Resident::none()).unwrap();
            let b = everything(&*scan, &selection, &gpu, &c, &Resident::none()).unwrap();
            if scan.info().frame.pixel.is_integer() {
                assert_eq!(a.moments, b.moments, "exact for {:?}", scan.info().frame);
            }
            close(&a.moments.mean(), &b.moments.mean(), 1e-6, "mean");
            close(&a.moments.variance(), &b.moments.variance(), 1e-6, "variance");
            assert_eq!(a.moments.extrema(), b.moments.extrema());
            for (x, y) in [(&a.logs, &b.logs), (&a.by_label, &b.by_label)] {
                assert!(x.sums.keys().eq(y.sums.keys()));
                for (label, sum) in &x.sums {
                    assert_eq!(sum.frames, y.sums[label].frames);
                    close(&y.sums[label].values, &sum.values, 1e-6, "log-sum");
                }
            }
            close(&singles(&b.products), &singles(&a.products), 1e-6, "mask products");
            close(&singles(&b.frames), &singles(&a.frames), 1e-6, "mapped frames");
        }
    }
}

#[test]
fn too_little_memory_is_one_error() {
    let scan = scan([4, 4], [600, 600], 7, |v| v as u16);
    let all = Selection::all([4, 4]);
    let e = everything(&scan, &all, &Backend::Cpu, &control(2, 1 << 20, None), &Resident::none()).unwrap_err();
    assert!(matches!(e, Error::Memory { .. }), "{e}");
    assert!(e.to_string().contains("raise --memory"), "{e}");
}

#[test]
fn cancelled_passes_stop() {
    let gpu = gpu();
    for backend in [&Backend::Cpu, &gpu] {
        let scan = scan([8, 8], [16, 16], 8, |v| v as u8);
        let c = control(2, 1 << 30, None);
        c.cancel();
        let e = everything(&scan, &Selection::all([8, 8]), backend, &c, &Resident::none()).unwrap_err();
        assert!(matches!(e, Error::Cancelled));
    }
}

/// A scan whose reader fails at one frame.
struct Broken<S>(S, u64);
impl<S: Scan> Scan for Broken<S> {
    fn info(&self) -> &emstream::io::ScanInfo {
        self.0.info()
    }
    fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        if frames.contains(&self.1) {
            return Err(Error::format("broken.blo", format!("frame {}", self.1), "marker missing"));
        }
        self.0.read(frames, stride, out, control)
    }
}

#[test]
fn a_reader_error_ends_the_pass() {
    let gpu = gpu();
    for backend in [&Backend::Cpu, &gpu] {
        let scan = Broken(scan([20, 20], [8, 8], 9, |v| v as u8), 333);
        let c = control(3, 1 << 30, None);
        let e = everything(&scan, &Selection::all([20, 20]), backend, &c, &Resident::none()).unwrap_err();
        assert_eq!(e.to_string(), "broken.blo: frame 333: marker missing");
    }
}

#[test]
fn a_lost_device_and_a_full_one_are_retried_once() {
    use emstream::backend::gpu::{Fault, FaultPoint};
    let scan = scan([11, 23], [13, 17], 2, |v| v as u16);
    let all = Selection::all([11, 23]);
    let c = control(2, 1 << 30, Some(8192));
    let backend = gpu();
    let wanted = everything(&scan, &all, &backend, &c, &Resident::none()).unwrap();
    for (point, fault) in [
        (FaultPoint::Submit, Fault::Lost),
        (FaultPoint::Buffer, Fault::Lost),
        (FaultPoint::Submit, Fault::OutOfMemory),
        (FaultPoint::Buffer, Fault::OutOfMemory),
    ] {
        let Backend::Gpu(device) = &backend else { unreachable!() };
        device.current().faults.inject(point, 2, fault);
        let got = everything(&scan, &all, &backend, &c, &Resident::none()).unwrap();
        assert!(got == wanted, "{point:?} {fault:?}");
    }
}
