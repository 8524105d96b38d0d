//! A pass: operators with different parts and outputs behind one face, and the choice of the runner.

use super::{Collector, Job, Needs, Operator, PassTimes, Resident, Selection};
use crate::backend::gpu::{Gpu, GpuBlock, Recorder};
use crate::backend::stage::{Cost, CpuStage, GpuStage};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::pixel::Frames;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where passes run.
pub enum Backend {
    Cpu,
    Gpu(super::gpu::Device),
}

impl Backend {
    /// A GPU that may be opened again when it is lost.
    pub fn gpu(gpu: Gpu) -> Self {
        Backend::Gpu(super::gpu::Device::new(gpu))
    }
    /// Name of the GPU, or the instruction set that CPU kernels use.
    pub fn adapter(&self) -> String {
        match self {
            Backend::Cpu => crate::backend::cpu::isa::Isa::active().to_string(),
            Backend::Gpu(device) => device.current().summary.name.clone(),
        }
    }
    /// `cpu` or `gpu`.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Gpu(_) => "gpu",
        }
    }
}

/// Redeems an operator's output from [`Done`].
pub struct Handle<T> {
    index: usize,
    output: PhantomData<fn() -> T>,
}

/// Outputs of a finished pass.
pub struct Done {
    outputs: Vec<Option<Box<dyn Any + Send>>>,
    times: PassTimes,
}

impl Done {
    /// What the pass took and moved.
    pub fn times(&self) -> &PassTimes {
        &self.times
    }

    /// The output that belongs to `handle`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the handle belongs to another pass.
    pub fn take<T: 'static>(&mut self, handle: Handle<T>) -> Result<T> {
        let slot = self.outputs.get_mut(handle.index).and_then(Option::take);
        let output = slot.and_then(|b| b.downcast::<T>().ok());
        output
            .map(|b| *b)
            .ok_or_else(|| Error::Internal("a handle of another pass".into()))
    }
}

/// Operators that share one reading of the selected frames.
pub struct Pass<'a> {
    scan: &'a dyn Scan,
    selection: &'a Selection,
    title: &'a str,
    slots: Vec<Box<dyn Slot + 'a>>,
}

impl<'a> Pass<'a> {
    /// `title` names the step to the user while it runs.
    pub fn new(title: &'a str, scan: &'a dyn Scan, selection: &'a Selection) -> Self {
        Pass {
            scan,
            selection,
            title,
            slots: Vec::new(),
        }
    }

    /// Adds an operator; its output is taken from [`Done`] with the handle.
    pub fn add<O: Operator + 'a>(&mut self, operator: O) -> Handle<O::Output> {
        self.slots.push(Box::new(Typed {
            operator,
            collector: Mutex::new(None),
        }));
        Handle {
            index: self.slots.len() - 1,
            output: PhantomData,
        }
    }

    /// Reads every selected frame once and shows it to all operators.
    ///
    /// # Errors
    /// Whatever reading, an operator or the device reports; [`Error::Memory`] if even one thread does not fit
    /// `control.memory`; [`Error::Cancelled`].
    pub fn run(self, backend: &Backend, resident: &Resident, control: &Control) -> Result<Done> {
        if self.selection.is_empty() {
            return Err(Error::parameter("--roi", "no frame is selected"));
        }
        resident.enter(self.scan, self.selection);
        let job = Job {
            frame: self.scan.info().frame,
            selection: self.selection,
        };
        let work = Work {
            scan: self.scan,
            job,
            slots: self.slots.iter().map(|s| &**s).collect(),
        };
        let frames = self.selection.len();
        control.progress.begin(self.title, frames, frames * job.frame.bytes() as u64);
        let begun = Instant::now();
        let result = match backend {
            Backend::Cpu => super::cpu::run(&work, resident, control).map(|()| PassTimes::default()),
            Backend::Gpu(device) => super::gpu::run(&work, device, resident, control),
        };
        control.progress.end();
        let mut times = result?;
        times.wall = begun.elapsed().as_secs_f64();
        log::info!("{}: {frames} frames in {times}", self.title);
        let outputs = self.slots.iter().map(|s| s.finish().map(Some)).collect::<Result<_>>()?;
        Ok(Done { outputs, times })
    }
}

/// What the runners get.
pub(super) struct Work<'a> {
    pub scan: &'a dyn Scan,
    pub job: Job<'a>,
    pub slots: Vec<&'a (dyn Slot + 'a)>,
}

impl Work<'_> {
    /// Needs of all operators together.
    pub fn needs(&self) -> Result<Needs> {
        self.slots.iter().try_fold(Needs::default(), |sum, s| {
            let n = s.needs(&self.job)?;
            Ok(Needs {
                worker: sum.worker + n.worker,
                output: sum.output + n.output,
                together: sum.together.max(n.together),
            })
        })
    }
    /// Fresh collectors: the pass begins, or begins again.
    pub fn start(&self) -> Result<()> {
        self.slots.iter().try_for_each(|s| s.start(&self.job))
    }
}

