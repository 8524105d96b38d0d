//! Work that goes on while a page looks at it: one piece of work for each page and purpose, done in short passes that take turns, given up
//! when the page asks for something else or no longer asks.

use crate::control::{Control, Quiet};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pages and purposes at once; the one that was not asked for longest makes room.
const MOST: usize = 32;
/// Work that nobody asked for so long is given up.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Longest wait of one request for news.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Counts changes, from 1.
    pub version: u64,
    /// Planes of the same shape, one after another; shared, so that many readers cost one copy.
    pub values: Arc<Vec<f32>>,
    /// Frames done, and all frames.
    pub frames: [u64; 2],
    /// Only a sample was looked at so far.
    pub coarse: bool,
    pub done: bool,
    pub error: Option<String>,
    /// Seconds until the first values, and until now.
    pub seconds: [f64; 2],
}

/// A piece of work.
pub struct Task {
    key: String,
    /// Bytes that its results take.
    bytes: u64,
    /// Stops when the task is given up.
    pub control: Control,
    begun: Instant,
    state: Mutex<State>,
    news: Condvar,
    asked: Mutex<Instant>,
}

impl Task {
    /// Puts new values out.
    pub fn publish(&self, values: Vec<f32>, frames: [u64; 2], coarse: bool) {
        self.change(|s| {
            s.values = Arc::new(values);
            s.frames = frames;
            s.coarse = coarse;
        });
    }

    /// Counts frames on; values stay.
    pub fn advance(&self, frames: [u64; 2]) {
        self.change(|s| s.frames = frames);
    }

    /// Seconds since the work began.
    pub fn elapsed(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        state.version += 1;
        let now = self.elapsed();
        if state.version == 1 {
            state.seconds[0] = now;
        }
        state.seconds[1] = now;
        self.news.notify_all();
    }

    /// [`Error::Cancelled`] if the task was replaced or nobody asks for it any more; called between passes.
    ///
    /// # Errors
    /// Only that.
    pub fn check(&self) -> Result<()> {
        if lock(&self.asked).elapsed() > FORGOTTEN {
            self.control.cancel();
        }
        self.control.check()
    }

    /// Waits until there is news after `version`, or for `wait`.
    fn after(&self, version: u64, wait: Duration) -> State {
        let fresh = |s: &mut State| s.version <= version && !s.done && s.error.is_none();
        let (state, _) = self
            .news
            .wait_timeout_while(lock(&self.state), wait.min(LONGEST_WAIT), fresh)
            .unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }
}

/// All work of a session.
pub struct Live {
    tasks: Mutex<HashMap<String, Arc<Task>>>,
    turns: Turns,
    /// Bytes that all results together may take.
    room: u64,
}

impl Live {
    pub fn new(room: u64) -> Live {
        Live {
            tasks: Mutex::default(),
            turns: Turns::default(),
            room,
        }
    }

    /// The turn of a task: passes run one at a time, in the order in which they were asked for, each on all threads.
    pub fn turn(&self, task: &Task) -> Result<Turn<'_>> {
        let turn = self.turns.take();
        task.check()?;
        Ok(turn)
    }

    /// What is known of the work `key` for `who` after `version`. It is begun if `who` had none or other work, which is given up.
    ///
    /// # Errors
    /// [`Error::Memory`] if its `bytes` do not fit beside those of other pages; [`Error::Internal`] if no thread can be started.
    pub fn ask(
        &self,
        who: &str,
        key: &str,
        version: u64,
        bytes: u64,
        control: &Control,
        work: impl FnOnce(&Task) -> Result<()> + Send + 'static,
    ) -> Result<State> {
        let (task, version) = {
            let mut tasks = lock(&self.tasks);
            match tasks.get(who).filter(|t| t.key == key && !t.control.is_cancelled()) {
                Some(task) => (Arc::clone(task), version),
                None => {
                    if let Some(old) = tasks.remove(who) {
                        old.control.cancel();
                    }
                    self.make_room(&mut tasks, bytes)?;
                    let task = start(key, bytes, control, work)?;
                    tasks.insert(who.to_owned(), Arc::clone(&task));
                    // Whoever begins anew knows nothing.
                    (task, 0)
                }
            }
        };
        *lock(&task.asked) = Instant::now();
        Ok(task.after(version, LONGEST_WAIT))
    }

    /// The finished work `key` of anybody.
    pub fn finished(&self, key: &str) -> Option<State> {
        let tasks = lock(&self.tasks);
        let mut states = tasks.values().filter(|t| t.key == key).map(|t| lock(&t.state).clone());
        states.find(|s| s.done && s.error.is_none())
    }

    /// Gives up everything.
    pub fn stop(&self) {
        lock(&self.tasks).drain().for_each(|(_, t)| t.control.cancel());
    }

    fn make_room(&self, tasks: &mut HashMap<String, Arc<Task>>, bytes: u64) -> Result<()> {
        loop {
            let taken: u64 = tasks.values().map(|t| t.bytes).sum();
            if tasks.len() < MOST && taken + bytes <= self.room {
                return Ok(());
            }
            let oldest = tasks.iter().min_by_key(|(_, t)| *lock(&t.asked)).map(|(who, _)| who.clone());
            let Some(task) = oldest.and_then(|who| tasks.remove(&who)) else {
                let what = format!(
                    "a map of {} MB is more than the {} MB for results",
                    bytes >> 20,
                    self.room >> 20
                );
                return Err(Error::Memory { what });
            };
            task.control.cancel();
        }
    }
}

