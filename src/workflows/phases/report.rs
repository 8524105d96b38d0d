//! What the report of `phases` says: the scan and its signals, how alike the runs are, what each phase is.

use super::figures::Maps;
use super::signals::{Kind, Signal};
use super::{Params, Phases};
use crate::engine::Backend;
use crate::report::html::Report;

/// The report without its figures.
pub(super) fn write(result: &Phases, maps: &Maps, signals: &[Signal], backend: &Backend, params: &Params) -> Report {
    let mut report = summary(result, signals, backend, params);
    phases(&mut report, result, maps);
    report
}

fn summary(result: &Phases, signals: &[Signal], backend: &Backend, params: &Params) -> Report {
    let name = signals
        .first()
        .and_then(|s| s.path.file_name())
        .unwrap_or_default()
        .to_string_lossy();
    let mut report = Report::new(format!("Phases in {name}"));
    let [ny, nx] = result.selection.nav();
    report.summary("Scan", format!("{ny} × {nx} positions, {} selected", result.selection.len()));
    for (k, signal) in signals.iter().enumerate() {
        let info = signal.scan.info();
        let frames = match signal.kind {
            Kind::Spectrum => format!("{} channels", info.frame.width),
            Kind::Pattern => format!("{} × {} pixels", info.frame.height, info.frame.width),
        };
        let features = result.features.get(k).map_or(String::new(), |f| {
            let count = f.mask.iter().filter(|m| **m).count();
            let parts = match (result.columns.get(k), result.explained.get(k)) {
                (Some(n), Some(share)) => format!(", {n} principal components with {:.1} % of the variance", 100.0 * share),
                _ => String::new(),
            };
            format!("; {count} features{parts}")
        });
        let lines = if signal.lines.is_empty() {
            String::new()
        } else {
            format!("; lines {}", signal.lines.join(", "))
        };
        report.summary(
            &format!("Signal {}", signal.name),
            format!("{frames}, {}{features}{lines}", info.stored),
        );
    }
    report.summary("Recipe", params.recipe);
    if let Some(s) = result.exponent {
        report.summary("Weight of spectra", format!("exp({s:.3}) = {:.3}", s.exp()));
    }
    report.summary("Phases", result.sizes.len());
    let runs = result.agreement.ari.nrows();
    if runs > 1 {
        let pairs: Vec<f64> = (0..runs)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|at| result.agreement.ari[at])
            .collect();
        let mean = pairs.iter().sum::<f64>() / pairs.len() as f64;
        let least = pairs.iter().copied().fold(f64::INFINITY, f64::min);
        report.summary(
            "Stability",
            format!("{runs} runs: adjusted Rand index between them {mean:.3} on average, {least:.3} at least"),
        );
        let seed = result.found.seed.map_or(String::new(), |s| format!(" (seed {s})"));
        report.summary("Answer", format!("run {}{seed}", result.reference));
    }
    report.summary("Backend", format!("{} ({})", backend.name(), backend.adapter()));
    report.summary("emstream", env!("CARGO_PKG_VERSION"));
    for t in &result.timings.steps {
        report.summary(&format!("Time of {}", t.step), format!("{:.2} s", t.seconds));
    }
    result.warnings.iter().for_each(|w| {
        report.warning(w);
    });
    report
}

/// What each phase is.
fn phases(report: &mut Report, result: &Phases, maps: &Maps) {
    let persistence = result.found.clustering.persistence();
    let total: usize = result.sizes.iter().sum();
    let rows: Vec<Vec<String>> = result
        .sizes
        .iter()
        .enumerate()
        .map(|(c, n)| {
            let here = || {
                maps.labels
                    .iter()
                    .zip(&maps.membership)
                    .zip(&maps.agreement)
                    .filter(|((l, _), _)| **l == c as i32)
            };
            let mean = |values: &mut dyn Iterator<Item = f64>| {
                let (sum, count) = values.fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
                if count > 0 {
                    format!("{:.3}", sum / count as f64)
                } else {
                    "–".into()
                }
            };
            vec![
                c.to_string(),
                n.to_string(),
                format!("{:.2} %", 100.0 * *n as f64 / total.max(1) as f64),
                mean(&mut here().map(|((_, m), _)| *m)),
                mean(&mut here().map(|(_, a)| *a)),
                persistence.get(c).map_or(String::new(), |p| format!("{p:.3}")),
            ]
        })
        .collect();
    if !rows.is_empty() {
        report.section("Phases").table(
            &[
                "phase",
                "positions",
                "fraction",
                "mean membership",
                "mean agreement of runs",
                "persistence",
            ],
            &rows,
        );
    }
}
