//! A pass on a GPU: a reader thread fills staging buffers ahead, blocks are uploaded in the native pixel type, all operators
//! record their work on a block into one submission, and small results come back while the next blocks run.
//!
//! **In flight.** Up to [`IN_FLIGHT`] blocks are on the device and [`READ_AHEAD`] more wait in staging buffers; the host waits
//! for the oldest only. The first blocks are small. How long they keep the device says how many frames the following ones
//! may have, so that none keeps it much longer than [`BLOCK_SECONDS`]; blocks that are on the device already are cut to that.
//!
//! **Residency.** The first frames of the selection, as many as `--gpu-memory` holds beside what the pass needs, stay on the device
//! for the next passes of the workflow; the rest is streamed in each. A pass that needs more memory itself drops blocks
//! from the end. Blocks of costly scans that do not stay on the device are kept decoded in host memory while there is room.
//!
//! **When things go wrong.** A kernel that the driver cannot build, or whose tables no binding holds, runs on the CPU in a
//! second sweep, with a warning; the others stay on the device. Out of memory: the pass starts over without resident
//! blocks and with blocks of half the size. A lost device is opened again, once in a pass.

mod flow;
mod kept;
mod stream;

use self::flow::{Flow, Pace};
pub(super) use self::kept::DeviceBlocks;
use super::PassTimes;
use super::pass::{DeviceWorker, Slot, Work};
use super::resident::Resident;
use crate::backend::gpu::{Gpu, GpuChoice};
use crate::backend::stage::Cost;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::LEAF;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks are no larger than this: enough to hide a submission's cost, small enough that a dispatch stays short.
const BLOCK: u64 = 64 << 20;
/// Size of the first blocks.
const FIRST_BLOCK: u64 = 4 << 20;
/// Blocks that pass through beside resident ones are at least half of this, or of what a block may be at most.
const PASSING: usize = 16 << 20;
/// Device time of a block at most, unless eight frames take longer.
const BLOCK_SECONDS: f64 = 0.2;
/// Blocks that the device works on at a time.
const IN_FLIGHT: usize = 3;
/// Blocks between the reader and the device.
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
    /// Opens the same adapter again, after its device was lost.
    ///
    /// # Errors
    /// [`Error::Device`] if it is not there any more.
    pub fn reopen(&self) -> Result<()> {
        let old = self.current();
        let new = Gpu::open_with_limits(GpuChoice::Index(old.summary.index), Some(&old.limits))?;
        new.set_budget(old.budget());
        new.set_tuning(old.tuning());
        *self.gpu.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }
}

/// Runs the pass; see the module's documentation for what happens when that fails.
pub(super) fn run(work: &Work<'_>, device: &Device, resident: &Resident, control: &Control) -> Result<PassTimes> {
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
            result => return result,
        }
    }
}

fn attempt(work: &Work<'_>, gpu: &Arc<Gpu>, largest: u64, resident: &Resident, control: &Control) -> Result<PassTimes> {
    work.start()?;
    let mut kept = resident.take_device().filter(|d| Arc::ptr_eq(&d.gpu, gpu));
    let (on_device, on_cpu) = loop {
        match split(work, gpu) {
            // Blocks are kept only while there is room for what a pass needs itself.
            Err(Error::DeviceMemory(_)) if kept.as_mut().is_some_and(|k| k.blocks.pop().is_some()) => {}
            result => break result?,
        }
    };
    let mut times = PassTimes::default();
    if !on_device.is_empty() {
        let kept = kept.unwrap_or_else(|| DeviceBlocks {
            gpu: gpu.clone(),
            blocks: Vec::new(),
        });
        let sweep = Sweep {
            work,
            gpu,
            cost: on_device.iter().map(|w| w.cost()).fold(Cost::default(), |a, b| a + b),
            largest,
            control,
        };
        times = sweep.run(on_device, kept, resident)?;
    }
    if !on_cpu.is_empty() {
        times.on_cpu = on_cpu.iter().map(|s| s.name()).collect();
        let rest = Work { slots: on_cpu, ..*work };
        let frames = work.job.selection.len();
        let bytes = frames * work.job.frame.bytes() as u64;
        control.progress.end();
        control.progress.begin(&times.on_cpu.join(", "), frames, bytes);
        super::cpu::run(&rest, resident, control)?;
    }
    Ok(times)
}

type OnDevice<'a> = Vec<Box<dyn DeviceWorker + 'a>>;

