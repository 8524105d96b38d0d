//! Stacks that lie in several files, one after the other.

use super::stack::Stored;
use crate::control::Control;
use crate::error::{Error, Result};
use std::ops::Range;
use std::path::Path;

/// Most files of one scan: every one stays open.
pub(crate) const MAX_PARTS: usize = 512;

/// Frames of several parts in order.
pub(crate) struct Joined {
    /// Each with the frame behind its last one.
    parts: Vec<(u64, Box<dyn Stored>)>,
}

impl Joined {
    pub fn new() -> Self {
        Joined { parts: Vec::new() }
    }
    /// Adds a part of `frames` frames; `path` is named in the error.
    ///
    /// # Errors
    /// [`Error::Limit`] for more than [`MAX_PARTS`] parts.
    pub fn push(&mut self, path: &Path, frames: u64, part: Box<dyn Stored>) -> Result<()> {
        if self.parts.len() >= MAX_PARTS {
            return Err(Error::limit(path, format!("a scan of more than {MAX_PARTS} files")));
        }
        let end = self.frames().saturating_add(frames);
        self.parts.push((end, part));
        Ok(())
    }
    /// Frames of all parts.
    pub fn frames(&self) -> u64 {
        self.parts.last().map_or(0, |p| p.0)
    }

    /// Calls `visit` with each part that has frames of `frames`: its numbers of these frames, and how many frames came before.
    fn each(&self, frames: Range<u64>, mut visit: impl FnMut(&dyn Stored, Range<u64>, u64) -> Result<()>) -> Result<()> {
        let first = self.parts.partition_point(|p| p.0 <= frames.start);
        let mut at = frames.start;
        for (i, (end, part)) in self.parts.iter().enumerate().skip(first) {
            if at >= frames.end {
                break;
            }
            let begin = i.checked_sub(1).and_then(|i| self.parts.get(i)).map_or(0, |p| p.0);
            let to = frames.end.min(*end);
            visit(part.as_ref(), at - begin..to - begin, at - frames.start)?;
            at = to;
        }
        Ok(())
    }
}

impl Stored for Joined {
    fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], control: &Control) -> Result<()> {
        self.each(first..first + count as u64, |part, frames, before| {
            let n = (frames.end - frames.start) as usize;
            let from = before as usize * stride;
            // The last frame of the run may be shorter than the stride.
            let to = (from + n * stride).min(out.len());
            part.read_run(frames.start, n, stride, &mut out[from..to], control)
        })
    }
    fn prefetch(&self, frames: Range<u64>) {
        // Hints cannot fail.
        let _ = self.each(frames, |part, frames, _| {
            part.prefetch(frames);
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of two bytes: the part's name and the frame's number in it.
    struct Part(u8, u64);
    impl Stored for Part {
        fn read_run(&self, first: u64, count: usize, stride: usize, out: &mut [u8], _: &Control) -> Result<()> {
            assert!(first + count as u64 <= self.1);
            for i in 0..count {
                out[i * stride..][..2].copy_from_slice(&[self.0, first as u8 + i as u8]);
            }
            Ok(())
        }
    }

    #[test]
    fn runs_cross_from_part_to_part() {
        let mut joined = Joined::new();
        for (name, frames) in [(1, 3), (2, 1), (3, 0), (4, 4)] {
            joined.push(Path::new("a"), frames, Box::new(Part(name, frames))).unwrap();
        }
        assert_eq!(joined.frames(), 8);
        let all = [[1, 0], [1, 1], [1, 2], [2, 0], [4, 0], [4, 1], [4, 2], [4, 3]];
        for first in 0..8 {
            for count in 1..=8 - first {
                let mut out = vec![9; (count - 1) * 5 + 2];
                joined.read_run(first as u64, count, 5, &mut out, &Control::new()).unwrap();
                for (i, frame) in out.chunks(5).enumerate() {
                    assert_eq!(frame[..2], all[first + i], "{count} from {first}");
                    assert!(frame[2..].iter().all(|&b| b == 9));
                }
            }
        }
    }
}
