//! Submissions under way: one for each block, results taken in order.

use super::{BLOCK_SECONDS, Block, IN_FLIGHT, whole};
use crate::backend::gpu::{Gpu, GpuBlock, Recorder, Staged, Submission};
use crate::control::Control;
use crate::engine::PassTimes;
use crate::engine::pass::{DeviceWorker, Work};
use crate::error::Result;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How many frames the next block may have: few until the device has shown how fast it is.
pub(super) struct Pace {
    next: AtomicUsize,
    most: usize,
}

impl Pace {
    /// `first` frames to begin with, never more than `most`.
    pub fn new(first: usize, most: usize) -> Self {
        Pace {
            next: AtomicUsize::new(whole(first).min(most)),
            most,
        }
    }
    pub fn frames(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }
    /// `count` frames took the device `seconds`.
    fn learn(&self, count: usize, seconds: f64) {
        let frames = BLOCK_SECONDS / seconds.max(1e-9) * count as f64;
        self.next
            .store(whole(frames.min(self.most as f64) as usize).min(self.most), Ordering::Relaxed);
    }
}

/// A submission and whose its reads are.
struct Flying<'g> {
    first: u64,
    count: usize,
    reads: Vec<usize>,
    submission: Submission<'g>,
    begun: Instant,
}

pub(super) struct Flow<'g> {
    gpu: &'g Gpu,
    control: &'g Control,
    flying: VecDeque<Flying<'g>>,
    pub times: PassTimes,
}

impl<'g> Flow<'g> {
    pub fn new(gpu: &'g Gpu, control: &'g Control) -> Self {
        Flow {
            gpu,
            control,
            flying: VecDeque::new(),
            times: PassTimes::default(),
        }
    }

    /// Submits all operators' work on a block that is on the device already.
    pub fn resident(&mut self, work: &Work<'_>, workers: &mut [Box<dyn DeviceWorker + '_>], block: &Block) -> Result<()> {
        self.times.resident += block.count as u64;
        self.submit(work, workers, (block.first, block.count), &block.buffer, None)?;
        self.make_room(workers, None)
    }

    /// Uploads a block to `buffer` and submits all operators' work on it.
    pub fn fresh(
        &mut self,
        work: &Work<'_>,
        workers: &mut [Box<dyn DeviceWorker + '_>],
        frames: (u64, usize),
        buffer: &wgpu::Buffer,
        staged: Staged,
        pace: &Pace,
    ) -> Result<()> {
        self.times.uploaded += staged.bytes();
        self.submit(work, workers, frames, buffer, Some(staged))?;
        self.make_room(workers, Some(pace))
    }

    fn submit(
        &mut self,
        work: &Work<'_>,
        workers: &mut [Box<dyn DeviceWorker + '_>],
        (first, count): (u64, usize),
        buffer: &wgpu::Buffer,
        staged: Option<Staged>,
    ) -> Result<()> {
        self.control.check()?;
        let begun = Instant::now();
        let mut rec = Recorder::timed(self.gpu)?;
        if let Some(staged) = staged {
            rec.upload(staged, buffer, 0)?;
        }
        let block = GpuBlock::new(work.job.frame, first, count, buffer)?;
        let mut reads = Vec::with_capacity(workers.len());
        for w in workers.iter_mut() {
            let before = rec.reads();
            w.encode(&mut rec, &block)?;
            reads.push(rec.reads() - before);
        }
        let submission = rec.finish()?;
        self.times.blocks += 1;
        self.times.dispatches += submission.dispatches();
        self.times.returned += submission.read_bytes();
        self.times.host += begun.elapsed().as_secs_f64();
        self.flying.push_back(Flying {
            first,
            count,
            reads,
            submission,
            begun: Instant::now(),
        });
        Ok(())
    }

    /// Takes results that are here, and waits for the oldest block's when enough are under way.
    fn make_room(&mut self, workers: &mut [Box<dyn DeviceWorker + '_>], pace: Option<&Pace>) -> Result<()> {
        while let Some(oldest) = self.flying.front() {
            if self.flying.len() < IN_FLIGHT && !oldest.submission.ready()? {
                break;
            }
            self.land(workers, pace)?;
        }
        Ok(())
    }

    /// Takes the results of the oldest block.
    fn land(&mut self, workers: &mut [Box<dyn DeviceWorker + '_>], pace: Option<&Pace>) -> Result<()> {
        let Some(f) = self.flying.pop_front() else { return Ok(()) };
        let waiting = Instant::now();
        let spans = f.submission.spans()?;
        self.times.read_back += waiting.elapsed().as_secs_f64();
        if let Some(spans) = spans {
            self.times.upload += spans.upload;
            self.times.device += spans.work;
        }
        if let Some(pace) = pace {
            pace.learn(f.count, spans.map_or_else(|| f.begun.elapsed().as_secs_f64(), |s| s.work));
        }
        f.submission.wait_with(|all| {
            let taking = Instant::now();
            let mut at = 0;
            let taken = workers.iter_mut().zip(&f.reads).try_for_each(|(w, &n)| {
                at += n;
                w.results(f.first, f.count, &all[at - n..at])
            });
            self.times.host += taking.elapsed().as_secs_f64();
            taken
        })??;
        self.control.progress.advance(f.count as u64);
        Ok(())
    }

    /// Lands what is under way and takes what stages still hold: exact state, or leaf number `last`, which was not full.
    pub fn end(mut self, workers: &mut [Box<dyn DeviceWorker + '_>], last: u64) -> Result<PassTimes> {
        while !self.flying.is_empty() {
            self.land(workers, None)?;
        }
        let mut rec = Recorder::new(self.gpu)?;
        let mut reads = Vec::with_capacity(workers.len());
        for w in workers.iter_mut() {
            let before = rec.reads();
            w.encode_finish(&mut rec)?;
            reads.push(rec.reads() - before);
        }
        let submission = rec.finish()?;
        self.times.returned += submission.read_bytes();
        submission.wait_with(|all| {
            let mut at = 0;
            workers.iter_mut().zip(&reads).try_for_each(|(w, &n)| {
                at += n;
                w.finish(last, &all[at - n..at])
            })
        })??;
        Ok(self.times)
    }
}
