//! A measurement beside what the machine could do.

use super::case::Case;
use super::limits::gpu::GpuLimits;
use super::limits::{Bound, of_work};
use super::report::{self, Group, Row};
use super::timing::Spread;
use crate::backend::stage::Work;

/// What a device needs at least for work on frames that it holds. A copied byte is read and written, so it counts twice.
pub(super) fn device_bounds(work: &Work, items: f64, limits: &GpuLimits) -> Vec<Bound> {
    let mut bounds = of_work(work, items, 2.0 * limits.copy.per_second(), limits.multiply_add.per_second()).to_vec();
    bounds.push(Bound {
        name: "read-back",
        seconds: work.written as f64 * items / limits.read_back.per_second(),
    });
    bounds
}

/// A measurement before it is compared with anything.
pub(super) struct Measured<'a> {
    case: &'a dyn Case,
    group: Group,
    backend: &'static str,
    threads: Option<usize>,
    items: u64,
    spread: Spread,
}

impl<'a> Measured<'a> {
    pub fn of(
        case: &'a dyn Case,
        group: Group,
        backend: &'static str,
        threads: Option<usize>,
        items: u64,
        spread: Spread,
    ) -> Self {
        Measured {
            case,
            group,
            backend,
            threads,
            items,
            spread,
        }
    }

    /// As a row of the report; `before` holds the rows of the CPU to compare a GPU's with.
    pub fn row(self, bound: Option<Bound>, before: &[Row]) -> Row {
        let work = self.case.work();
        let rate = self.items as f64 / self.spread.median_s;
        let frame = self.case.frame().map(report::frame_name);
        let name = self.case.name().to_owned();
        let twin = before
            .iter()
            .rev()
            .find(|r| self.backend == "gpu" && r.backend == "cpu" && r.group == self.group && r.name == name && r.frame == frame);
        Row {
            group: self.group,
            ratio_to_cpu: twin.and_then(|t| t.items_per_s).map(|cpu| rate / cpu),
            name,
            backend: self.backend,
            threads: self.threads,
            unit: self.case.unit(),
            items: self.items,
            spread: self.spread,
            items_per_s: Some(rate),
            gb_per_s: Some(rate * self.case.frame().map_or(work.read, |f| f.bytes() as u64) as f64 / 1e9),
            gop_per_s: Some(rate * work.operations as f64 / 1e9),
            work: Some(work.into()),
            bound: bound.map(|b| b.name),
            share_of_limit: bound.map(|b| b.seconds / self.spread.median_s),
            note: self.case.note().to_owned(),
            frame,
        }
    }
}
