//! A pass on the CPU: threads take leaves in order, read them in pieces that fit the cache, and show each piece to all
//! operators while it is there.

use super::ahead::ReadAhead;
use super::pass::{Work, Worker};
use super::resident::{Bytes, Resident};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::pixel::{Frames, LEAF};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Bytes of a piece: half of a second-level cache of 1 MiB, the other half is for the operators' state.
const PIECE: usize = 512 << 10;

/// Leaves that a thread may be ahead of the slowest one, per thread: bounds what waits for its turn in collectors.
const AHEAD: u64 = 4;

/// Frames that are read and worked on together: a multiple of 8 (so that cuts inside a leaf are where operators allow
/// them), a whole leaf where frames are small or decoded together, whole groups of what operators want `together`.
fn frames_per_piece(stride: usize, together: usize, piece: usize) -> usize {
    let group = together.clamp(1, LEAF as usize).next_multiple_of(8);
    let fit = (piece / stride.max(1)).clamp(8, LEAF as usize);
    // Large frames give up the cache rather than a half-empty vector, up to a few MiB.
    if fit < group && group * stride <= 8 * PIECE {
        group
    } else {
        fit / group.min(fit) * group.min(fit) / 8 * 8
    }
}

/// Frames that a pass of one operator works on together.
pub(crate) fn piece(stride: usize, together: usize) -> usize {
    frames_per_piece(stride, together, PIECE)
}

