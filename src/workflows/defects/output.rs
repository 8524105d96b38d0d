//! What all steps of `defects` write in the same way: provenance, figures, report.

use super::detected::Detected;
use crate::engine::Backend;
use crate::error::Result;
use crate::io::results::{Input, OutputDir, Provenance, ResultFile};
use crate::io::{Scan, ScanInfo};
use crate::report::html::Report;
use crate::workflows::folder::{Named, add_figures, finish};
use crate::workflows::{Timings, provenance};
use std::path::PathBuf;

/// Everything around the arrays of a result.
pub struct Page<'a> {
    pub command: &'a str,
    pub title: &'a str,
    pub scan: &'a dyn Scan,
    pub backend: &'a Backend,
    /// The text of `params.toml`.
    pub parameters: &'a str,
    pub timings: &'a Timings,
    pub warnings: &'a [String],
    pub summary: &'a [(&'a str, String)],
    pub figures: Vec<Named>,
}

impl Page<'_> {
    /// Completes the result file, writes figures, parameters and report, and puts the folder in place.
    pub fn finish(self, file: ResultFile, dir: OutputDir) -> Result<PathBuf> {
        let provenance = provenance(
            self.command,
            self.scan,
            self.backend,
            self.parameters.to_owned(),
            self.timings,
        )?;
        let info = self.scan.info();
        let page = Finished {
            title: self.title,
            about: of_movie(info),
            name: info.name(),
            provenance,
            parameters: self.parameters,
            warnings: self.warnings,
            summary: self.summary,
            tables: Vec::new(),
            figures: self.figures,
        };
        page.finish(file, dir)
    }
}

/// Frames that a warning names.
const NAMED: usize = 8;

/// `frame 3`, `frames 3, 5 and 7`, or the first few of them.
pub(super) fn named(frames: &[u64]) -> String {
    let list = |frames: &[u64]| frames.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match frames {
        [one] => format!("frame {one}"),
        [rest @ .., last] if rest.len() < NAMED => format!("frames {} and {last}", list(rest)),
        _ => format!("{} frames ({}, …)", frames.len(), list(&frames[..NAMED.min(frames.len())])),
    }
}

/// What the report says of a movie.
pub(super) fn of_movie(info: &ScanInfo) -> (&'static str, String) {
    let size = [info.frame.height, info.frame.width];
    let about = format!(
        "{} frames of {} × {} pixels, {}",
        info.frames(),
        size[0],
        size[1],
        info.stored
    );
    ("Movie", about)
}

/// A table of the report: heading, names of the columns, rows.
pub struct Table {
    pub heading: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Everything around the arrays of a result that comes from any kind of input.
pub struct Finished<'a> {
    pub title: &'a str,
    /// What the input is: a name for the line, and its text.
    pub about: (&'a str, String),
    /// Name of the input.
    pub name: String,
    pub provenance: Provenance,
    pub parameters: &'a str,
    pub warnings: &'a [String],
    pub summary: &'a [(&'a str, String)],
    pub tables: Vec<Table>,
    pub figures: Vec<Named>,
}

impl Finished<'_> {
    /// Completes the result file, writes figures, parameters and report, and puts the folder in place.
    pub fn finish(self, file: ResultFile, dir: OutputDir) -> Result<PathBuf> {
        file.provenance(&self.provenance)?;
        file.finish()?;
        let mut report = Report::new(format!("{} in {}", self.title, self.name));
        report.summary(self.about.0, &self.about.1);
        for (name, value) in self.summary {
            report.summary(name, value);
        }
        report.summary(
            "Backend",
            format!("{} ({})", self.provenance.backend, self.provenance.adapter),
        );
        report.summary("emstream", env!("CARGO_PKG_VERSION"));
        for t in &self.provenance.timings {
            let rate = if t.frames > 0 {
                format!(", {:.1} frames/s", t.frames as f64 / t.seconds.max(1e-9))
            } else {
                String::new()
            };
            report.summary(&format!("Time of {}", t.step), format!("{:.2} s{rate}", t.seconds));
        }
        for warning in self.warnings {
            report.warning(warning);
        }
        for table in &self.tables {
            report.section(&table.heading).table(&table.columns, &table.rows);
        }
        add_figures(&dir, &mut report, &self.figures)?;
        finish(dir, report, self.parameters)
    }
}

/// Provenance of a step that starts from the result of another.
pub fn from_result(command: &str, found: &Detected, parameters: &str, timings: &Timings) -> Result<Provenance> {
    let y = if found.pixel_y.scale.is_some() {
        &found.pixel_y
    } else {
        &found.pixel
    };
    let axes = [("x", &found.pixel), ("y", y), ("scan_x", &found.time)];
    Ok(Provenance {
        command: command.to_owned(),
        backend: Backend::Cpu.name().to_owned(),
        adapter: Backend::Cpu.adapter(),
        parameters: parameters.to_owned(),
        timings: timings.steps.clone(),
        inputs: vec![Input::of(&found.path)?],
        calibration: axes
            .into_iter()
            .filter(|(_, axis)| axis.scale.is_some())
            .map(|(name, axis)| (name.to_owned(), axis.clone()))
            .collect(),
    })
}
