//! Repeated runs: one to warm up, then the median and the quartiles of the others.

use crate::control::Control;
use crate::error::Result;
use serde::Serialize;
use std::time::Instant;

/// How long a measurement may take.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Seconds for all runs together; three runs are made even if they take longer.
    pub seconds: f64,
    /// Exactly so many runs instead.
    pub repeat: Option<usize>,
}

/// Fewest and most runs where the number is not given.
const LEAST: usize = 3;
const MOST: usize = 51;

impl Effort {
    /// Seconds that one run should take, so that there are several.
    pub fn run(&self) -> f64 {
        self.seconds / 6.0
    }

    /// Runs `work`, which tells its own time in seconds, once to warm up and then until the effort is spent.
    ///
    /// # Errors
    /// Those of `work`; [`crate::Error::Cancelled`].
    pub fn measure(&self, control: &Control, mut work: impl FnMut() -> Result<f64>) -> Result<Spread> {
        control.check()?;
        work()?;
        self.measure_warm(control, work)
    }

    /// [`Effort::measure`] of work that ran just before.
    ///
    /// # Errors
    /// The same.
    pub fn measure_warm(&self, control: &Control, mut work: impl FnMut() -> Result<f64>) -> Result<Spread> {
        let begun = Instant::now();
        let mut times = Vec::new();
        loop {
            control.check()?;
            times.push(work()?);
            let enough = match self.repeat {
                Some(n) => times.len() >= n,
                None => times.len() >= MOST || times.len() >= LEAST && begun.elapsed().as_secs_f64() > self.seconds,
            };
            if enough {
                return Ok(Spread::of(times));
            }
        }
    }
}

/// Seconds of one run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub runs: usize,
    /// First quartile.
    pub low_s: f64,
    pub median_s: f64,
    /// Third quartile.
    pub high_s: f64,
}

impl Spread {
    /// Of one or more times; they are never zero, however coarse the clock.
    pub fn of(mut times: Vec<f64>) -> Spread {
        times.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            times
                .get((times.len().saturating_sub(1)) * quarter / 4)
                .copied()
                .unwrap_or(0.0)
                .max(1e-9)
        };
        Spread {
            runs: times.len(),
            low_s: at(1),
            median_s: at(2),
            high_s: at(3),
        }
    }

    /// Half the distance of the quartiles as a share of the median.
    pub fn relative(&self) -> f64 {
        (self.high_s - self.low_s) / 2.0 / self.median_s
    }
}

/// Seconds that `work` takes.
pub(super) fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_sorted_times() {
        let s = Spread::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((s.runs, s.low_s, s.median_s, s.high_s), (5, 2.0, 3.0, 4.0));
        assert_eq!(s.relative(), 1.0 / 3.0);
        assert_eq!(Spread::of(vec![0.0]).median_s, 1e-9);
    }

    #[test]
    fn a_given_number_of_runs_is_made_after_one_to_warm_up() {
        let mut runs = 0;
        let effort = Effort {
            seconds: 0.0,
            repeat: Some(4),
        };
        let spread = effort.measure(&Control::new(), || {
            runs += 1;
            Ok(f64::from(runs))
        });
        assert_eq!((runs, spread.unwrap().median_s), (5, 3.0));
    }
}
