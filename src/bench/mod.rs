//! `bench`: every kernel and workflow step on the CPU and on a GPU, as a share of what the same run measured of the machine.
//!
//! One harness serves the program (`emstream bench`) and `scripts/bench`. Three groups of rows:
//!
//! - *kernels* on frames that lie in host memory (CPU) or device memory (GPU), from stage to parts, without reading and merging;
//! - *passes* over a file, with reading, upload and merging;
//! - *workflows*: the steps of `strain` (which contain those of `cluster`) on a simulated scan.
//!
//! What is timed is registered in [`cases`]; what a kernel does to a frame ([`Work`]) it states itself. The share of the limit compares
//! the time measured with the longest of the times that memory, bus, file or arithmetic would take alone, at the rates of [`limits`].

mod case;
pub mod cases;
mod data;
mod figure;
pub mod growth;
pub mod limits;
mod machine;
pub mod report;
mod table;
mod timing;
mod workflow;

pub use figure::roofline;
pub use machine::Machine;
pub use report::{Group, Report, Row};
pub use table::{HEAD, limit, line, text};
pub use timing::Spread;

use self::case::Case;
use self::cases::{HOST, KERNELS, Size};
use self::data::{Data, DeviceData};
use self::limits::cpu::CpuLimits;
use self::limits::gpu::GpuLimits;
use self::limits::{Bound, Limit, binding, of_work};
use self::timing::Effort;
use crate::backend::gpu::Gpu;
use crate::backend::stage::Work;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::{self, OpenOptions, Scan};
use crate::pixel::{FrameShape, Pixel};
use std::sync::Arc;

/// What is measured, and for how long.
pub struct Options {
    /// One frame size and short runs.
    pub quick: bool,
    /// Frames of this scan instead of simulated ones; the workflows are left out then.
    pub scan: Option<Box<dyn Scan>>,
    /// Only cases whose name or group contains one of these; all if there are none.
    pub only: Vec<String>,
    /// Exactly so many runs of each case, after one to warm up.
    pub repeat: Option<usize>,
    /// About how long everything together may take.
    pub seconds: Option<f64>,
    /// How the program was called, for the report.
    pub command: String,
}

impl Options {
    fn wants(&self, group: Group, name: &str) -> bool {
        let contains = |o: &String| name.contains(o.as_str()) || group.name() == o;
        self.only.is_empty() || self.only.iter().any(contains)
    }
}

/// Seconds of a quick and of a full run.
const QUICK: f64 = 14.0;
const FULL: f64 = 240.0;
/// Edges of the frames of a quick and of a full run.
const QUICK_EDGES: [usize; 1] = [256];
const EDGES: [usize; 3] = [128, 256, 512];

/// The simulated frames that passes are measured with; more would tell little more.
const PASSES: FrameShape = FrameShape {
    pixel: Pixel::U16,
    height: 256,
    width: 256,
};

