//! Decoded chunks that several reads share: each is decoded once while it stays, whoever asks for it.

use crate::error::Result;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// A decoded chunk, or room for one.
type Place = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

struct Entry {
    place: Place,
    /// Frames that nobody has taken from it yet; at zero it leaves.
    left: u64,
    /// When it was last asked for.
    tick: u64,
}

#[derive(Default)]
struct State {
    entries: HashMap<u64, Entry>,
    /// Ticks in order, each with its chunk.
    order: BTreeMap<u64, u64>,
    tick: u64,
}

/// Chunks by their number.
pub(super) struct Cache {
    state: Mutex<State>,
    /// Most chunks that stay; those in use stay in any case.
    most: usize,
}

/// Asked for without waiting: the chunk, or that another thread decodes it now.
pub(super) enum Answer {
    Ready(Arc<Vec<u8>>),
    Busy,
}

impl Cache {
    pub fn new(most: u64) -> Cache {
        Cache {
            state: Mutex::default(),
            most: usize::try_from(most).unwrap_or(usize::MAX).max(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a chunk from which `frames` frames can be taken in all.
    fn place(&self, chunk: u64, frames: u64) -> Place {
        let mut guard = self.state();
        let state = &mut *guard;
        state.tick += 1;
        let tick = state.tick;
        let entry = state.entries.entry(chunk).or_insert_with(|| Entry {
            place: Place::default(),
            left: frames,
            tick,
        });
        state.order.remove(&entry.tick);
        entry.tick = tick;
        let place = entry.place.clone();
        state.order.insert(tick, chunk);
        while state.entries.len() > self.most {
            // The oldest that no thread holds; the newest, ours, is held.
            let idle = |chunk: &u64| state.entries.get(chunk).is_none_or(|e| Arc::strong_count(&e.place) == 1);
            let Some((&tick, &old)) = state.order.iter().find(|(_, c)| idle(c)) else {
                break;
            };
            state.order.remove(&tick);
            state.entries.remove(&old);
        }
        place
    }

    /// The chunk, decoded by `decode` if it is not there. Where another thread decodes it: waits for that, or answers
    /// [`Answer::Busy`] at once if not told to `wait`.
    ///
    /// # Errors
    /// Those of `decode`; the next to ask tries again.
    pub fn get(&self, chunk: u64, frames: u64, wait: bool, decode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Answer> {
        let place = self.place(chunk, frames);
        let mut held = match place.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) if !wait => return Ok(Answer::Busy),
            Err(TryLockError::WouldBlock) => place.lock().unwrap_or_else(PoisonError::into_inner),
        };
        if let Some(ready) = &*held {
            return Ok(Answer::Ready(ready.clone()));
        }
        let ready = Arc::new(decode()?);
        *held = Some(ready.clone());
        Ok(Answer::Ready(ready))
    }

    /// Tells that `frames` frames were taken from a chunk: it leaves when all were.
    pub fn taken(&self, chunk: u64, frames: u64) {
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(entry) = state.entries.get_mut(&chunk) {
            entry.left = entry.left.saturating_sub(frames);
            if entry.left == 0 {
                let tick = entry.tick;
                state.order.remove(&tick);
                state.entries.remove(&chunk);
            }
        }
    }
}

/// Lets a bounded number of threads decode at a time, where chunks are so large that all together would take too much memory.
pub(super) struct Gate {
    free: Mutex<u64>,
    freed: Condvar,
}

impl Gate {
    pub fn new(threads: u64) -> Gate {
        Gate {
            free: Mutex::new(threads.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Runs `work` when there is room for it.
    pub fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Makes room even if the work panics.
        struct Leave<'a>(&'a Gate);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                self.0.freed.notify_one();
            }
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        drop(free);
        let _leave = Leave(self);
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn ready(answer: Answer) -> Arc<Vec<u8>> {
        match answer {
            Answer::Ready(v) => v,
            Answer::Busy => panic!("nobody else decodes"),
        }
    }

    #[test]
    fn chunks_leave_when_all_is_taken_or_room_is_short() {
        let cache = Cache::new(2);
        let decoded = AtomicUsize::new(0);
        let get = |chunk: u64| {
            let one = || {
                decoded.fetch_add(1, Ordering::Relaxed);
                Ok(vec![chunk as u8])
            };
            ready(cache.get(chunk, 4, true, one).unwrap())[0]
        };
        assert_eq!([get(1), get(2), get(1)], [1, 2, 1]);
        assert_eq!(decoded.load(Ordering::Relaxed), 2);
        // The third pushes out 2, asked for longer ago than 1.
        assert_eq!([get(3), get(1), get(2)], [3, 1, 2]);
        assert_eq!(decoded.load(Ordering::Relaxed), 4);
        cache.taken(2, 3);
        get(2);
        assert_eq!(decoded.load(Ordering::Relaxed), 4);
        cache.taken(2, 1);
        get(2);
        assert_eq!(decoded.load(Ordering::Relaxed), 5);
        assert!(cache.state().entries.len() == 2 && cache.state().order.len() == 2);
    }

    #[test]
    fn failures_are_not_kept() {
        let cache = Cache::new(2);
        assert!(cache.get(5, 1, true, || Err(Error::Cancelled)).is_err());
        assert_eq!(*ready(cache.get(5, 1, false, || Ok(vec![9])).unwrap()), [9]);
    }

    #[test]
    fn every_thread_sees_one_decoding() {
        let (cache, gate) = (Cache::new(8), Gate::new(1));
        let decoded = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for chunk in 0..8 {
                        let one = || {
                            gate.pass(|| decoded.fetch_add(1, Ordering::Relaxed));
                            Ok(vec![chunk as u8; 3])
                        };
                        assert_eq!(*ready(cache.get(chunk, 1000, true, one).unwrap()), [chunk as u8; 3]);
                    }
                });
            }
        });
        assert_eq!(decoded.load(Ordering::Relaxed), 8);
    }
}
