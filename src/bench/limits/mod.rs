//! What this machine can do at most, measured in the same run as the kernels.

pub mod cpu;
pub mod gpu;

use super::timing::Spread;
use crate::backend::stage::Work;
use serde::Serialize;

/// A measured limit. Rates are of 10⁹ bytes or operations per second; of costs the unit says so.
#[derive(Debug, Clone, Serialize)]
pub struct Limit {
    pub name: String,
    pub unit: &'static str,
    pub median: f64,
    /// Quartiles.
    pub low: f64,
    pub high: f64,
}

impl Limit {
    /// `amount` bytes or operations a run.
    fn rate(name: impl Into<String>, unit: &'static str, amount: f64, spread: &Spread) -> Limit {
        Limit {
            name: name.into(),
            unit,
            median: amount / spread.median_s / 1e9,
            low: amount / spread.high_s / 1e9,
            high: amount / spread.low_s / 1e9,
        }
    }
    /// Amounts per second.
    pub fn per_second(&self) -> f64 {
        self.median * 1e9
    }
}

/// GB/s of pixels, counted once.
pub const BYTES: &str = "GB/s";
/// 10⁹ additions and multiplications per second.
pub const OPERATIONS: &str = "Gop/s";

/// What some work could be bound by: the name of a limit and the seconds that the work would take if nothing else mattered.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    pub name: &'static str,
    pub seconds: f64,
}

/// The slowest of some limits.
pub fn binding(bounds: impl IntoIterator<Item = Bound>) -> Option<Bound> {
    bounds.into_iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

/// Seconds of `items` items of `work`, by memory and by arithmetic.
pub fn of_work(work: &Work, items: f64, bytes_per_s: f64, operations_per_s: f64) -> [Bound; 2] {
    [
        Bound {
            name: "memory",
            seconds: (work.read + work.written) as f64 * items / bytes_per_s,
        },
        Bound {
            name: "arithmetic",
            seconds: work.operations as f64 * items / operations_per_s,
        },
    ]
}