/// Measures limits, then kernels, passes and workflows; `progress` sees every limit and row as it is known.
///
/// # Errors
/// What kernels, the device or the scan report; [`Error::Parameter`] if `only` fits nothing; [`Error::Cancelled`].
pub fn run(options: &Options, backend: &Backend, control: &Control, progress: &mut dyn FnMut(Event<'_>)) -> Result<Report> {
    let gpu = match backend {
        Backend::Cpu => None,
        Backend::Gpu(device) => Some(device.current()),
    };
    let mut run = Run {
        options,
        backend,
        control,
        gpu: gpu.as_deref(),
        effort: options.effort(gpu.is_some()),
        report: Report::new(options, backend, control),
        progress,
    };
    run.limits()?;
    run.kernels()?;
    run.host()?;
    if options.scan.is_none() {
        run.workflows()?;
    }
    if run.report.rows.is_empty() {
        let what = format!(
            "'{}' is part of no name; see the table of `emstream bench`",
            options.only.join(",")
        );
        return Err(Error::parameter("--only", what));
    }
    Ok(run.report)
}

impl Options {
    /// The time of one measurement: equal shares of the whole, half of which goes into preparations.
    fn effort(&self, gpu: bool) -> Effort {
        let whole = self.seconds.unwrap_or(if self.quick { QUICK } else { FULL });
        let shapes = self.shapes().len();
        // Some twenty cases a shape, on one core, on all, on the GPU, and for one shape as passes.
        let measurements = 20.0 * (shapes as f64 + 0.5) * if gpu { 3.0 } else { 2.0 };
        Effort {
            seconds: (whole / 2.0 / measurements).clamp(0.005, 2.0),
            repeat: self.repeat,
        }
    }

    /// The frames that kernels are measured with.
    fn shapes(&self) -> Vec<FrameShape> {
        if let Some(scan) = &self.scan {
            return vec![scan.info().frame];
        }
        let edges: &[usize] = if self.quick { &QUICK_EDGES } else { &EDGES };
        let of = |&edge: &usize| {
            [Pixel::U8, Pixel::U16, Pixel::F32].map(|pixel| FrameShape {
                pixel,
                height: edge,
                width: edge,
            })
        };
        edges.iter().flat_map(of).collect()
    }
}

/// What a run has just found out.
pub enum Event<'a> {
    Limit(&'a Limit, usize),
    Row(&'a Row),
}

/// A run under way.
struct Run<'a> {
    options: &'a Options,
    backend: &'a Backend,
    control: &'a Control,
    gpu: Option<&'a Gpu>,
    effort: Effort,
    report: Report,
    progress: &'a mut dyn FnMut(Event<'_>),
}

