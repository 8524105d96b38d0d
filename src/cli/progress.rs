//! Progress on a terminal: frames/s, GB/s, time left.

use emstream::control::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// One line on stderr for the running step.
#[derive(Default)]
pub struct Bar {
    running: Mutex<Option<Step>>,
}

struct Step {
    bar: ProgressBar,
    name: String,
    frames: u64,
    bytes: u64,
    done: u64,
    begun: Instant,
}

impl Bar {
    fn with(&self, f: impl FnOnce(&mut Option<Step>)) {
        f(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bar {
    fn begin(&self, step: &str, frames: u64, bytes: u64) {
        let bar = ProgressBar::new(frames);
        if let Ok(style) = ProgressStyle::with_template("{prefix:12} [{bar:28}] {percent:>3} %  {msg}  {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(step.to_owned());
        let begun = Instant::now();
        self.with(|s| {
            *s = Some(Step {
                bar,
                name: step.to_owned(),
                frames,
                bytes,
                done: 0,
                begun,
            })
        });
    }
    fn advance(&self, frames: u64) {
        self.with(|s| {
            if let Some(s) = s {
                s.done += frames;
                s.bar.set_message(s.rate());
                s.bar.set_position(s.done);
            }
        });
    }
    fn end(&self) {
        self.with(|s| {
            if let Some(s) = s.take() {
                s.bar.finish_and_clear();
                log::info!(
                    "{}: {} frames in {:.2} s, {}",
                    s.name,
                    s.done,
                    s.begun.elapsed().as_secs_f64(),
                    s.rate()
                );
            }
        });
    }
}

impl Step {
    fn rate(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let bytes = self.bytes as f64 * self.done as f64 / self.frames.max(1) as f64;
        format!(
            "{:.0} frames/s, {:.2} GB/s",
            self.done as f64 / seconds,
            bytes / seconds / 1e9
        )
    }
}
