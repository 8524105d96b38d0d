//! What a caller may say to long work: limits, cancellation, and where progress goes.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives the progress of a long step. Called from several threads.
pub trait Progress: Send + Sync {
    /// A step of `frames` frames with `bytes` bytes of pixels begins.
    fn begin(&self, step: &str, frames: u64, bytes: u64);
    /// `frames` more frames are done.
    fn advance(&self, frames: u64);
    /// The step ended.
    fn end(&self);
}

/// A [`Progress`] that says nothing.
pub struct Quiet;
impl Progress for Quiet {
    fn begin(&self, _: &str, _: u64, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// Bytes of decoded frames kept between passes unless told otherwise: decoding again on all cores takes about as long as reading a
/// fast disk, so more memory than this would be taken for little.
pub const KEPT: u64 = 512 << 20;

/// Limits, cancellation and progress of one run; cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Ceiling of host memory in bytes for everything that passes and analysis allocate.
    pub memory: u64,
    /// Ceiling of decoded frames that stay in host memory between the passes of a workflow; never more than a quarter of `memory`.
    pub kept: u64,
    /// Ceiling of device memory in bytes; `None`: by the kind of adapter.
    pub gpu_memory: Option<u64>,
    /// Bytes of frames that are worked on together; `None`: what suits the cache or the device. Results never depend on it.
    pub block: Option<u64>,
    /// Set by [`Control::cancel`]; shared by all clones.
    pub cancelled: Arc<AtomicBool>,
    pub progress: Arc<dyn Progress>,
}

impl Control {
    /// All cores, half of the memory that is free now, no progress.
    pub fn new() -> Self {
        Control {
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            memory: free_memory() / 2,
            kept: KEPT,
            gpu_memory: None,
            block: None,
            cancelled: Arc::new(AtomicBool::new(false)),
            progress: Arc::new(Quiet),
        }
    }
    /// Bytes of decoded frames that may stay in host memory between passes.
    pub fn kept(&self) -> u64 {
        self.kept.min(self.memory / 4)
    }
    /// Asks all work under this control to stop at the next block.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
    /// `Err(Error::Cancelled)` once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of memory that are free or can be freed at once.
pub fn free_memory() -> u64 {
    let mut s = sysinfo::System::new();
    s.refresh_memory();
    s.available_memory().max(256 << 20)
}