fn start(key: &str, bytes: u64, control: &Control, work: impl FnOnce(&Task) -> Result<()> + Send + 'static) -> Result<Arc<Task>> {
    let task = Arc::new(Task {
        key: key.to_owned(),
        bytes,
        control: Control {
            cancelled: Arc::new(AtomicBool::new(false)),
            progress: Arc::new(Quiet),
            ..control.clone()
        },
        begun: Instant::now(),
        state: Mutex::default(),
        news: Condvar::new(),
        asked: Mutex::new(Instant::now()),
    });
    let mine = Arc::clone(&task);
    let run = move || match work(&mine) {
        Ok(()) => mine.change(|s| s.done = true),
        Err(e) => {
            // A later request for the same begins anew.
            mine.control.cancel();
            mine.change(|s| s.error = Some(e.to_string()));
        }
    };
    let thread = std::thread::Builder::new().name("explore".into()).spawn(run);
    thread.map_err(|e| Error::Internal(format!("a thread for a map: {e}")))?;
    Ok(task)
}

/// A lock that is handed on in the order of asking.
#[derive(Default)]
struct Turns {
    /// Next number to give out, and the one whose turn it is.
    numbers: Mutex<[u64; 2]>,
    moved: Condvar,
}

/// Held while a pass runs.
pub struct Turn<'a>(&'a Turns);

impl Turns {
    fn take(&self) -> Turn<'_> {
        let mut numbers = lock(&self.numbers);
        let mine = numbers[0];
        numbers[0] += 1;
        drop(
            self.moved
                .wait_while(numbers, |n| n[1] != mine)
                .unwrap_or_else(PoisonError::into_inner),
        );
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.numbers)[1] += 1;
        self.0.moved.notify_all();
    }
}

/// A number of bytes that requests share; those that find none wait a little.
pub struct Gate {
    free: Mutex<u64>,
    all: u64,
    freed: Condvar,
}

/// Bytes taken from a [`Gate`].
pub struct Pass<'a>(&'a Gate, u64);

impl Gate {
    pub fn new(bytes: u64) -> Gate {
        Gate {
            free: Mutex::new(bytes),
            all: bytes,
            freed: Condvar::new(),
        }
    }

    /// Takes `bytes`, waiting up to some seconds.
    ///
    /// # Errors
    /// [`Error::Memory`] if they are more than all, or others keep them.
    pub fn pass(&self, bytes: u64) -> Result<Pass<'_>> {
        let what = |free: u64| Error::Memory {
            what: format!(
                "{} MB are needed to answer, {} MB are free",
                bytes.div_ceil(1 << 20),
                free >> 20
            ),
        };
        if bytes > self.all {
            return Err(what(self.all));
        }
        let (mut free, _) = self
            .freed
            .wait_timeout_while(lock(&self.free), Duration::from_secs(5), |free| *free < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        if *free < bytes {
            return Err(what(*free));
        }
        *free -= bytes;
        drop(free);
        Ok(Pass(self, bytes))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += self.1;
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_work_replaces_and_failed_work_begins_anew() {
        let live = Live::new(1000);
        let control = Control::new();
        let forever = |task: &Task| -> Result<()> {
            task.publish(vec![1.0], [1, 2], true);
            loop {
                task.check()?;
                std::thread::yield_now();
            }
        };
        let first = live.ask("a", "one", 0, 10, &control, forever).unwrap();
        assert!(first.coarse && !first.done && first.version == 1);
        let task = Arc::clone(&lock(&live.tasks)["a"]);
        let second = live.ask("a", "two", 0, 10, &control, |t| {
            t.publish(vec![2.0], [2, 2], false);
            Ok(())
        });
        assert_eq!(second.unwrap().values[0], 2.0);
        assert!(task.control.is_cancelled(), "the first work was given up");
        assert_eq!(task.after(1, LONGEST_WAIT).error.as_deref(), Some("cancelled"));
        let fail = |_: &Task| Err(Error::parameter("x", "y"));
        assert_eq!(
            live.ask("a", "three", 0, 10, &control, fail).unwrap().error.as_deref(),
            Some("x: y")
        );
        let again = live.ask("a", "three", 0, 10, &control, |_| Ok(())).unwrap();
        assert!(again.done && again.error.is_none());
        assert!(live.finished("three").is_some() && live.finished("two").is_none());
    }

    #[test]
    fn results_stay_below_the_ceiling() {
        let live = Live::new(100);
        let control = Control::new();
        for i in 0..10 {
            live.ask(&i.to_string(), "k", 0, 40, &control, |_| Ok(())).unwrap();
        }
        assert_eq!(lock(&live.tasks).len(), 2);
        assert!(live.ask("x", "k", 0, 101, &control, |_| Ok(())).is_err());
        let gate = Gate::new(10);
        let held = gate.pass(8).unwrap();
        assert!(gate.pass(11).is_err());
        drop(held);
        assert!(gate.pass(10).is_ok());
    }
}
