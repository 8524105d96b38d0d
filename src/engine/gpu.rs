//! A pass on a GPU: a reader thread fills blocks ahead, blocks are uploaded in the native pixel type, all operators record their
//! work on a block into one submission, and small results come back while the next blocks run.

use super::pass::{DeviceWorker, Work};
use super::resident::{Bytes, Resident};
use crate::backend::gpu::{Buffer, Gpu, GpuBlock, GpuChoice, Recorder, Submission, UploadRing};
use crate::backend::stage::Cost;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::LEAF;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks are no larger than this: enough to hide a submission's cost, small enough that a dispatch stays short.
const BLOCK: u64 = 64 << 20;
/// Blocks that the device works on at a time.
const IN_FLIGHT: usize = 2;
/// Host buffers between the reader and the device.
const READ_AHEAD: usize = 2;

/// An open GPU that is opened again, once per pass, when it is lost.
pub struct Device {
    gpu: Mutex<Arc<Gpu>>,
}

impl Device {
    pub fn new(gpu: Gpu) -> Self {
        Device {
            gpu: Mutex::new(Arc::new(gpu)),
        }
    }
    /// The device as it is now.
    pub fn current(&self) -> Arc<Gpu> {
        self.gpu.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn reopen(&self) -> Result<()> {
        let old = self.current();
        let new = Gpu::open_with_limits(GpuChoice::Index(old.summary.index), Some(&old.limits))?;
        new.set_budget(old.budget());
        *self.gpu.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

/// Blocks of one scan and selection that stayed on the device after a pass.
pub(super) struct DeviceBlocks {
    gpu: Arc<Gpu>,
    blocks: Vec<(u64, usize, Buffer)>,
}

/// Runs the pass; halves the blocks when the device is out of memory, opens a lost device once more.
pub(super) fn run(work: &Work<'_>, device: &Device, resident: &Resident, control: &Control) -> Result<()> {
    let mut largest = control.block.unwrap_or(BLOCK);
    let mut lost = false;
    loop {
        let gpu = device.current();
        match attempt(work, &gpu, largest, resident, control) {
            Err(Error::DeviceMemory(what)) if largest / 2 >= 8 * work.job.frame.stride() as u64 => {
                largest /= 2;
                log::warn!("GPU out of memory ({what}): again with blocks of {} MiB", largest >> 20);
            }
            Err(Error::DeviceLost(what)) if !lost => {
                lost = true;
                log::warn!("GPU lost ({what}): opening it again and starting this pass over");
                drop(gpu);
                device.reopen()?;
            }
            Err(Error::TooLargeForDevice(what)) => {
                log::warn!("{what}: this pass runs on the CPU");
                return super::cpu::run(work, resident, control);
            }
            result => return result,
        }
    }
}

/// Frames in each block, given what stages take on the device.
fn frames_per_block(work: &Work<'_>, gpu: &Gpu, cost: Cost, largest: u64, control: &Control, output: u64) -> Result<usize> {
    let stride = work.job.frame.stride() as u64;
    let on_device = gpu.budget().saturating_sub(gpu.allocated());
    let by_device = on_device / (IN_FLIGHT as u64 * stride + cost.per_frame).max(1);
    // On the host: blocks being read and read ahead, and a staging buffer for each block in flight.
    let copies = (READ_AHEAD + 1 + IN_FLIGHT) as u64;
    let by_host = control.memory.saturating_sub(output) / (copies * stride).max(1);
    let by_binding = gpu.max_binding().min(largest) / stride.max(1);
    if gpu.max_binding() / stride.max(1) < 8 {
        let what = format!("frames of {} MiB do not fit this device's bindings", stride >> 20);
        return Err(Error::TooLargeForDevice(what));
    }
    let most = by_device.min(by_host).min(by_binding.max(8));
    if most < 8 {
        let what =
            format!("blocks of 8 frames of {stride} bytes do not fit: room for {by_device} on the device, {by_host} on the host");
        return Err(if by_host < 8 {
            Error::Memory { what }
        } else {
            Error::DeviceMemory(what)
        });
    }
    // Several blocks even for small scans, so that reading and computing overlap; whole leaves where possible.
    let wanted = most.min(work.job.selection.len().div_ceil(4).next_multiple_of(LEAF));
    Ok(if wanted >= LEAF {
        wanted / LEAF * LEAF
    } else {
        wanted / 8 * 8
    } as usize)
}

fn attempt(work: &Work<'_>, gpu: &Arc<Gpu>, largest: u64, resident: &Resident, control: &Control) -> Result<()> {
    work.start()?;
    let needs = work.needs()?;
    let mut kept = resident.take_device().filter(|d| Arc::ptr_eq(&d.gpu, gpu));
    let mut workers = work
        .slots
        .iter()
        .map(|s| s.device_worker(&work.job, gpu))
        .collect::<Result<Vec<_>>>();
    if kept.is_some() && matches!(workers, Err(Error::DeviceMemory(_))) {
        kept = None;
        workers = work.slots.iter().map(|s| s.device_worker(&work.job, gpu)).collect();
    }
    let mut workers = workers?;
    let cost = workers.iter().map(|w| w.cost()).fold(Cost::default(), |a, b| a + b);
    // Kept blocks are worth it only while this pass's own per-frame memory still fits beside them.
    let fits = |d: &DeviceBlocks| {
        let most = d.blocks.iter().map(|b| b.1 as u64).max().unwrap_or(0);
        gpu.allocated() + most * cost.per_frame <= gpu.budget()
    };
    let flow = match kept.filter(fits) {
        Some(kept) => {
            let mut flow = Flow::new(gpu, control);
            for (first, count, buffer) in &kept.blocks {
                flow.encode(work, &mut workers, *first, *count, buffer, None)?;
            }
            resident.keep_device(kept);
            flow
        }
        None => {
            let block = frames_per_block(work, gpu, cost, largest, control, needs.output)?;
            stream(work, gpu, &mut workers, block, cost, resident, control)?
        }
    };
    flow.end(&mut workers)
}

/// Reads, uploads and encodes block after block.
fn stream<'g>(
    work: &Work<'_>,
    gpu: &'g Arc<Gpu>,
    workers: &mut [Box<dyn DeviceWorker + '_>],
    block: usize,
    cost: Cost,
    resident: &Resident,
    control: &'g Control,
) -> Result<Flow<'g>> {
    let stride = work.job.frame.stride();
    let bytes = (block * stride) as u64;
    let blocks = work.job.selection.len().div_ceil(block as u64);
    let ring = UploadRing::new(gpu, IN_FLIGHT, bytes)?;
    let keep_all = gpu.allocated() + blocks * bytes + block as u64 * cost.per_frame <= gpu.budget();
    let mut buffers = Vec::new();
    let mut flow = Flow::new(gpu, control);
    let (full, filled) = sync_channel::<Result<(u64, usize, Bytes)>>(READ_AHEAD);
    let (empty, emptied) = sync_channel::<Bytes>(READ_AHEAD + 1);
    std::thread::scope(|scope| {
        // Both ends live in this closure, so that leaving it early ends the reader.
        let (filled, empty) = (filled, empty);
        scope.spawn(move || read_ahead(work, block, &full, &emptied, control));
        for (n, item) in filled.iter().enumerate() {
            let (first, count, host) = item?;
            if keep_all || n < IN_FLIGHT {
                buffers.push((first, count, gpu.buffer("block", bytes)?));
            }
            let slot = if keep_all { n } else { n % IN_FLIGHT };
            let staged = ring.stage(gpu, &host.as_slice()[..count * stride])?;
            // The reader may be gone already when this was the last block.
            let _ = empty.try_send(host);
            flow.encode(work, workers, first, count, &buffers[slot].2, Some(staged))?;
        }
        Ok::<(), Error>(())
    })?;
    control.check()?;
    if keep_all {
        resident.keep_device(DeviceBlocks {
            gpu: gpu.clone(),
            blocks: buffers,
        });
    }
    Ok(flow)
}

/// Fills blocks in order until all are read or nobody wants them.
fn read_ahead(
    work: &Work<'_>,
    block: usize,
    full: &SyncSender<Result<(u64, usize, Bytes)>>,
    emptied: &Receiver<Bytes>,
    control: &Control,
) {
    let total = work.job.selection.len();
    let mut made = 0;
    for first in (0..total).step_by(block) {
        let count = (block as u64).min(total - first) as usize;
        let buffer = match emptied.try_recv() {
            Ok(b) => Some(b),
            Err(_) if made <= READ_AHEAD => None,
            Err(_) => match emptied.recv() {
                Ok(b) => Some(b),
                Err(_) => return,
            },
        };
        let mut buffer = buffer.unwrap_or_else(|| {
            made += 1;
            Bytes::new(block * work.job.frame.stride())
        });
        let result = read_block(work, first, count, &mut buffer, control).map(|()| (first, count, buffer));
        let failed = result.is_err();
        if full.send(result).is_err() || failed {
            return;
        }
    }
}

/// Reads one block, several threads each a run of its frames.
fn read_block(work: &Work<'_>, first: u64, count: usize, buffer: &mut Bytes, control: &Control) -> Result<()> {
    control.check()?;
    let stride = work.job.frame.stride();
    let mut numbers = Vec::with_capacity(count);
    work.job.selection.frames(first..first + count as u64, &mut numbers);
    let run = count
        .div_ceil(control.threads)
        .next_multiple_of(work.scan.info().together.clamp(1, count.max(1)));
    let bytes = &mut buffer.as_mut_slice()[..count * stride];
    numbers
        .par_chunks(run)
        .zip(bytes.par_chunks_mut(run * stride))
        .try_for_each(|(frames, out)| work.scan.read(frames, stride, out, control))
}

/// A submission and whose its reads are.
struct Flying<'g> {
    first: u64,
    count: usize,
    reads: Vec<usize>,
    submission: Submission<'g>,
}

/// Submissions under way; results are taken in order.
struct Flow<'g> {
    gpu: &'g Gpu,
    control: &'g Control,
    flying: VecDeque<Flying<'g>>,
}

