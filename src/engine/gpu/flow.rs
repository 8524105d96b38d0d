//! Submissions under way: one for each block, results taken in order.

use super::{BLOCK_SECONDS, IN_FLIGHT, whole};
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

/// Where the frames of a block come from.
pub(super) enum Origin<'a> {
    /// They are in its buffer.
    There,
    Staged(Staged),
    /// Another buffer on the device, from this byte on.
    Resident(&'a wgpu::Buffer, u64),
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

    /// Submits all operators' work on `frames` in `buffer`, which come from `origin`, and takes results that are here.
    pub fn block(
        &mut self,
        work: &Work<'_>,
        workers: &mut [Box<dyn DeviceWorker + '_>],
        frames: (u64, usize),
        buffer: &wgpu::Buffer,
        origin: Origin<'_>,
        pace: &Pace,
    ) -> Result<()> {
        match &origin {
            Origin::Staged(staged) => self.times.uploaded += staged.bytes(),
            Origin::There | Origin::Resident(..) => self.times.resident += frames.1 as u64,
        }
        self.submit(work, workers, frames, buffer, origin)?;
        self.make_room(workers, pace)
    }

    fn submit(
        &mut self,
        work: &Work<'_>,
        workers: &mut [Box<dyn DeviceWorker + '_>],
        (first, count): (u64, usize),
        buffer: &wgpu::Buffer,
        from: Origin<'_>,
    ) -> Result<()> {
        self.control.check()?;
        let begun = Instant::now();
        let mut rec = Recorder::timed(self.gpu)?;
        match from {
            Origin::There => {}
            Origin::Staged(staged) => rec.upload(staged, buffer, 0)?,
            Origin::Resident(block, offset) => {
                let bytes = (count * work.job.frame.stride()) as u64;
                rec.copy(block, offset, buffer, 0, bytes)?;
            }
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
    fn make_room(&mut self, workers: &mut [Box<dyn DeviceWorker + '_>], pace: &Pace) -> Result<()> {
        while let Some(oldest) = self.flying.front() {
            if self.flying.len() < IN_FLIGHT && !oldest.submission.ready()? {
                break;
            }
            self.land(workers, Some(pace))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_follows_the_device() {
        let pace = Pace::new(70, 4000);
        assert_eq!(pace.frames(), 64);
        for (count, seconds, next) in [
            (64, 0.1, 128),
            (128, 1e-9, 3968),
            (3968, 8.0, 64 + 35),
            (64, 2.0, 8),
            (8, 0.1, 16),
        ] {
            pace.learn(count, seconds);
            assert_eq!(pace.frames(), whole(next), "{count} frames in {seconds} s");
        }
    }
}
