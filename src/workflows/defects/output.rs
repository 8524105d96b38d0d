//! What all steps of `defects` write in the same way: provenance, figures, report.

use crate::engine::Backend;
use crate::error::Result;
use crate::io::Scan;
use crate::io::results::{OutputDir, ResultFile};
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
        file.provenance(&provenance)?;
        file.finish()?;
        let info = self.scan.info();
        let name = info.path.file_name().unwrap_or(info.path.as_os_str()).to_string_lossy();
        let mut report = Report::new(format!("{} in {name}", self.title));
        report.summary(
            "Movie",
            format!(
                "{} frames of {} × {} pixels, {}",
                info.frames(),
                info.frame.height,
                info.frame.width,
                info.stored
            ),
        );
        for (name, value) in self.summary {
            report.summary(name, value);
        }
        report.summary("Backend", format!("{} ({})", self.backend.name(), self.backend.adapter()));
        report.summary("emstream", env!("CARGO_PKG_VERSION"));
        for t in &self.timings.steps {
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
        add_figures(&dir, &mut report, &self.figures)?;
        finish(dir, report, self.parameters)
    }
}