impl<'g> Flow<'g> {
    fn new(gpu: &'g Gpu, control: &'g Control) -> Self {
        Flow {
            gpu,
            control,
            flying: VecDeque::new(),
        }
    }

    /// Submits all operators' work on one block; waits for the oldest block when enough are under way.
    fn encode(
        &mut self,
        work: &Work<'_>,
        workers: &mut [Box<dyn DeviceWorker + '_>],
        first: u64,
        count: usize,
        buffer: &Buffer,
        staged: Option<crate::backend::gpu::Staged>,
    ) -> Result<()> {
        self.control.check()?;
        let mut rec = Recorder::new(self.gpu)?;
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
        self.flying.push_back(Flying {
            first,
            count,
            reads,
            submission: rec.finish()?,
        });
        if self.flying.len() >= IN_FLIGHT {
            self.land(workers)
        } else {
            Ok(())
        }
    }

    /// Takes the results of the oldest block.
    fn land(&mut self, workers: &mut [Box<dyn DeviceWorker + '_>]) -> Result<()> {
        let Some(f) = self.flying.pop_front() else { return Ok(()) };
        f.submission.wait_with(|all| {
            let mut at = 0;
            workers.iter_mut().zip(&f.reads).try_for_each(|(w, &n)| {
                at += n;
                w.results(f.first, f.count, &all[at - n..at])
            })
        })??;
        self.control.progress.advance(f.count as u64);
        Ok(())
    }

    /// Lands what is under way and takes what stages still hold.
    fn end(mut self, workers: &mut [Box<dyn DeviceWorker + '_>]) -> Result<()> {
        while !self.flying.is_empty() {
            self.land(workers)?;
        }
        let mut rec = Recorder::new(self.gpu)?;
        let mut reads = Vec::with_capacity(workers.len());
        for w in workers.iter_mut() {
            let before = rec.reads();
            w.encode_finish(&mut rec)?;
            reads.push(rec.reads() - before);
        }
        rec.finish()?.wait_with(|all| {
            let mut at = 0;
            workers.iter_mut().zip(&reads).try_for_each(|(w, &n)| {
                at += n;
                w.finish(&all[at - n..at])
            })
        })?
    }
}