/// An operator with its types hidden.
pub(super) trait Slot: Send + Sync {
    fn name(&self) -> &'static str;
    fn needs(&self, job: &Job<'_>) -> Result<Needs>;
    fn start(&self, job: &Job<'_>) -> Result<()>;
    fn worker<'s>(&'s self, job: &Job<'_>) -> Result<Box<dyn Worker + 's>>;
    fn device_worker<'s>(&'s self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn DeviceWorker + 's>>;
    fn finish(&self) -> Result<Box<dyn Any + Send>>;
}

/// One operator's state in one thread.
pub(super) trait Worker {
    fn frames(&mut self, frames: Frames<'_>) -> Result<()>;
    fn end_leaf(&mut self, leaf: u64) -> Result<()>;
    fn finish(&mut self) -> Result<()>;
}

/// One operator's state on a device.
pub(super) trait DeviceWorker: Send {
    fn cost(&self) -> Cost;
    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()>;
    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<()>;
    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()>;
    fn finish(&mut self, last: u64, reads: &[&[u8]]) -> Result<()>;
}

type AnyCollector<O> = Box<dyn Collector<Part = <O as Operator>::Part, Output = <O as Operator>::Output>>;

struct Typed<O: Operator> {
    operator: O,
    collector: Mutex<Option<AnyCollector<O>>>,
}

impl<O: Operator> Typed<O> {
    fn with_collector<T>(&self, f: impl FnOnce(&mut AnyCollector<O>) -> Result<T>) -> Result<T> {
        let mut guard = self.collector.lock().unwrap_or_else(PoisonError::into_inner);
        f(guard
            .as_mut()
            .ok_or_else(|| Error::Internal("a pass that was not started".into()))?)
    }
}

impl<O: Operator> Slot for Typed<O> {
    fn name(&self) -> &'static str {
        self.operator.name()
    }
    fn needs(&self, job: &Job<'_>) -> Result<Needs> {
        self.operator.needs(job)
    }
    fn start(&self, job: &Job<'_>) -> Result<()> {
        let fresh = self.operator.collector(job)?;
        *self.collector.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(())
    }
    fn worker<'s>(&'s self, job: &Job<'_>) -> Result<Box<dyn Worker + 's>> {
        Ok(Box::new(HostWorker {
            stage: self.operator.cpu(job)?,
            slot: self,
        }))
    }
    fn device_worker<'s>(&'s self, job: &Job<'_>, gpu: &Gpu) -> Result<Box<dyn DeviceWorker + 's>> {
        Ok(Box::new(OnDevice {
            stage: self.operator.gpu(job, gpu)?,
            slot: self,
        }))
    }
    fn finish(&self) -> Result<Box<dyn Any + Send>> {
        let collector = self.collector.lock().unwrap_or_else(PoisonError::into_inner).take();
        let collector = collector.ok_or_else(|| Error::Internal("a pass that was not started".into()))?;
        Ok(Box::new(collector.finish()?))
    }
}

struct HostWorker<'s, O: Operator> {
    stage: Box<dyn CpuStage<Part = O::Part>>,
    slot: &'s Typed<O>,
}

impl<O: Operator> Worker for HostWorker<'_, O> {
    fn frames(&mut self, frames: Frames<'_>) -> Result<()> {
        self.stage.frames(frames)
    }
    fn end_leaf(&mut self, leaf: u64) -> Result<()> {
        match self.stage.end_leaf()? {
            Some(part) => self.slot.with_collector(|c| c.leaf(leaf, part)),
            None => Ok(()),
        }
    }
    fn finish(&mut self) -> Result<()> {
        match self.stage.finish()? {
            Some(part) => self.slot.with_collector(|c| c.rest(part)),
            None => Ok(()),
        }
    }
}

struct OnDevice<'s, O: Operator> {
    stage: Box<dyn GpuStage<Part = O::Part>>,
    slot: &'s Typed<O>,
}

impl<O: Operator> DeviceWorker for OnDevice<'_, O> {
    fn cost(&self) -> Cost {
        self.stage.cost()
    }
    fn encode(&mut self, rec: &mut Recorder<'_>, block: &GpuBlock<'_>) -> Result<()> {
        self.stage.encode(rec, block)
    }
    fn results(&mut self, first: u64, count: usize, reads: &[&[u8]]) -> Result<()> {
        for (leaf, part) in self.stage.results(first, count, reads)? {
            self.slot.with_collector(|c| c.leaf(leaf, part))?;
        }
        Ok(())
    }
    fn encode_finish(&mut self, rec: &mut Recorder<'_>) -> Result<()> {
        self.stage.encode_finish(rec)
    }
    fn finish(&mut self, last: u64, reads: &[&[u8]]) -> Result<()> {
        match self.stage.finish(reads)? {
            Some(part) => self.slot.with_collector(|c| c.leaf(last, part)),
            None => Ok(()),
        }
    }
}