pub(super) fn run(work: &Work<'_>, resident: &Resident, control: &Control) -> Result<()> {
    let info = work.scan.info();
    let stride = info.frame.stride();
    let needs = work.needs()?;
    let piece = frames_per_piece(
        stride,
        info.together.max(needs.together),
        control.block.unwrap_or(PIECE as u64) as usize,
    );
    let leaves = work.job.selection.len().div_ceil(LEAF);
    let each = needs.worker.fixed + (needs.worker.per_frame + stride as u64) * piece as u64;
    let threads = threads_that_fit(work, each, needs.output, control)?
        .min(leaves as usize)
        .max(1);

    work.start()?;
    let turn = Turn::new(threads, leaves);
    let ahead = ReadAhead::new(work.scan, work.job.selection);
    let outcome: Mutex<Result<()>> = Mutex::new(Ok(()));
    std::thread::scope(|scope| {
        for id in 0..threads {
            let (turn, outcome, ahead) = (&turn, &outcome, &ahead);
            scope.spawn(move || {
                let result = run_worker(work, id, piece, turn, ahead, resident, control);
                if let Err(e) = result {
                    turn.stop();
                    let mut first = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.is_ok() {
                        *first = Err(e);
                    }
                }
                turn.leave(id);
            });
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How many threads' state fits what is left of the memory ceiling.
fn threads_that_fit(work: &Work<'_>, each: u64, output: u64, control: &Control) -> Result<usize> {
    let left = control.memory.saturating_sub(output);
    let fit = (left / each.max(1)) as usize;
    if fit == 0 {
        let names: Vec<_> = work.slots.iter().map(|s| s.name()).collect();
        let what = format!(
            "{} needs {} MB for one thread and {} MB for its results, more than the {} MB it may use",
            names.join("+"),
            each.div_ceil(1 << 20),
            output.div_ceil(1 << 20),
            control.memory >> 20
        );
        return Err(Error::Memory { what });
    }
    if fit < control.threads {
        log::info!("{fit} of {} threads fit the memory ceiling", control.threads);
    }
    Ok(fit.min(control.threads))
}

fn run_worker(
    work: &Work<'_>,
    id: usize,
    piece: usize,
    turn: &Turn,
    ahead: &ReadAhead<'_>,
    resident: &Resident,
    control: &Control,
) -> Result<()> {
    let mut workers = work.slots.iter().map(|s| s.worker(&work.job)).collect::<Result<Vec<_>>>()?;
    let stride = work.job.frame.stride();
    let mut buffer = Bytes::new(piece * stride);
    let mut numbers = Vec::with_capacity(LEAF as usize);
    let total = work.job.selection.len();
    while let Some(leaf) = turn.next(id) {
        let first = leaf * LEAF;
        let count = LEAF.min(total - first) as usize;
        work.job.selection.frames(first..first + count as u64, &mut numbers);
        match leaf_in_memory(work, leaf, &numbers, resident, control)? {
            Some(bytes) => show(
                &mut workers,
                Frames::new(work.job.frame, first, count, bytes.as_slice())?,
                piece,
            )?,
            None => {
                for (i, part) in numbers.chunks(piece).enumerate() {
                    control.check()?;
                    let begun = Instant::now();
                    work.scan.read(part, stride, buffer.as_mut_slice(), control)?;
                    ahead.took(leaf, part.len() * stride, begun.elapsed());
                    let at = first + (i * piece) as u64;
                    show(
                        &mut workers,
                        Frames::new(work.job.frame, at, part.len(), buffer.as_slice())?,
                        piece,
                    )?;
                }
            }
        }
        workers.iter_mut().try_for_each(|w| w.end_leaf(leaf))?;
        control.progress.advance(count as u64);
    }
    workers.iter_mut().try_for_each(|w| w.finish())
}

/// A leaf that an earlier pass kept, or, if reading this scan is costly and there is room, reads and keeps it.
pub(super) fn leaf_in_memory(
    work: &Work<'_>,
    leaf: u64,
    numbers: &[u64],
    resident: &Resident,
    control: &Control,
) -> Result<Option<Arc<Bytes>>> {
    control.check()?;
    if let Some(kept) = resident.leaf(leaf) {
        return Ok(Some(kept));
    }
    let stride = work.job.frame.stride();
    let size = numbers.len() * stride;
    if !work.scan.info().costly || !resident.has_room(size as u64) {
        return Ok(None);
    }
    let mut bytes = Bytes::new(size);
    work.scan.read(numbers, stride, bytes.as_mut_slice(), control)?;
    let bytes = Arc::new(bytes);
    resident.keep(leaf, &bytes);
    Ok(Some(bytes))
}

/// Shows frames to all operators, a cache-sized piece at a time.
fn show(workers: &mut [Box<dyn Worker + '_>], frames: Frames<'_>, piece: usize) -> Result<()> {
    for from in (0..frames.count()).step_by(piece) {
        let part = frames.slice(from, frames.count().min(from + piece));
        workers.iter_mut().try_for_each(|w| w.frames(part))?;
    }
    Ok(())
}

/// Hands out leaves in order and holds threads back that run far ahead of the slowest.
struct Turn {
    next: AtomicU64,
    leaves: u64,
    stopped: AtomicBool,
    /// Leaf that each thread works on; far above all once it is done.
    at: Mutex<Vec<u64>>,
    moved: Condvar,
}

impl Turn {
    fn new(threads: usize, leaves: u64) -> Self {
        Turn {
            next: AtomicU64::new(0),
            leaves,
            stopped: AtomicBool::new(false),
            at: Mutex::new(vec![0; threads]),
            moved: Condvar::new(),
        }
    }

    /// The next leaf for thread `id`, or `None` when there is none or the pass was stopped.
    fn next(&self, id: usize) -> Option<u64> {
        let leaf = self.next.fetch_add(1, Ordering::Relaxed);
        if leaf >= self.leaves {
            return None;
        }
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at[id] = leaf;
        self.moved.notify_all();
        let window = AHEAD * at.len() as u64;
        while !self.stopped.load(Ordering::Relaxed) && at.iter().any(|&slow| slow + window < leaf) {
            at = self.moved.wait(at).unwrap_or_else(PoisonError::into_inner);
        }
        (!self.stopped.load(Ordering::Relaxed)).then_some(leaf)
    }

    fn leave(&self, id: usize) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at[id] = u64::MAX / 2;
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _held = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.moved.notify_all();
    }
}
