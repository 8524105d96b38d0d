//! Staging buffers for blocks of frames on their way to the device.

use super::Gpu;
use super::memory::{Buffer, words};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

const PENDING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A staging buffer, on its way to being mapped for the host.
struct Slot {
    buffer: Buffer,
    state: Arc<AtomicU8>,
    /// The submission that last read from it.
    after: Option<wgpu::SubmissionIndex>,
}

struct Inner {
    free: Mutex<VecDeque<Slot>>,
    returned: Condvar,
}

/// A fixed number of staging buffers, used in turn and mapped again while the device works.
///
/// Cheaper than `Queue::write_buffer` for blocks, which creates and destroys a staging buffer every time. Mapped memory may be
/// write-combining: it is only ever written, front to back, and several threads may each write a part of it.
pub struct UploadRing {
    inner: Arc<Inner>,
    bytes: u64,
}

impl UploadRing {
    /// `slots` staging buffers of `bytes` each (host memory: `slots * bytes`).
    ///
    /// # Errors
    /// [`Error::DeviceMemory`], [`Error::Device`] above the device's buffer size.
    pub fn new(gpu: &Gpu, slots: usize, bytes: u64) -> Result<UploadRing> {
        let inner = Arc::new(Inner {
            free: Mutex::default(),
            returned: Condvar::new(),
        });
        for _ in 0..slots.max(1) {
            let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
            inner.give(gpu.staging_buffer("upload", bytes, usage)?, None);
        }
        Ok(UploadRing { inner, bytes })
    }

    /// Size of each staging buffer.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies `data` (a multiple of 4 bytes) into the next staging buffer. Waits until one is free, that is until the submission
    /// that used it last is done: whoever stages more blocks than there are slots must submit meanwhile. Any thread may call it.
    ///
    /// # Errors
    /// [`Error::Internal`] for data larger than a slot, [`Error::DeviceLost`], [`Error::Device`].
    pub fn stage(&self, gpu: &Gpu, data: &[u8]) -> Result<Staged> {
        let slot = self.slot(gpu)?;
        let bytes = data.len() as u64;
        slot.fill(gpu, bytes, |staging| match bytes {
            0 => Ok(()),
            _ => {
                staging.part(0, bytes)?.copy_from_slice(data);
                Ok(())
            }
        })
    }

    /// Waits until a staging buffer is free and can be written.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`].
    pub fn slot(&self, gpu: &Gpu) -> Result<FreeSlot<'_>> {
        gpu.check()?;
        let slot = self.inner.take(gpu)?;
        // A slot that fails here is not given back: its buffer is in a state that nobody knows.
        while slot.state.load(Ordering::Acquire) == PENDING {
            gpu.poll(slot.after.as_ref())?;
        }
        if slot.state.load(Ordering::Acquire) == FAILED {
            gpu.check()?;
            return Err(Error::Device("a staging buffer cannot be mapped".into()));
        }
        Ok(FreeSlot { slot, ring: self })
    }
}

/// A staging buffer that waits for bytes.
pub struct FreeSlot<'r> {
    slot: Slot,
    ring: &'r UploadRing,
}

impl FreeSlot<'_> {
    /// Lets `write` fill the first `bytes` (a multiple of 4) of the buffer.
    ///
    /// # Errors
    /// [`Error::Internal`] for more bytes than a slot has, [`Error::DeviceLost`], [`Error::Device`], what `write` says.
    pub fn fill(self, gpu: &Gpu, bytes: u64, write: impl FnOnce(&Staging<'_>) -> Result<()>) -> Result<Staged> {
        let slot = self.slot;
        let bytes = words("upload", bytes)?;
        let written = if bytes > self.ring.bytes {
            Err(Error::Internal(format!(
                "{bytes} bytes for a staging buffer of {}",
                self.ring.bytes
            )))
        } else {
            let buffer = &slot.buffer;
            write(&Staging { gpu, buffer })
        };
        slot.buffer.unmap();
        // From here on the slot returns to the ring whatever happens.
        let staged = Staged {
            buffer: Some(slot.buffer),
            bytes,
            after: slot.after,
            inner: Arc::clone(&self.ring.inner),
        };
        written.map(|()| staged)
    }
}

/// A staging buffer that several threads may write, each its own part.
pub struct Staging<'a> {
    gpu: &'a Gpu,
    buffer: &'a Buffer,
}

impl Staging<'_> {
    /// `bytes` bytes from `offset` (a multiple of 8) on, to be written front to back. Parts must not overlap.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Device`] for overlapping parts.
    pub fn part(&self, offset: u64, bytes: u64) -> Result<wgpu::BufferViewMut> {
        let view = self.buffer.get_mapped_range_mut(offset..offset + bytes);
        view.map_err(|e| self.gpu.complaint("a staging buffer cannot be written", &e))
    }
}

impl Inner {
    fn give(&self, buffer: Buffer, after: Option<wgpu::SubmissionIndex>) {
        let state = Arc::new(AtomicU8::new(PENDING));
        let to = Arc::clone(&state);
        buffer.map_async(wgpu::MapMode::Write, .., move |outcome| {
            to.store(if outcome.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
        });
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(Slot { buffer, state, after });
        self.returned.notify_one();
    }

    fn take(&self, gpu: &Gpu) -> Result<Slot> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(slot) = free.pop_front() {
                return Ok(slot);
            }
            // Wakes up now and then to notice a lost device, after which nobody submits.
            let waited = self.returned.wait_timeout(free, Duration::from_millis(200));
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
            gpu.check()?;
        }
    }
}

/// Bytes in a staging buffer, ready for [`super::Recorder::upload`].
pub struct Staged {
    buffer: Option<Buffer>,
    bytes: u64,
    after: Option<wgpu::SubmissionIndex>,
    inner: Arc<Inner>,
}

impl Staged {
    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        match &self.buffer {
            Some(b) => b,
            None => unreachable!("the buffer leaves only when this is dropped"),
        }
    }
    /// Bytes staged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
    /// The copy was submitted: the staging buffer is free after `index`.
    pub(super) fn submitted(mut self, index: wgpu::SubmissionIndex) {
        self.after = Some(index);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.inner.give(buffer, self.after.take());
        }
    }
}
