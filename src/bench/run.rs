//! A run of the benchmark: what is measured, one group after the other.

use super::case::Case;
use super::cases::{HOST, KERNELS, Size};
use super::data::{Data, DeviceData};
use super::limits::{self, Bound, binding, of_work};
use super::measured::{Measured, device_bounds};
use super::report::{self, Group, Report};
use super::timing::Effort;
use super::{Event, Options, PASSES, workflow};
use crate::backend::gpu::Gpu;
use crate::control::Control;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::io::{self, OpenOptions, Scan};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A run under way.
pub(super) struct Run<'a> {
    pub options: &'a Options,
    pub backend: &'a Backend,
    pub control: &'a Control,
    pub gpu: Option<&'a Arc<Gpu>>,
    pub effort: Effort,
    pub report: Report,
    /// Everything that could be measured.
    pub names: BTreeSet<String>,
    pub progress: &'a mut dyn FnMut(Event<'_>),
}

impl Run<'_> {
    /// Memory for frames.
    fn memory(&self) -> u64 {
        self.control.memory / 4
    }

    /// What the machine can do at most.
    pub fn limits(&mut self) -> Result<()> {
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

    /// Kernels on frames in memory, and as passes for one shape of frame.
    pub fn kernels(&mut self) -> Result<()> {
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
            self.names.extend(cases.iter().map(|c| c.name().to_owned()));
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

    /// Work without frames: features and clustering.
    pub fn host(&mut self) -> Result<()> {
        let edge = if self.options.quick { 64 } else { 256 };
        let size = Size {
            nav: [edge, edge],
            features: if self.options.quick { 100 } else { 300 },
        };
        for make in HOST {
            for case in make(&size, self.control)? {
                self.names.insert(case.name().to_owned());
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
            let spread = self.effort.measure_warm(self.control, || case.cpu(*n, items))?;
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
            let spread = self.effort.measure_warm(self.control, || timed(items))?;
            if !missing {
                let bounds = device_bounds(&case.work(), items as f64, &limits);
                self.push(Measured::of(case, group, "gpu", None, items, spread), &bounds);
            }
        }
        Ok(())
    }

    /// As many items, a multiple of `least`, as take about the time of one run. The last trial is of as many, so what follows is warm.
    fn enough(&self, least: u64, most: u64, mut run: impl FnMut(u64) -> Result<f64>) -> Result<u64> {
        let least = least.min(most);
        let first = run(least)?;
        if least == most || first > 2.0 * self.effort.run() {
            return Ok(least);
        }
        let seconds = run(least)?.max(1e-7);
        let times = (self.effort.run() / seconds) as u64;
        let items = (least * times.max(1)).min(most / least * least);
        if items > least {
            run(items)?;
        }
        Ok(items)
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

    /// The steps of `strain`.
    pub fn workflows(&mut self) -> Result<()> {
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