impl Run<'_> {
    /// Memory for frames.
    fn memory(&self) -> u64 {
        self.control.memory / 4
    }

    fn limits(&mut self) -> Result<()> {
        // Everything else is divided by these.
        let effort = Effort {
            seconds: (4.0 * self.effort.seconds).max(0.1),
            ..self.effort
        };
        let threads = self.control.threads;
        for n in if threads > 1 { vec![1, threads] } else { vec![1] } {
            let found = limits::cpu::measure(n, self.memory(), effort, self.control)?;
            for limit in [&found.read_sweep, &found.copy, &found.multiply_add] {
                (self.progress)(Event::Limit(limit, n));
            }
            self.report.limits.cpu.push(found);
        }
        for isa in crate::backend::cpu::isa::Isa::available() {
            if isa.name() != self.report.machine.isa {
                let limit = limits::cpu::multiply_add(isa, 1, effort, self.control)?;
                (self.progress)(Event::Limit(&limit, 1));
                self.report.limits.other_instruction_sets.push(limit);
            }
        }
        if let Some(gpu) = self.gpu {
            let found = limits::gpu::measure(gpu, effort, self.control)?;
            let all = [
                &found.upload,
                &found.read_back,
                &found.copy,
                &found.multiply_add,
                &found.dispatch,
                &found.submission,
            ];
            for limit in all {
                (self.progress)(Event::Limit(limit, 0));
            }
            self.report.limits.gpu = Some(found);
        }
        Ok(())
    }

    fn kernels(&mut self) -> Result<()> {
        for shape in self.options.shapes() {
            let data = match &self.options.scan {
                Some(scan) => Data::read(&**scan, self.control.threads, self.memory(), self.control)?,
                None => Data::simulated(shape, self.control.threads, self.memory(), self.control)?,
            };
            let data = Arc::new(data);
            let mut cases = Vec::new();
            for make in KERNELS {
                cases.extend(make(&data)?);
            }
            cases.retain(|c| Group::ALL.iter().any(|&g| self.options.wants(g, c.name())));
            let device = match self.gpu {
                Some(gpu) if cases.iter().any(|c| self.options.wants(Group::Kernel, c.name())) => Some(data.upload(gpu)?),
                _ => None,
            };
            for case in &cases {
                if self.options.wants(Group::Kernel, case.name()) {
                    self.kernel(&**case, device.as_ref())?;
                }
            }
            drop(device);
            cases.retain(|c| self.options.wants(Group::Pass, c.name()));
            let passes = self.options.scan.is_some() || shape == PASSES;
            if passes && !cases.is_empty() {
                self.passes(&cases, &data)?;
            }
        }
        Ok(())
    }

    fn host(&mut self) -> Result<()> {
        let edge = if self.options.quick { 64 } else { 256 };
        let size = Size {
            nav: [edge, edge],
            features: if self.options.quick { 100 } else { 300 },
        };
        for make in HOST {
            for case in make(&size, self.control)? {
                if self.options.wants(Group::Host, case.name()) {
                    self.kernel(&*case, None)?;
                }
            }
        }
        Ok(())
    }

    /// One core, all threads, and the device.
    fn kernel(&mut self, case: &dyn Case, device: Option<&DeviceData>) -> Result<()> {
        let group = if case.frame().is_some() { Group::Kernel } else { Group::Host };
        let threads = self.control.threads;
        let counts = if threads > 1 && case.is_parallel() {
            vec![1, threads]
        } else {
            vec![1]
        };
        for (n, limits) in counts.iter().zip(self.report.limits.cpu.clone()) {
            let (least, most) = case.items(*n);
            let items = self.enough(least, most, |items| case.cpu(*n, items))?;
            let spread = self.effort.measure(self.control, || case.cpu(*n, items))?;
            let bounds = of_work(
                &case.work(),
                items as f64,
                limits.read_sweep.per_second(),
                limits.multiply_add.per_second(),
            );
            self.push(Measured::of(case, group, "cpu", Some(*n), items, spread), &bounds);
        }
        if let (Some(gpu), Some(device), Some(limits)) = (self.gpu, device, self.report.limits.gpu.clone()) {
            let mut missing = false;
            let mut timed = |items| {
                let done = case.gpu(gpu, device, items)?;
                missing = done.is_none();
                Ok(done.map_or(f64::INFINITY, |d| d.1))
            };
            let most = device.count();
            let items = self.enough(most.min(64), most, &mut timed)?;
            let spread = self.effort.measure(self.control, || timed(items))?;
            if !missing {
                let bounds = device_bounds(&case.work(), items as f64, &limits);
                self.push(Measured::of(case, group, "gpu", None, items, spread), &bounds);
            }
        }
        Ok(())
    }

    /// As many items, a multiple of `least`, as take about the time of one run.
    fn enough(&self, least: u64, most: u64, mut run: impl FnMut(u64) -> Result<f64>) -> Result<u64> {
        if least >= most {
            return Ok(most);
        }
        run(least)?;
        let seconds = run(least)?.max(1e-7);
        let times = (self.effort.run() / seconds) as u64;
        Ok((least * times.max(1)).min(most / least * least))
    }

    fn passes(&mut self, cases: &[Box<dyn Case>], data: &Data) -> Result<()> {
        let folder = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), "cannot write", e))?;
        let written;
        let scan: &dyn Scan = match &self.options.scan {
            Some(scan) => &**scan,
            None => {
                let path = folder.path().join("frames.npy");
                data.write(&path)?;
                written = io::open(&path, &OpenOptions::default(), self.control)?;
                &*written
            }
        };
        let read = limits::cpu::file_read(scan, self.effort, self.control)?;
        (self.progress)(Event::Limit(&read, self.control.threads));
        let frames = scan.info().frames();
        let frame_bytes = scan.info().frame.bytes() as f64 * frames as f64;
        for case in cases {
            for backend in [&Backend::Cpu, self.backend] {
                if matches!(backend, Backend::Cpu) && case.pass(scan, backend, self.control)?.is_none() {
                    continue;
                }
                let on_gpu = matches!(backend, Backend::Gpu(_));
                if !on_gpu && std::ptr::eq(backend, self.backend) {
                    continue;
                }
                let mut missing = false;
                let spread = self.effort.measure(self.control, || {
                    let seconds = case.pass(scan, backend, self.control)?;
                    missing = seconds.is_none();
                    Ok(seconds.unwrap_or(f64::INFINITY))
                })?;
                if missing {
                    continue;
                }
                let mut bounds = vec![Bound {
                    name: "file read",
                    seconds: frame_bytes / read.per_second(),
                }];
                match (&self.report.limits.gpu, self.report.limits.cpu.last(), on_gpu) {
                    (Some(limits), _, true) => {
                        bounds.extend(device_bounds(&case.work(), frames as f64, limits));
                        bounds.push(Bound {
                            name: "upload",
                            seconds: frame_bytes / limits.upload.per_second(),
                        });
                    }
                    (_, Some(limits), false) => bounds.extend(of_work(
                        &case.work(),
                        frames as f64,
                        limits.read_sweep.per_second(),
                        limits.multiply_add.per_second(),
                    )),
                    _ => {}
                }
                let (name, threads) = if on_gpu {
                    ("gpu", None)
                } else {
                    ("cpu", Some(self.control.threads))
                };
                self.push(Measured::of(&**case, Group::Pass, name, threads, frames, spread), &bounds);
            }
        }
        self.report.limits.file_read.push(report::FileRead {
            frame: report::frame_name(scan.info().frame),
            limit: read,
        });
        Ok(())
    }

    fn workflows(&mut self) -> Result<()> {
        if !workflow::STEPS.iter().any(|step| self.options.wants(Group::Workflow, step)) {
            return Ok(());
        }
        let runs = self.options.repeat.unwrap_or(if self.options.quick { 1 } else { 3 });
        let scan = workflow::Simulation::new(self.options.quick, self.control)?;
        for backend in [&Backend::Cpu, self.backend] {
            let on_gpu = matches!(backend, Backend::Gpu(_));
            if !on_gpu && std::ptr::eq(backend, self.backend) {
                continue;
            }
            for step in scan.strain(runs, backend, self.control)? {
                if self.options.wants(Group::Workflow, &step.name) {
                    let row = step.row(if on_gpu { "gpu" } else { "cpu" }, self.control.threads);
                    (self.progress)(Event::Row(&row));
                    self.report.rows.push(row);
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, measured: Measured<'_>, bounds: &[Bound]) {
        let row = measured.row(binding(bounds.iter().copied()), &self.report.rows);
        (self.progress)(Event::Row(&row));
        self.report.rows.push(row);
    }
}

/// What a device needs at least for work on frames that it holds. A copied byte is read and written, so it counts twice.
fn device_bounds(work: &Work, items: f64, limits: &GpuLimits) -> Vec<Bound> {
    let mut bounds = of_work(work, items, 2.0 * limits.copy.per_second(), limits.multiply_add.per_second()).to_vec();
    bounds.push(Bound {
        name: "read-back",
        seconds: work.written as f64 * items / limits.read_back.per_second(),
    });
    bounds
}

/// A measurement before it is compared with anything.
struct Measured<'a> {
    case: &'a dyn Case,
    group: Group,
    backend: &'static str,
    threads: Option<usize>,
    items: u64,
    spread: Spread,
}

impl<'a> Measured<'a> {
    fn of(case: &'a dyn Case, group: Group, backend: &'static str, threads: Option<usize>, items: u64, spread: Spread) -> Self {
        Measured {
            case,
            group,
            backend,
            threads,
            items,
            spread,
        }
    }

    /// `before` holds the rows of the CPU to compare a GPU's with.
    fn row(self, bound: Option<Bound>, before: &[Row]) -> Row {
        let work = self.case.work();
        let rate = self.items as f64 / self.spread.median_s;
        let frame = self.case.frame().map(report::frame_name);
        let name = self.case.name().to_owned();
        let twin = before
            .iter()
            .rev()
            .find(|r| self.backend == "gpu" && r.backend == "cpu" && r.group == self.group && r.name == name && r.frame == frame);
        Row {
            group: self.group,
            ratio_to_cpu: twin.and_then(|t| t.items_per_s).map(|cpu| rate / cpu),
            name,
            backend: self.backend,
            threads: self.threads,
            unit: self.case.unit(),
            items: self.items,
            spread: self.spread,
            items_per_s: Some(rate),
            gb_per_s: Some(rate * self.case.frame().map_or(work.read, |f| f.bytes() as u64) as f64 / 1e9),
            gop_per_s: Some(rate * work.operations as f64 / 1e9),
            work: Some(work.into()),
            bound: bound.map(|b| b.name),
            share_of_limit: bound.map(|b| b.seconds / self.spread.median_s),
            note: self.case.note().to_owned(),
            frame,
        }
    }
}
