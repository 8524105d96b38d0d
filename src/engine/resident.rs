//! Decoded blocks kept between the passes of one workflow, so that the second pass need not read and decode again.

use super::Selection;
use crate::io::Scan;
use crate::pixel::FrameShape;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Pixels at an alignment that every vector unit likes.
pub(super) struct Bytes {
    words: Vec<u128>,
    len: usize,
}

impl Bytes {
    pub fn new(len: usize) -> Self {
        Bytes {
            words: vec![0; len.div_ceil(16)],
            len,
        }
    }
    /// Makes room for `len` bytes.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            *self = Bytes::new(len);
        }
    }
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut bytemuck::cast_slice_mut(&mut self.words)[..len]
    }
}

/// What blocks belong to: they are useless for any other scan or selection.
#[derive(Clone, PartialEq)]
struct Key {
    path: PathBuf,
    dataset: Option<String>,
    frame: FrameShape,
    selection: Selection,
}

#[derive(Default)]
struct Kept {
    key: Option<Key>,
    leaves: HashMap<u64, Arc<Bytes>>,
    bytes: u64,
    device: Option<super::gpu::DeviceBlocks>,
}

/// Keeps blocks up to a ceiling: decoded leaves of compressed scans on the host, whole blocks on a device. Pass the same
/// `Resident` to all passes of a workflow.
pub struct Resident {
    host_limit: u64,
    device: bool,
    kept: Mutex<Kept>,
}

impl Resident {
    /// Keeps at most `host_limit` bytes on the host; what a device keeps is bounded by its own budget.
    pub fn new(host_limit: u64) -> Self {
        Resident {
            host_limit,
            device: true,
            kept: Mutex::default(),
        }
    }

    /// Keeps nothing.
    pub fn none() -> Self {
        Resident {
            device: false,
            ..Self::new(0)
        }
    }

    pub(super) fn keeps_on_device(&self) -> bool {
        self.device
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what belongs to another scan or selection.
    pub(super) fn enter(&self, scan: &dyn Scan, selection: &Selection) {
        let info = scan.info();
        let key = Key {
            path: info.path.clone(),
            dataset: info.dataset.clone(),
            frame: info.frame,
            selection: selection.clone(),
        };
        let mut kept = self.lock();
        if kept.key.as_ref() != Some(&key) {
            *kept = Kept {
                key: Some(key),
                ..Kept::default()
            };
        }
    }

    pub(super) fn leaf(&self, leaf: u64) -> Option<Arc<Bytes>> {
        self.lock().leaves.get(&leaf).cloned()
    }

    /// True if a leaf of `bytes` would be kept.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.lock().bytes + bytes <= self.host_limit
    }

    pub(super) fn keep(&self, leaf: u64, bytes: &Arc<Bytes>) {
        let mut kept = self.lock();
        let size = bytes.len as u64;
        if kept.bytes + size <= self.host_limit && kept.leaves.insert(leaf, bytes.clone()).is_none() {
            kept.bytes += size;
        }
    }

    pub(super) fn take_device(&self) -> Option<super::gpu::DeviceBlocks> {
        self.lock().device.take()
    }

    pub(super) fn keep_device(&self, blocks: super::gpu::DeviceBlocks) {
        if self.device {
            self.lock().device = Some(blocks);
        }
    }
}
