//! Reading ahead of a pass: hints to the system which frames come next, as long as the file does not come out of its cache.
//!
//! Several threads that read neighbouring leaves look like no pattern to a system that watches for sequential reads, so a disk would be
//! asked for a piece at a time. A hint for frames that are already cached costs about a tenth of reading them; therefore only
//! slow reads give one. Nothing but time depends on it.

use super::Selection;
use crate::io::Scan;
use crate::pixel::LEAF;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes per second below which a read did not come from memory.
const SLOW: f64 = 1.5e9;
/// Bytes of hints ahead of the leaf that is read.
const DISTANCE: u64 = 64 << 20;

pub(super) struct ReadAhead<'a> {
    scan: &'a dyn Scan,
    selection: &'a Selection,
    /// Leaves below this one have been hinted at.
    hinted: AtomicU64,
    /// Leaves ahead.
    distance: u64,
}

impl<'a> ReadAhead<'a> {
    pub fn new(scan: &'a dyn Scan, selection: &'a Selection) -> Self {
        let leaf = LEAF * scan.info().frame.bytes() as u64;
        ReadAhead {
            scan,
            selection,
            hinted: AtomicU64::new(0),
            distance: (DISTANCE / leaf.max(1)).clamp(2, 256),
        }
    }

    /// `bytes` of leaf number `leaf` took `time` to read.
    pub fn took(&self, leaf: u64, bytes: usize, time: Duration) {
        if bytes as f64 >= SLOW * time.as_secs_f64() {
            return;
        }
        let last = self.selection.len().div_ceil(LEAF);
        let until = (leaf + 1 + self.distance).min(last);
        let from = self.hinted.fetch_max(until, Ordering::Relaxed).max(leaf + 1);
        let mut numbers = Vec::with_capacity(LEAF as usize);
        for next in from..until {
            let end = ((next + 1) * LEAF).min(self.selection.len());
            self.selection.frames(next * LEAF..end, &mut numbers);
            if let (Some(first), Some(last)) = (numbers.first(), numbers.last())
                && last - first < 2 * LEAF
            {
                self.scan.prefetch(*first..last + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Control;
    use crate::io::ScanInfo;
    use crate::io::memory::MemoryScan;
    use std::ops::Range;
    use std::sync::Mutex;

    /// Remembers hints.
    struct Watched {
        frames: MemoryScan<u8>,
        hints: Mutex<Vec<Range<u64>>>,
    }

    impl Scan for Watched {
        fn info(&self) -> &ScanInfo {
            self.frames.info()
        }
        fn read(&self, frames: &[u64], stride: usize, out: &mut [u8], control: &Control) -> crate::Result<()> {
            self.frames.read(frames, stride, out, control)
        }
        fn prefetch(&self, frames: Range<u64>) {
            self.hints.lock().unwrap().push(frames);
        }
    }

    #[test]
    fn slow_reads_give_each_hint_once_and_fast_ones_none() {
        let frames = MemoryScan::new([100, 100], [1, 1], vec![0; 10_000]).unwrap();
        let scan = Watched {
            frames,
            hints: Mutex::default(),
        };
        let selection = Selection::all([100, 100]);
        let ahead = ReadAhead {
            distance: 3,
            ..ReadAhead::new(&scan, &selection)
        };
        ahead.took(0, 1 << 20, Duration::from_micros(10));
        assert!(scan.hints.lock().unwrap().is_empty());
        ahead.took(0, 1 << 20, Duration::from_secs(1));
        ahead.took(1, 1 << 20, Duration::from_secs(1));
        ahead.took(155, 1 << 20, Duration::from_secs(1));
        let leaf = |n: u64| n * LEAF..((n + 1) * LEAF).min(10_000);
        assert_eq!(*scan.hints.lock().unwrap(), [1, 2, 3, 4, 156].map(leaf));
    }
}
