//! What can be timed: kernels on frames through their operators, and host steps.

use super::data::{Data, DeviceData};
use super::limits::cpu::elapsed;
use super::timing::time;
use crate::backend::gpu::{Gpu, Recorder, Submission};
use crate::backend::stage::{CpuStage, Work};
use crate::control::Control;
use crate::engine::{Backend, Job, Operator, Pass, Resident, Selection};
use crate::error::{Error, Result};
use crate::io::Scan;
use crate::pixel::{FrameShape, LEAF};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::Instant;

/// Submissions that a device works on at a time, as in a pass.
const IN_FLIGHT: usize = 2;

/// Something that can be timed on its own.
pub trait Case {
    fn name(&self) -> &str;
    /// One sentence: what limits it on one core.
    fn note(&self) -> &str;
    /// The frames it looks at; `None` for steps on other things.
    fn frame(&self) -> Option<FrameShape>;
    /// What is counted: `frames`, `positions`.
    fn unit(&self) -> &'static str;
    /// Work on one of these.
    fn work(&self) -> Work;
    /// Fewest and most items of one run on the CPU. A run takes a multiple of the fewest.
    fn items(&self, threads: usize) -> (u64, u64);
    /// Uses more than one thread.
    fn is_parallel(&self) -> bool {
        true
    }
    /// Works on `items` items in `threads` threads, data in memory: seconds.
    ///
    /// # Errors
    /// What the kernel reports.
    fn cpu(&self, threads: usize, items: u64) -> Result<f64>;
    /// The same for at most `items` frames that lie on the device: items and seconds. `None` if there is no code for GPUs.
    ///
    /// # Errors
    /// What the device reports.
    fn gpu(&self, gpu: &Arc<Gpu>, data: &DeviceData, items: u64) -> Result<Option<(u64, f64)>>;
    /// A pass over all frames of `scan`, reading included: seconds. `None` if it is no pass.
    ///
    /// # Errors
    /// What the pass reports.
    fn pass(&self, scan: &dyn Scan, backend: &Backend, control: &Control) -> Result<Option<f64>>;
}

/// Makes an operator for frames of a shape and so many of them.
type Make<O> = Box<dyn Fn(FrameShape, u64) -> Result<O>>;

/// A kernel behind an operator.
pub struct OnFrames<O> {
    name: String,
    note: &'static str,
    work: Work,
    data: Arc<Data>,
    make: Make<O>,
    /// The operator of the last run.
    made: Mutex<Option<(u64, Arc<O>)>>,
    passes: bool,
}

impl<O: Operator + 'static> OnFrames<O> {
    /// `work` is that of one frame.
    pub fn new(
        name: impl Into<String>,
        note: &'static str,
        work: Work,
        data: &Arc<Data>,
        make: impl Fn(FrameShape, u64) -> Result<O> + 'static,
    ) -> Self {
        OnFrames {
            name: name.into(),
            note,
            work,
            data: data.clone(),
            make: Box::new(make),
            made: Mutex::new(None),
            passes: true,
        }
    }
    /// It is not timed as a pass over a file: its parameters belong to the frames in memory.
    pub fn in_memory_only(mut self) -> Self {
        self.passes = false;
        self
    }
    /// For a list of cases.
    pub fn boxed(self) -> Box<dyn Case> {
        Box::new(self)
    }

    fn operator(&self, frames: u64) -> Result<Arc<O>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((n, operator)) if *n == frames => Ok(operator.clone()),
            _ => {
                let operator = Arc::new((self.make)(self.data.shape, frames)?);
                *made = Some((frames, operator.clone()));
                Ok(operator)
            }
        }
    }
}

