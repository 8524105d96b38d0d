//! What a workflow leaves in its folder beside the arrays: figures, `params.toml` and the report that shows both.

use crate::error::Result;
use crate::io::results::OutputDir;
use crate::report::Figure;
use crate::report::html::Report;
use rayon::prelude::*;
use std::path::PathBuf;

/// A figure, the name of its file without `.png`, and what it shows.
pub struct Named {
    pub name: String,
    pub caption: String,
    pub figure: Figure,
}

/// Writes `figures/NAME.png` of each and shows them in the report. They are compressed in parallel.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no.
pub fn add_figures(dir: &OutputDir, report: &mut Report, drawn: &[Named]) -> Result<()> {
    let files: Vec<Vec<u8>> = drawn.par_iter().map(|d| d.figure.to_png()).collect::<Result<_>>()?;
    for (drawn, png) in drawn.iter().zip(&files) {
        dir.write(&format!("figures/{}.png", drawn.name), png)?;
        report.figure(png, &drawn.caption);
    }
    Ok(())
}

/// Writes `params.toml`, closes the report with it, and puts the folder in place. Returns its path.
///
/// # Errors
/// [`crate::Error::Io`] when the disk says no; the output folder is then as it was.
pub fn finish(dir: OutputDir, mut report: Report, parameters: &str) -> Result<PathBuf> {
    report
        .section("Parameters")
        .paragraph("This text as params.toml repeats the run.")
        .code(parameters);
    dir.write("params.toml", parameters.as_bytes())?;
    dir.write("report.html", report.render().as_bytes())?;
    dir.finish()
}
