//! Frames in, something out, block by block: pieces of a block go to the threads, and what they bring is looked at in order.

use crate::control::Control;
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;

/// Bytes that are in work between two looks at what was done.
const BLOCK: u64 = 32 << 20;
/// Bytes that one thread reads and writes at a time.
const PIECE: u64 = 4 << 20;

/// Work on the frames `start..total` of a selection.
pub(crate) struct Blocks<'a> {
    /// The step's name to the user.
    pub title: &'static str,
    pub start: u64,
    pub total: u64,
    /// Bytes of a frame as it is read, and all that is held of it on its way.
    pub read: usize,
    pub held: usize,
    pub control: &'a Control,
}

impl Blocks<'_> {
    /// Runs `work` on pieces from several threads. Pieces end where `boundary` allows: it gives the first such number from its argument on.
    /// `done` gets the results of every block in order and the number of frames that are behind them.
    ///
    /// # Errors
    /// Those of `work` and `done`; [`Error::Cancelled`].
    pub fn run<T: Send>(
        &self,
        boundary: impl Fn(u64) -> u64,
        work: impl Fn(Range<u64>) -> Result<T> + Sync,
        mut done: impl FnMut(u64, Vec<T>) -> Result<()>,
    ) -> Result<()> {
        let bytes = self.held.max(1) as u64;
        let control = self.control;
        let threads = control.threads.max(1) as u64;
        let piece = (PIECE / bytes).min(control.memory / 4 / threads / bytes).max(1);
        let block = (BLOCK.min(control.memory / 4) / bytes).max(piece);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(control.threads).build();
        let pool = pool.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        let left = self.total.saturating_sub(self.start);
        control.progress.begin(self.title, left, left * self.read as u64);
        let mut first = self.start;
        let mut result = Ok(());
        while first < self.total && result.is_ok() {
            let mut pieces = Vec::new();
            let mut at = first;
            while at < self.total && at - first < block {
                let end = boundary((at + piece).min(self.total)).min(self.total);
                pieces.push(at..end);
                at = end;
            }
            let all = pool.install(|| {
                let one = |range: &Range<u64>| {
                    control.check()?;
                    let made = work(range.clone())?;
                    control.progress.advance(range.end - range.start);
                    Ok(made)
                };
                pieces.par_iter().map(one).collect::<Result<Vec<T>>>()
            });
            result = all.and_then(|made| done(at, made));
            first = at;
        }
        control.progress.end();
        result
    }
}
