//! Work that the device was given, and its results on their way back.

use super::Gpu;
use super::memory::Buffer;
use super::recorder::give;
use super::timer::MARKS;
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for the word that results have arrived, after the device has said that it is done.
const LATE: Duration = Duration::from_secs(10);

/// Where the bytes of a read lie in the read-back buffers.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub chunk: usize,
    pub offset: u64,
    pub bytes: u64,
}

/// Read-back buffers that the device has handed over, or failed to.
#[derive(Default)]
pub(super) struct Mapped {
    pub done: AtomicU32,
    pub failed: AtomicU32,
}

/// Work that the device was given, and the reads that come back from it.
pub struct Submission<'g> {
    pub(super) gpu: &'g Gpu,
    pub(super) index: wgpu::SubmissionIndex,
    pub(super) chunks: Vec<(Buffer, u64)>,
    pub(super) reads: Vec<Place>,
    pub(super) stamps: Option<(Place, Vec<String>)>,
    pub(super) mapped: Arc<Mapped>,
    pub(super) dispatches: u64,
}

/// Where the device's time of one submission went, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spans {
    /// Copies from staging buffers.
    pub upload: f64,
    /// Everything after them: kernels, and copies of their results.
    pub work: f64,
}

impl Submission<'_> {
    fn mapping(&self) -> usize {
        self.chunks.iter().filter(|(_, used)| *used > 0).count()
    }
    fn arrived(&self) -> bool {
        self.mapped.done.load(Ordering::Acquire) as usize == self.mapping()
    }

    /// True when the results are here; never waits. (A submission without reads counts as here.)
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn ready(&self) -> Result<bool> {
        self.gpu.poll(None)?;
        self.fail()?;
        Ok(self.arrived())
    }

    fn fail(&self) -> Result<()> {
        self.gpu.check()?;
        match self.mapped.failed.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(Error::Device("results cannot be read back".into())),
        }
    }

    fn await_results(&self) -> Result<()> {
        if !self.arrived() || self.mapping() == 0 {
            self.gpu.poll(Some(&self.index))?;
        }
        // A thread that polls the same device takes what has arrived for all of them, and may not have told yet.
        let since = Instant::now();
        loop {
            self.fail()?;
            if self.arrived() {
                return Ok(());
            }
            if since.elapsed() > LATE {
                return Err(Error::Device("results did not come back".into()));
            }
            std::thread::yield_now();
        }
    }

    fn view(&self, place: Place) -> Result<Option<wgpu::BufferView>> {
        if place.bytes == 0 {
            return Ok(None);
        }
        let range = place.offset..place.offset + place.bytes;
        let view = self.chunks[place.chunk].0.get_mapped_range(range);
        view.map(Some)
            .map_err(|e| Error::Device(format!("results cannot be read back: {e}")))
    }

    /// Waits, then hands the bytes of each read, in the order they were asked for, to `f` without copying them.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn wait_with<R>(&self, f: impl FnOnce(&[&[u8]]) -> R) -> Result<R> {
        self.await_results()?;
        let views = self.reads.iter().map(|&p| self.view(p)).collect::<Result<Vec<_>>>()?;
        let slices: Vec<&[u8]> = views.iter().map(|v| v.as_ref().map_or(&[][..], |v| v)).collect();
        Ok(f(&slices))
    }

    /// Waits, then copies the bytes of each read, in the order they were asked for.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn wait(&self) -> Result<Vec<Vec<u8>>> {
        self.wait_with(|reads| reads.iter().map(|r| r.to_vec()).collect())
    }

    /// Dispatches of the submission.
    pub fn dispatches(&self) -> u64 {
        self.dispatches
    }
    /// Bytes of the results that come back.
    pub fn read_bytes(&self) -> u64 {
        self.reads.iter().map(|p| p.bytes).sum()
    }

    /// Waits, then tells how long the device worked; `None` unless recorded with [`super::Recorder::timed`], or on a device
    /// whose stamps make no sense.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn spans(&self) -> Result<Option<Spans>> {
        let stamps = self.stamps()?;
        let [begun, uploaded, ended] = match stamps.get(..MARKS as usize) {
            // Devices that skip empty passes leave zeros, those whose counters fail ones everywhere.
            Some(&[a, b, c]) if a <= b && b < c && c < u64::MAX => [a, b, c],
            _ => return Ok(None),
        };
        let seconds = |ticks: u64| ticks as f64 * f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9;
        Ok(Some(Spans {
            upload: seconds(uploaded - begun),
            work: seconds(ended - uploaded),
        }))
    }

    /// Waits, then tells for each of the first 64 dispatches its label and how long it ran on the device, in nanoseconds.
    /// Empty unless [`Gpu::set_timing`] was on when the recording began.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn times(&self) -> Result<Vec<(String, f64)>> {
        let stamps = self.stamps()?;
        let period = f64::from(self.gpu.queue.get_timestamp_period());
        let pairs = stamps.get(MARKS as usize..).unwrap_or_default().chunks_exact(2);
        let spans = pairs.map(|p| p[1].saturating_sub(p[0]) as f64 * period);
        let labels = self.stamps.iter().flat_map(|(_, labels)| labels);
        Ok(labels.cloned().zip(spans).collect())
    }

    /// Waits for all timestamps, marks first.
    fn stamps(&self) -> Result<Vec<u64>> {
        self.await_results()?;
        let Some((place, _)) = &self.stamps else {
            return Ok(Vec::new());
        };
        let Some(view) = self.view(*place)? else {
            return Ok(Vec::new());
        };
        let stamp = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap_or_default());
        Ok(view.chunks_exact(8).map(stamp).collect())
    }
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        // Buffers that are still to be mapped cannot be reused; they are freed when the device is done with them.
        if self.arrived() {
            for (buffer, used) in self.chunks.drain(..) {
                if used > 0 {
                    buffer.unmap();
                }
                give(&self.gpu.pools.reads, buffer);
            }
        }
    }
}