/// Operators that the device can run, and those that it cannot.
fn split<'a>(work: &Work<'a>, gpu: &Gpu) -> Result<(OnDevice<'a>, Vec<&'a dyn Slot>)> {
    let mut on_device = Vec::with_capacity(work.slots.len());
    let mut on_cpu = Vec::new();
    let stride = work.job.frame.stride() as u64;
    for &slot in &work.slots {
        let worker = if gpu.max_binding() / stride.max(1) < 8 {
            let what = format!("frames of {} MiB do not fit this device's bindings", stride >> 20);
            Err(Error::TooLargeForDevice(what))
        } else {
            slot.device_worker(&work.job, gpu)
        };
        match worker {
            Ok(worker) => on_device.push(worker),
            Err(Error::TooLargeForDevice(what) | Error::Kernel(what)) => {
                log::warn!("{}: {what}: this step runs on the CPU", slot.name());
                on_cpu.push(slot);
            }
            Err(e) => return Err(e),
        }
    }
    Ok((on_device, on_cpu))
}

/// One sweep over the frames on a device.
struct Sweep<'a> {
    work: &'a Work<'a>,
    gpu: &'a Arc<Gpu>,
    /// Of all operators on the device.
    cost: Cost,
    /// Bytes of a block at most.
    largest: u64,
    control: &'a Control,
}

impl Sweep<'_> {
    fn run(&self, mut workers: OnDevice<'_>, mut kept: DeviceBlocks, resident: &Resident) -> Result<PassTimes> {
        let total = self.work.job.selection.len();
        while !kept.blocks.is_empty() && !self.leaves_room(&kept, total) {
            kept.blocks.pop();
        }
        let mut flow = Flow::new(self.gpu, self.control);
        let pace = self.pace();
        if kept.end() < total {
            let block = self.frames_per_block()?;
            self.stream(&mut flow, &mut workers, &mut kept, block, &pace, resident)?;
        } else {
            self.revisit(&mut flow, &mut workers, &kept, &pace)?;
        }
        self.control.check()?;
        let times = flow.end(&mut workers, (total - 1) / LEAF)?;
        resident.keep_device(kept);
        Ok(times)
    }

    /// How many frames to begin with.
    fn pace(&self) -> Pace {
        let stride = self.work.job.frame.stride().max(1);
        let most = whole(self.largest as usize / stride);
        match self.control.block {
            Some(_) => Pace::new(most, most),
            None => Pace::new((FIRST_BLOCK as usize / stride).max(LEAF as usize), most),
        }
    }

    /// Bytes that operators need for the frames of kept blocks, since one may be done at once.
    fn needs(&self, kept: &DeviceBlocks) -> u64 {
        (IN_FLIGHT * kept.largest()) as u64 * self.cost.per_frame
    }

    /// True if this sweep can work beside blocks that are kept: there must be memory for what operators need, and blocks that
    /// pass through must not be too small.
    fn leaves_room(&self, kept: &DeviceBlocks, total: u64) -> bool {
        let stride = self.work.job.frame.stride();
        self.gpu.allocated() + self.needs(kept) <= self.gpu.budget()
            && (kept.end() == total
                || self
                    .frames_per_block()
                    .is_ok_and(|n| n * stride >= PASSING.min(self.largest as usize) / 2))
    }

    /// Frames of a block at most, given what is free on the device and the host.
    fn frames_per_block(&self) -> Result<usize> {
        let stride = self.work.job.frame.stride() as u64;
        let on_device = self.gpu.budget().saturating_sub(self.gpu.allocated());
        let by_device = on_device / (IN_FLIGHT as u64 * (stride + self.cost.per_frame)).max(1);
        // On the host: a staging buffer for each block being filled, waiting, or in flight.
        let left = self.control.memory.saturating_sub(self.work.needs()?.output);
        let by_host = left / (stream::SLOTS as u64 * stride).max(1);
        let by_binding = self.gpu.max_binding().min(self.largest) / stride.max(1);
        let most = by_device.min(by_host).min(by_binding.max(8));
        if most < 8 {
            let what = format!(
                "blocks of 8 frames of {stride} bytes do not fit: room for {by_device} on the device, {by_host} on the host"
            );
            return Err(if by_host < 8 {
                Error::Memory { what }
            } else {
                Error::DeviceMemory(what)
            });
        }
        // Several blocks even for small scans, so that reading and computing overlap.
        let wanted = most.min(self.work.job.selection.len().div_ceil(4).next_multiple_of(LEAF));
        Ok(whole(wanted as usize))
    }
}

/// Whole leaves where possible, else groups of 8 frames.
fn whole(frames: usize) -> usize {
    let leaf = LEAF as usize;
    if frames >= leaf {
        frames / leaf * leaf
    } else {
        (frames / 8 * 8).max(8)
    }
}
