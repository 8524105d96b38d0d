//! What a simulated scan by diffraction and X-ray spectra at once is made of.

mod diffraction;
mod parameters;
mod specimen;
mod spectra;

pub use diffraction::SimulatedDiffraction;
pub use parameters::{Phase, Phases};
pub use specimen::{Share, Specimen};
pub use spectra::SimulatedSpectra;

use crate::control::Control;
use crate::error::{Error, Result};
use crate::io::output;
use crate::io::write::{Described, Description, FrameWriter, XRays};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Both signals of a simulated specimen.
pub struct SimulatedPhases {
    pub patterns: SimulatedDiffraction,
    pub spectra: SimulatedSpectra,
    pub specimen: Arc<Specimen>,
}

/// The files of a simulated pair of signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub patterns: PathBuf,
    pub spectra: PathBuf,
    pub truth: PathBuf,
}

impl Files {
    /// With an ending `.hspy` the patterns have that name, spectra `NAME_eds.hspy`, the truth `NAME.hspy.truth.h5`; else `path` is a
    /// folder for `dp.hspy`, `eds.hspy` and `truth.h5`.
    pub fn of(path: &Path) -> Files {
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("hspy")) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            return Files {
                patterns: path.to_owned(),
                spectra: path.with_file_name(format!("{stem}_eds.hspy")),
                truth: super::truth_path(path),
            };
        }
        Files {
            patterns: path.join("dp.hspy"),
            spectra: path.join("eds.hspy"),
            truth: path.join("truth.h5"),
        }
    }
}

impl SimulatedPhases {
    /// The signals that `parameters` describe.
    ///
    /// # Errors
    /// [`Error::Parameter`] as [`Phases::resolved`].
    pub fn new(parameters: &Phases) -> Result<Self> {
        let specimen = Arc::new(Specimen::new(parameters)?);
        Ok(SimulatedPhases {
            patterns: SimulatedDiffraction::new(Arc::clone(&specimen)),
            spectra: SimulatedSpectra::new(Arc::clone(&specimen))?,
            specimen,
        })
    }

    /// Writes patterns and spectra as HyperSpy signals and the truth (see [`Files::of`]). A folder that does not exist is made. The
    /// patterns get their name last, so that complete patterns always have their spectra and truth.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a file exists and `overwrite` is false; [`Error::Io`]; [`Error::Cancelled`] leaves no file.
    pub fn write(&self, path: &Path, overwrite: bool, control: &Control) -> Result<Files> {
        let files = Files::of(path);
        if let Some(folder) = files.patterns.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "cannot create", e))?;
        }
        for file in [&files.patterns, &files.spectra, &files.truth] {
            output::check_free(file, overwrite)?;
        }
        let patterns = self.file(
            &files.patterns,
            &self.patterns,
            &self.pattern_description(),
            overwrite,
            control,
        )?;
        let spectra = self.file(
            &files.spectra,
            &self.spectra,
            &self.spectrum_description(),
            overwrite,
            control,
        )?;
        super::stream::write_truth(&self.patterns, &files.truth, overwrite, control)?;
        spectra.finish()?;
        patterns.finish()?;
        Ok(files)
    }

    fn file(
        &self,
        path: &Path,
        scan: &dyn super::stream::Synthetic,
        what: &Description,
        overwrite: bool,
        control: &Control,
    ) -> Result<FrameWriter> {
        let info = scan.info();
        let mut writer = FrameWriter::create_signal(path, info.nav, info.frame, overwrite, what)?;
        super::stream::stream(scan, control, |frames| writer.write(frames))?;
        Ok(writer)
    }

    fn scan_axes(&self) -> [Described; 2] {
        ["y", "x"].map(|name| Described::new(name, self.specimen.parameters().step, 0.0, "nm"))
    }

    fn pattern_description(&self) -> Description {
        let p = self.specimen.parameters();
        let beam = p.beam.unwrap_or_default();
        let [y, x] = self.scan_axes();
        let axis = |name: &str, at: f64| Described::new(name, p.camera, -p.camera * at, "1/nm");
        Description {
            title: "simulated diffraction".into(),
            signal_type: "electron_diffraction".into(),
            axes: vec![y, x, axis("ky", beam[0]), axis("kx", beam[1])],
            navigated: 2,
            beam_energy: Some(p.beam_energy),
            xrays: None,
        }
    }

    fn spectrum_description(&self) -> Description {
        let p = self.specimen.parameters();
        let [y, x] = self.scan_axes();
        let [offset, step] = p.energy_axis;
        let elements = self.spectra.elements();
        Description {
            title: "simulated spectra".into(),
            signal_type: "EDS_TEM".into(),
            axes: vec![y, x, Described::new("Energy", step, offset, "keV")],
            navigated: 2,
            beam_energy: Some(p.beam_energy),
            xrays: Some(XRays {
                lines: self.spectra.strongest_lines(),
                elements,
                resolution: p.resolution,
                live_time: 0.05,
            }),
        }
    }
}
