//! The report as text.

use super::limits::Limit;
use super::report::{Group, Report, Row};
use std::collections::BTreeSet;

/// A limit as one line; `threads` of 0 means a device.
pub fn limit(limit: &Limit, threads: usize) -> String {
    let on = match threads {
        0 => "gpu".to_owned(),
        n => format!("cpu x{n}"),
    };
    let half = (limit.high - limit.low) / 2.0 / limit.median;
    format!(
        "{:<32}{on:<8}{:>12.1} {:<6}{}",
        limit.name,
        limit.median,
        limit.unit,
        spread(half)
    )
}

fn spread(relative: f64) -> String {
    format!("±{:.0} %", 100.0 * relative)
}

/// Titles of the columns of [`line()`].
pub const HEAD: &str = "                                frames         on                   rate           GB/s    Gop/s  of the limit           GPU/CPU  spread";

/// A row as one line.
pub fn line(row: &Row) -> String {
    let on = match row.threads {
        Some(n) => format!("{} x{n}", row.backend),
        None => row.backend.to_owned(),
    };
    let rate = match row.items_per_s {
        Some(rate) => format!("{rate:>11.0} {:<11}", format!("{}/s", row.unit)),
        None => format!("{:>11.1} ms         ", 1e3 * row.spread.median_s),
    };
    let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.1}"));
    let bound = match (row.share_of_limit, row.bound) {
        (Some(share), Some(bound)) => format!("{:>4.0} % {bound}", 100.0 * share),
        _ => String::new(),
    };
    let ratio = row.ratio_to_cpu.map_or_else(String::new, |r| format!("{r:.2}"));
    let text = format!(
        "{:<32}{:<15}{on:<8}{rate}{:>9}{:>9}  {bound:<18}{ratio:>11}  {}",
        row.name,
        row.frame.as_deref().unwrap_or(""),
        number(row.gb_per_s),
        number(row.gop_per_s),
        spread(row.spread.relative())
    );
    text.trim_end().to_owned()
}

/// What limits each kernel on one core, a sentence each, with its share of that limit there.
pub fn text(report: &Report) -> String {
    let mut seen = BTreeSet::new();
    let mut out = String::new();
    let single = |r: &&Row| r.threads == Some(1) && matches!(r.group, Group::Kernel | Group::Host);
    for row in report.rows.iter().filter(single) {
        if !seen.insert(&row.name) {
            continue;
        }
        let same: Vec<f64> = report
            .rows
            .iter()
            .filter(|r| single(r) && r.name == row.name)
            .filter_map(|r| r.share_of_limit)
            .collect();
        let (low, high) = same.iter().fold((f64::INFINITY, 0.0f64), |(l, h), &s| (l.min(s), h.max(s)));
        let range = if high - low < 0.005 {
            format!("{:.0} %", 100.0 * high)
        } else {
            format!("{:.0} to {:.0} %", 100.0 * low, 100.0 * high)
        };
        out += &format!("{:<32}{range:<13} {}\n", row.name, row.note);
    }
    out
}