impl<O: Operator + 'static> Case for OnFrames<O> {
    fn name(&self) -> &str {
        &self.name
    }
    fn note(&self) -> &str {
        self.note
    }
    fn frame(&self) -> Option<FrameShape> {
        Some(self.data.shape)
    }
    fn unit(&self) -> &'static str {
        "frames"
    }
    fn work(&self) -> Work {
        self.work
    }
    fn items(&self, threads: usize) -> (u64, u64) {
        let least = LEAF * threads as u64;
        (least, self.data.count().max(least))
    }

    fn cpu(&self, threads: usize, items: u64) -> Result<f64> {
        let operator = self.operator(items)?;
        let selection = Selection::all([1, items as usize]);
        let job = Job {
            frame: self.data.shape,
            selection: &selection,
        };
        let piece = crate::engine::piece(job.frame.stride(), operator.needs(&job)?.together);
        let mut stages = (0..threads).map(|_| operator.cpu(&job)).collect::<Result<Vec<_>>>()?;
        let (next, barrier) = (AtomicU64::new(0), Barrier::new(threads));
        let (next, barrier, data) = (&next, &barrier, &*self.data);
        let spans: Vec<Result<(Instant, Instant)>> = std::thread::scope(|s| {
            let run = |stage| {
                s.spawn(move || {
                    barrier.wait();
                    let begun = Instant::now();
                    leaves(stage, data, items / LEAF, next, piece)?;
                    Ok((begun, Instant::now()))
                })
            };
            let workers: Vec<_> = stages.iter_mut().map(|s| run(&mut **s)).collect();
            let failed = |_| Err(Error::Internal("a worker failed".into()));
            workers.into_iter().map(|t| t.join().unwrap_or_else(failed)).collect()
        });
        Ok(elapsed(&spans.into_iter().collect::<Result<Vec<_>>>()?))
    }

    fn gpu(&self, gpu: &Arc<Gpu>, data: &DeviceData, items: u64) -> Result<Option<(u64, f64)>> {
        let items = items.min(data.count());
        let operator = self.operator(items)?;
        let selection = Selection::all([1, items as usize]);
        let job = Job {
            frame: data.shape,
            selection: &selection,
        };
        let mut stage = operator.gpu(&job, gpu)?;
        let seconds = time(|| {
            let mut flying: VecDeque<(u64, usize, Submission<'_>)> = VecDeque::new();
            for block in data.blocks(items) {
                let block = block?;
                let mut rec = Recorder::new(gpu)?;
                stage.encode(&mut rec, &block)?;
                flying.push_back((block.first, block.count, rec.finish()?));
                if flying.len() >= IN_FLIGHT
                    && let Some((first, count, submission)) = flying.pop_front()
                {
                    submission.wait_with(|reads| stage.results(first, count, reads))??;
                }
            }
            for (first, count, submission) in flying {
                submission.wait_with(|reads| stage.results(first, count, reads))??;
            }
            let mut rec = Recorder::new(gpu)?;
            stage.encode_finish(&mut rec)?;
            rec.finish()?.wait_with(|reads| stage.finish(reads))?
        })?;
        Ok(Some((items, seconds)))
    }

    fn pass(&self, scan: &dyn Scan, backend: &Backend, control: &Control) -> Result<Option<f64>> {
        if !self.passes {
            return Ok(None);
        }
        let all = Selection::all(scan.info().nav);
        let operator = (self.make)(scan.info().frame, all.len())?;
        let seconds = time(|| {
            let mut pass = Pass::new(&self.name, scan, &all);
            let output = pass.add(operator);
            pass.run(backend, &Resident::none(), control)?.take(output)
        })?;
        Ok(Some(seconds))
    }
}

/// One worker's share of the leaves, as a pass does them.
fn leaves<P>(stage: &mut dyn CpuStage<Part = P>, data: &Data, leaves: u64, next: &AtomicU64, piece: usize) -> Result<()> {
    loop {
        let leaf = next.fetch_add(1, Ordering::Relaxed);
        if leaf >= leaves {
            return stage.finish().map(|_| ());
        }
        let frames = data.leaf(leaf)?;
        for from in (0..frames.count()).step_by(piece) {
            stage.frames(frames.slice(from, frames.count().min(from + piece)))?;
            stage.take();
        }
        stage.end_leaf()?;
    }
}

/// A step on the host that is not asked of frames: one run does all its items.
pub struct OnHost {
    pub name: &'static str,
    pub note: &'static str,
    pub unit: &'static str,
    pub work: Work,
    pub items: u64,
    /// Uses rayon's threads.
    pub parallel: bool,
    /// Tells its own time in seconds, so that it can prepare.
    pub run: Box<dyn Fn() -> Result<f64>>,
}

impl Case for OnHost {
    fn name(&self) -> &str {
        self.name
    }
    fn note(&self) -> &str {
        self.note
    }
    fn frame(&self) -> Option<FrameShape> {
        None
    }
    fn unit(&self) -> &'static str {
        self.unit
    }
    fn work(&self) -> Work {
        self.work
    }
    fn items(&self, _: usize) -> (u64, u64) {
        (self.items, self.items)
    }
    fn is_parallel(&self) -> bool {
        self.parallel
    }
    fn cpu(&self, _: usize, _: u64) -> Result<f64> {
        (self.run)()
    }
    fn gpu(&self, _: &Arc<Gpu>, _: &DeviceData, _: u64) -> Result<Option<(u64, f64)>> {
        Ok(None)
    }
    fn pass(&self, _: &dyn Scan, _: &Backend, _: &Control) -> Result<Option<f64>> {
        Ok(None)
    }
}
