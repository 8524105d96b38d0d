//! Buffers that count what they take, and faults that tests can order.

use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A device buffer; its bytes count as allocated until it is dropped. Dereferences to [`wgpu::Buffer`].
#[derive(Debug)]
pub struct Buffer {
    raw: wgpu::Buffer,
    bytes: u64,
    counter: Arc<AtomicU64>,
}

impl Buffer {
    pub(super) fn new(raw: wgpu::Buffer, counter: &Arc<AtomicU64>) -> Self {
        let bytes = raw.size();
        counter.fetch_add(bytes, Ordering::Relaxed);
        Buffer {
            raw,
            bytes,
            counter: Arc::clone(counter),
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = wgpu::Buffer;
    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A failure that a test orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device says that it has no memory left.
    OutOfMemory,
    /// The device is destroyed: everything after it fails with [`Error::DeviceLost`].
    Lost,
    /// The driver refuses: [`Error::Kernel`] for a pipeline, [`Error::Device`] elsewhere.
    Refused,
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Creation of a buffer of any kind.
    Buffer,
    /// A kernel's pipeline is wanted, built already or not.
    Pipeline,
    /// Submission of a block.
    Submit,
}

/// Faults in waiting. Costs one lock per buffer and submission, so it stays in release builds, where the
/// same tests run.
#[derive(Debug, Default)]
pub struct Faults(Mutex<VecDeque<(FaultPoint, u32, Fault)>>);

impl Faults {
    /// Orders `fault` at the `skip`-th next passage of `point` (0: the next one).
    pub fn inject(&self, point: FaultPoint, skip: u32, fault: Fault) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((point, skip, fault));
    }

    /// Faults that have not struck yet.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Passes `point`: the fault that is due, if any.
    pub(super) fn pass(&self, point: FaultPoint) -> Option<Fault> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        waiting.retain_mut(|(p, skip, fault)| {
            if *p != point {
                return true;
            }
            if *skip == 0 && due.is_none() {
                due = Some(*fault);
                return false;
            }
            *skip = skip.saturating_sub(1);
            true
        });
        due
    }
}

/// Rounds up to whole words; never zero, since empty bindings are not allowed.
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.max(16).next_multiple_of(4)
}

/// Checks that an offset or length is a whole number of words, as copies need.
pub(super) fn words(what: &str, bytes: u64) -> Result<u64> {
    if bytes.is_multiple_of(4) {
        Ok(bytes)
    } else {
        Err(Error::Internal(format!("{what}: {bytes} bytes are not whole words")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_where_and_when_ordered() {
        let faults = Faults::default();
        faults.inject(FaultPoint::Buffer, 1, Fault::OutOfMemory);
        faults.inject(FaultPoint::Submit, 0, Fault::Lost);
        assert_eq!(faults.pass(FaultPoint::Buffer), None);
        assert_eq!(faults.pass(FaultPoint::Buffer), Some(Fault::OutOfMemory));
        assert_eq!(faults.pass(FaultPoint::Buffer), None);
        assert_eq!(faults.pass(FaultPoint::Submit), Some(Fault::Lost));
        assert_eq!(faults.pass(FaultPoint::Submit), None);
    }
}
